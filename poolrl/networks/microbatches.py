"""Minibatches in microbatches: parts whose gradients are computed apart and summed.

Each microbatch of the actor and of the critic is a task of its own for the threads of the worker.
Sums are taken in the order of the microbatches: the number of threads changes no bit, the size of
microbatches does, and is part of the specification.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from poolrl.config.networks import MLPSpec
from poolrl.networks.base import Inputs, NetworkOutput, State
from poolrl.networks.mlp import MLP, Cache
from poolrl.networks.mlp_network import MLPNetwork
from poolrl.parallel import in_threads

F32 = NDArray[np.float32]


class MicrobatchNetwork(MLPNetwork):
    """Two perceptrons, ``actor`` and ``critic``, that are computed in microbatches.

    Args:
        arrays, spec, gradient, actor_columns: as for ``MLPNetwork``; without a shared trunk.
        size: rows of a microbatch; see ``parts_of``.
    """

    def __init__(
        self,
        arrays: Mapping[str, NDArray[Any]],
        spec: MLPSpec,
        gradient: Mapping[str, F32],
        actor_columns: NDArray[np.intp] | None,
        size: int,
    ) -> None:
        super().__init__(arrays, spec, gradient, actor_columns)
        self._size = size
        # The first one's derivatives are the first term of the sum.
        self._gradients = [gradient]
        self._tasks: list[_Task] = []

    def act(self, observation: F32, state: State, noise: F32 | None = None) -> tuple[F32, State]:
        return self._in_parts(lambda rows: MLPNetwork.act(self, rows, ())[0], observation), ()

    def values(self, observation: F32, state: State = ()) -> F32:
        return self._in_parts(lambda rows: MLPNetwork.values(self, rows), observation)

    def forward(self, inputs: Inputs) -> NetworkOutput:
        parts = parts_of(len(inputs.observation), self._size)
        while len(self._gradients) < len(parts):
            copies = {name: np.empty_like(array) for name, array in self._gradients[0].items()}
            self._gradients.append(copies)
        seen = self._seen(inputs.observation)
        tasks = [(self._actor, part, seen[part]) for part in parts]
        tasks += [(self._critic, part, inputs.observation[part]) for part in parts]
        outputs = in_threads(lambda task: task[0].forward_with_cache(task[2]), tasks)
        self._tasks = [
            _Task(mlp, part, cache, gradient)
            for (mlp, part, _), (_, cache), gradient in zip(
                tasks, outputs, 2 * self._gradients[: len(parts)], strict=True
            )
        ]
        parameters, value = (
            np.concatenate([output for output, _ in own])
            for own in (outputs[: len(parts)], outputs[len(parts) :])
        )
        return NetworkOutput(parameters, value[:, 0])

    def backward(
        self,
        by_parameters: F32 | None = None,
        by_value: F32 | None = None,
        by_penalties: Mapping[str, F32] | None = None,
    ) -> None:
        by_output = {
            self._actor: by_parameters,
            self._critic: None if by_value is None else by_value[:, None],
        }

        def backward(task: _Task) -> None:
            given = by_output[task.mlp]
            if given is not None:
                task.mlp.backward(task.cache, given[task.part], task.gradient)

        in_threads(backward, self._tasks)
        in_threads(self._sum, list(self._gradients[0]))
        for name, given in (("actor.", by_parameters), ("critic.", by_value)):
            if given is None:
                self._clear(name)

    def _sum(self, name: str) -> None:
        total, *others = self._gradients[: len(self._tasks) // 2]
        for gradient in others:
            total[name] += gradient[name]

    def _in_parts(self, function: Callable[[F32], F32], rows: F32) -> F32:
        parts = parts_of(len(rows), self._size)
        if len(parts) == 1:
            return function(rows)
        return np.concatenate(in_threads(lambda part: function(rows[part]), parts))


class _Task(NamedTuple):
    """A microbatch of a perceptron between forward and backward pass."""

    mlp: MLP
    part: slice
    cache: Cache
    gradient: Mapping[str, F32]


def parts_of(rows: int, size: int) -> list[slice]:
    """Consecutive parts of rows, of at most ``size``, as equal as may be; one part if it is 0."""
    count = max(1, -(-rows // size)) if size else 1
    borders = [rows * k // count for k in range(count + 1)]
    return [slice(start, end) for start, end in pairwise(borders)]
