"""Mutable training state: flat parameter and gradient vectors, optimiser, policy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from poolrl.agent import Agent
from poolrl.algorithms.optimizer import Adam, load_state, state_arrays
from poolrl.errors import Divergence
from poolrl.networks.normalizer import update_statistics
from poolrl.networks.policy import Policy

F32 = NDArray[np.float32]


class TrainState:
    """State that updates change in place, initialised with copies of an agent's arrays.

    Attributes:
        policy: actor and critic over the current parameters; replaced by ``update_normalizer``.
        gradient: derivative of the loss with respect to every parameter, as views of one vector.
        optimizer: updates the parameter vector.
        actor, critic: slices of the parameters of the two networks in that vector.
    """

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        arrays = agent.policy_arrays
        self._slices: dict[str, slice] = {}
        size = 0
        for name, array in arrays.items():  # sorted, so that each network is one slice
            if not name.startswith("normalizer."):
                self._slices[name] = slice(size, size + array.size)
                size += array.size
        self._vector, gradient = np.empty(size, np.float32), np.zeros(size, np.float32)
        self._shapes = {name: arrays[name].shape for name in self._slices}
        self._arrays = {n: a.copy() for n, a in arrays.items() if n not in self._slices}
        self._arrays |= self._views(self._vector)
        for name in self._slices:
            self._arrays[name][...] = arrays[name]
        self.gradient: Mapping[str, F32] = self._views(gradient)
        self.actor, self.critic = self._network_slice("actor."), self._network_slice("critic.")
        self.optimizer = Adam(self._vector, gradient)
        load_state(self.optimizer, agent.arrays, self._slices)
        self.policy = self._make_policy()

    def update_normalizer(self, observation: F32) -> None:
        """Update the running mean and variance from a batch, shape (n, observation size)."""
        if self._agent.metadata.network.normalize_observations:
            update_statistics(self._arrays, observation)
            self.policy = self._make_policy()

    def to_agent(
        self, *, learner: str, environment_steps: int, episodes: int, updates: int
    ) -> Agent:
        """Return the trained agent, with copies of all arrays.

        Args:
            learner: its name, for the metadata.
            environment_steps, episodes, updates: numbers of this training, added to the agent's.

        Raises:
            Divergence: a tensor is not finite.
        """
        arrays = {name: array.copy() for name, array in self._arrays.items()}
        arrays |= state_arrays(self.optimizer, self._slices, self._shapes)
        for name, array in arrays.items():
            if not np.isfinite(array).all():
                raise Divergence(f"training made {name} not finite")
        old = self._agent.metadata
        metadata = msgspec.structs.replace(
            old,
            learner=learner,
            environment_steps=old.environment_steps + environment_steps,
            episodes=old.episodes + episodes,
            updates=old.updates + updates,
        )
        return Agent(arrays, metadata)

    def _make_policy(self) -> Policy:
        metadata = self._agent.metadata
        size = metadata.observation_space.shape[0]
        return Policy(self._arrays, metadata.network, size, metadata.action_space.space())

    def _views(self, vector: F32) -> dict[str, NDArray[Any]]:
        return {name: vector[s].reshape(self._shapes[name]) for name, s in self._slices.items()}

    def _network_slice(self, prefix: str) -> slice:
        own = [s for name, s in self._slices.items() if name.startswith(prefix)]
        return slice(own[0].start, own[-1].stop)
