"""Actor and critic as perceptrons in NumPy, apart or on a shared trunk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poolrl.config.networks import MLPSpec
from poolrl.networks.base import Inputs, Network, NetworkOutput, State
from poolrl.networks.mlp import MLP, Cache

F32 = NDArray[np.float32]


class MLPNetwork(Network):
    """Two perceptrons, ``actor`` and ``critic``, or two linear layers on a trunk, ``shared``.

    Args:
        arrays: named tensors of an agent.
        spec: architecture.
        gradient: arrays that receive the derivatives; ``None`` for a network that is not trained.
        actor_columns: numbers of the observed values that the actor sees; ``None`` for all.
    """

    def __init__(
        self,
        arrays: Mapping[str, NDArray[Any]],
        spec: MLPSpec,
        gradient: Mapping[str, F32] | None = None,
        actor_columns: NDArray[np.intp] | None = None,
    ) -> None:
        self._gradient, self._columns = gradient, actor_columns
        self._trunk: MLP | None = None
        actor, critic = len(spec.actor) + 1, len(spec.critic) + 1
        if spec.shared:
            activation = spec.activation
            self._trunk = MLP(arrays, "shared", actor - 1, activation, activate_last=True)
            actor = critic = 1
        self._actor = MLP(arrays, "actor", actor, spec.activation)
        self._critic = MLP(arrays, "critic", critic, spec.activation)
        self.value_head = (f"critic.{2 * critic - 2}.weight", f"critic.{2 * critic - 2}.bias")
        self._caches: tuple[Cache | None, Cache, Cache] | None = None

    def act(self, observation: F32, state: State, noise: F32 | None = None) -> tuple[F32, State]:
        if self._trunk is not None:
            observation = self._trunk(observation)
        return self._actor(self._seen(observation)), ()

    def values(self, observation: F32, state: State = (), noise: F32 | None = None) -> F32:
        if self._trunk is not None:
            observation = self._trunk(observation)
        value: F32 = self._critic(observation)[:, 0]
        return value

    def step(
        self, observation: F32, state: State, noise: F32 | None = None
    ) -> tuple[NetworkOutput, State]:
        if self._trunk is not None:
            observation = self._trunk(observation)
        parameters = self._actor(self._seen(observation))
        return NetworkOutput(parameters, self._critic(observation)[:, 0]), ()

    def forward(self, inputs: Inputs) -> NetworkOutput:
        x, trunk = inputs.observation, None
        if self._trunk is not None:
            x, trunk = self._trunk.forward_with_cache(x)
        parameters, actor = self._actor.forward_with_cache(self._seen(x))
        value, critic = self._critic.forward_with_cache(x)
        self._caches = trunk, actor, critic
        return NetworkOutput(parameters, value[:, 0])

    def backward(
        self,
        by_parameters: F32 | None = None,
        by_value: F32 | None = None,
        by_penalties: Mapping[str, F32] | None = None,
    ) -> None:
        assert self._gradient is not None
        assert self._caches is not None
        trunk, actor, critic = self._caches
        by_trunk: list[F32] = []
        for part, cache, by_output, name in (
            (self._actor, actor, by_parameters, "actor."),
            (self._critic, critic, None if by_value is None else by_value[:, None], "critic."),
        ):
            if by_output is None:
                self._clear(name)
                continue
            by_input = part.backward(
                cache, by_output, self._gradient, to_input=self._trunk is not None
            )
            if by_input is not None:
                by_trunk.append(by_input)
        if self._trunk is None or trunk is None:
            return
        if by_trunk:
            self._trunk.backward(trunk, sum(by_trunk[1:], by_trunk[0]), self._gradient)
        else:
            self._clear("shared.")

    def _seen(self, observation: F32) -> F32:
        """What the actor sees."""
        return observation if self._columns is None else observation[:, self._columns]

    def _clear(self, prefix: str) -> None:
        assert self._gradient is not None
        for name, array in self._gradient.items():
            if name.startswith(prefix):
                array.fill(0)
