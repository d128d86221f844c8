"""Actor and critic with a memory: they act in NumPy and learn in torch."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from poolrl.config.networks import RecurrentSpec
from poolrl.networks.base import Inputs, Network, NetworkOutput, State
from poolrl.networks.cells import NUM_STATES, Cell
from poolrl.networks.mlp import MLP

if TYPE_CHECKING:  # acting needs no torch
    from poolrl.networks.bound_module import BoundModule

F32 = NDArray[np.float32]


class RecurrentNetwork(Network):
    """Hidden layers, a recurrent layer and a linear one, for each of actor and critic, or with one
    trunk for both.

    The state is that of the actor's recurrent layer, followed by the critic's if it has its own.

    Args:
        arrays: named tensors of an agent.
        spec: architecture.
        gradient: arrays that receive the derivatives; ``None`` for a network that is not trained.
    """

    value_head = ("critic.head.weight", "critic.head.bias")

    def __init__(
        self,
        arrays: Mapping[str, NDArray[Any]],
        spec: RecurrentSpec,
        gradient: Mapping[str, F32] | None = None,
    ) -> None:
        self._arrays, self._gradient, self._spec = arrays, gradient, spec
        self._per_cell = NUM_STATES[spec.cell]
        names = ("shared",) if spec.shared else ("actor", "critic")
        hidden = {"shared": spec.actor, "actor": spec.actor, "critic": spec.critic}
        self._trunks = [
            (
                MLP(arrays, name, len(hidden[name]), spec.activation, activate_last=True),
                Cell(arrays, f"{name}.memory", spec.cell),
            )
            for name in names
        ]
        self._heads = [
            (arrays[f"{name}.head.weight"].T, arrays[f"{name}.head.bias"])
            for name in ("actor", "critic")
        ]
        self._free: F32 | None = arrays.get("actor.free")

    def initial_state(self, n: int) -> State:
        count = self._per_cell * len(self._trunks)
        return tuple(np.zeros((n, self._spec.memory), np.float32) for _ in range(count))

    def act(self, observation: F32, state: State, noise: F32 | None = None) -> tuple[F32, State]:
        x, own = self._run(0, observation, state)
        return self._parameters(x), (*own, *state[self._per_cell :])

    def step(
        self, observation: F32, state: State, noise: F32 | None = None
    ) -> tuple[NetworkOutput, State]:
        x, new = self._run(0, observation, state)
        y = x
        if len(self._trunks) == 2:
            y, own = self._run(1, observation, state)
            new = (*new, *own)
        return NetworkOutput(self._parameters(x), self._value(y)), new

    def values(self, observation: F32, state: State) -> F32:
        return self._value(self._run(len(self._trunks) - 1, observation, state)[0])

    def forward(self, inputs: Inputs) -> NetworkOutput:
        return self._bound.forward(inputs)

    def backward(
        self,
        by_parameters: F32 | None = None,
        by_value: F32 | None = None,
        by_penalties: Mapping[str, F32] | None = None,
    ) -> None:
        self._bound.backward(by_parameters, by_value, by_penalties)

    @cached_property
    def _bound(self) -> BoundModule:
        from poolrl.networks.bound_module import BoundModule
        from poolrl.networks.recurrent_module import RecurrentModule

        module = RecurrentModule(self._arrays, self._spec)
        return BoundModule(module, self._arrays, self._gradient)

    def _run(self, index: int, x: F32, state: State) -> tuple[F32, State]:
        dense, cell = self._trunks[index]
        own = state[index * self._per_cell : (index + 1) * self._per_cell]
        return cell(dense(x), own)

    def _parameters(self, x: F32) -> F32:
        weight, bias = self._heads[0]
        outputs = len(bias)
        free = 0 if self._free is None else len(self._free)
        parameters = np.empty((len(x), outputs + free), np.float32)
        np.matmul(x, weight, out=parameters[:, :outputs])
        parameters[:, :outputs] += bias
        if self._free is not None:
            parameters[:, outputs:] = self._free
        return parameters

    def _value(self, x: F32) -> F32:
        weight, bias = self._heads[1]
        value: F32 = (x @ weight)[:, 0] + bias[0]
        return value
