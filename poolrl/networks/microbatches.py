"""Networks in microbatches: parts of a minibatch whose gradients are computed apart and summed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from poolrl.networks.base import Inputs, Network, NetworkOutput, Sequences, State
from poolrl.parallel import in_threads

F32 = NDArray[np.float32]

Output = TypeVar("Output")


class MicrobatchNetwork(Network):
    """Networks over the same parameters, one for each microbatch, in threads of the worker.

    Sequences stay whole. Sums are taken in the order of the parts: the number of threads changes no
    bit, the size of the parts does, and is part of the specification.

    Args:
        make: makes a network, given the arrays that receive its derivatives.
        gradient: those of the whole.
        size: rows of a part; see ``parts_of_sequences`` for networks with memory.
    """

    def __init__(
        self, make: Callable[[Mapping[str, F32]], Network], gradient: Mapping[str, F32], size: int
    ) -> None:
        self._make, self._size = make, size
        self._gradients = [gradient]  # the first one's derivatives are the first term of the sum
        self._networks = [make(gradient)]
        first = self._networks[0]
        self.noise_size, self.penalty_names = first.noise_size, first.penalty_names
        self.value_head, self.runs_again = first.value_head, first.runs_again
        self._parts: list[slice] = []

    def changed(self) -> None:
        for network in self._networks:
            network.changed()

    def initial_state(self, n: int) -> State:
        return self._networks[0].initial_state(n)

    def act(self, observation: F32, state: State, noise: F32 | None = None) -> tuple[F32, State]:
        outputs, after = self._in_parts(self._networks[0].act, observation, state, noise)
        return _whole(outputs), after

    def step(
        self, observation: F32, state: State, noise: F32 | None = None
    ) -> tuple[NetworkOutput, State]:
        outputs, after = self._in_parts(self._networks[0].step, observation, state, noise)
        return _joined(outputs), after

    def forward(self, inputs: Inputs) -> NetworkOutput:
        divided = list(_divided(inputs, self._size))
        while len(self._networks) < len(divided):
            copies = {name: np.empty_like(array) for name, array in self._gradients[0].items()}
            self._gradients.append(copies)
            self._networks.append(self._make(copies))
        self._parts = [part.rows for part in divided]
        outputs = in_threads(
            lambda task: task[0].forward(task[1].inputs),
            list(zip(self._networks, divided, strict=False)),
        )
        return _joined(outputs)

    def backward(
        self,
        by_parameters: F32 | None = None,
        by_value: F32 | None = None,
        by_penalties: Mapping[str, F32] | None = None,
    ) -> None:
        def backward(task: tuple[Network, slice]) -> None:
            network, rows = task
            network.backward(
                None if by_parameters is None else by_parameters[rows],
                None if by_value is None else by_value[rows],
                {name: each[rows] for name, each in (by_penalties or {}).items()},
            )

        in_threads(backward, list(zip(self._networks, self._parts, strict=False)))
        in_threads(self._sum, list(self._gradients[0]))

    def values(self, observation: F32, state: State, noise: F32 | None = None) -> F32:
        def values(rows: slice) -> F32:
            before = tuple(part[rows] for part in state)
            own = None if noise is None else noise[rows]
            return self._networks[0].values(observation[rows], before, own)

        return _whole(in_threads(values, parts_of(len(observation), self._size)))

    def latents(self, observation: F32) -> dict[str, F32]:
        return self._networks[0].latents(observation)

    def _sum(self, name: str) -> None:
        total, *others = self._gradients[: len(self._parts)]
        for gradient in others:
            total[name] += gradient[name]

    def _in_parts(
        self,
        function: Callable[[F32, State, F32 | None], tuple[Output, State]],
        observation: F32,
        state: State,
        noise: F32 | None,
    ) -> tuple[list[Output], State]:
        """Outputs of the parts, and the whole memory after the step."""

        def one(rows: slice) -> tuple[Output, State]:
            before = tuple(part[rows] for part in state)
            return function(observation[rows], before, None if noise is None else noise[rows])

        results = in_threads(one, parts_of(len(observation), self._size))
        after = zip(*(own for _, own in results), strict=True)
        return [output for output, _ in results], tuple(map(_whole, after))


class _Part(NamedTuple):
    """Consecutive rows of a batch."""

    rows: slice
    inputs: Inputs


def parts_of(rows: int, size: int) -> list[slice]:
    """Consecutive parts of rows, of at most ``size``, as equal as may be; one part if it is 0."""
    count = max(1, -(-rows // size)) if size else 1
    borders = [rows * k // count for k in range(count + 1)]
    return [slice(start, end) for start, end in pairwise(borders)]


def parts_of_sequences(lengths: NDArray[np.intp], size: int) -> list[slice]:
    """Consecutive parts of sequences, of about equally many rows, as many as ``parts_of`` would
    make of the rows, or fewer where sequences are long.

    Args:
        lengths: (sequences,): rows of each.
        size: of a part, which the last sequence of it may exceed; 0 for one part.
    """
    ends = np.cumsum(lengths)
    borders = [part.stop for part in parts_of(int(ends[-1]), size)]
    # A part ends with the sequence that reaches its border.
    last = np.searchsorted(ends, borders) + 1
    return [slice(start, end) for start, end in pairwise([0, *last.tolist()]) if start < end]


def _divided(inputs: Inputs, size: int) -> Iterator[_Part]:
    """Yield the parts of a batch."""
    sequences = inputs.sequences
    if sequences is None:
        for rows in parts_of(len(inputs.observation), size):
            yield _Part(rows, _rows_of(inputs, rows))
        return
    ends = [0, *np.cumsum(sequences.lengths).tolist()]
    for own in parts_of_sequences(sequences.lengths, size):
        rows = slice(ends[own.start], ends[own.stop])
        state = tuple(part[own] for part in sequences.state)
        part = Sequences(sequences.lengths[own], state)
        yield _Part(rows, _rows_of(inputs, rows)._replace(sequences=part))


def _rows_of(inputs: Inputs, rows: slice) -> Inputs:
    return Inputs(inputs.observation[rows], None if inputs.noise is None else inputs.noise[rows])


def _whole(parts: Sequence[F32]) -> F32:
    """Join the rows of parts."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _joined(outputs: Sequence[NetworkOutput]) -> NetworkOutput:
    return NetworkOutput(
        _whole([each.parameters for each in outputs]),
        _whole([each.value for each in outputs]),
        {name: _whole([each.penalties[name] for each in outputs]) for name in outputs[0].penalties},
    )
