"""An agent while it learns: its parameters in one vector, their gradient in another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from poolrl.agent import Agent
from poolrl.algorithms.optimizer import Adam, read_state, state_arrays
from poolrl.errors import Divergence
from poolrl.networks.normalizer import update_statistics
from poolrl.networks.policy import Policy

F32 = NDArray[np.float32]


class Trainee:
    """What an update works on, made of copies of an agent's arrays.

    Attributes:
        policy: acts and learns with the parameters as they are now; made anew by ``observe``.
        gradient: the derivative of the loss by every parameter, views of one vector.
        optimizer: moves that vector's parameters.
        actor, critic: where the parameters of the two networks stand in it.
    """

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        arrays = agent.policy_arrays
        self._places: dict[str, slice] = {}
        size = 0
        for name, array in arrays.items():  # sorted, so that each network is one part
            if not name.startswith("normalizer."):
                self._places[name] = slice(size, size + array.size)
                size += array.size
        self._vector, gradient = np.empty(size, np.float32), np.zeros(size, np.float32)
        self._shapes = {name: arrays[name].shape for name in self._places}
        self._arrays = {n: a.copy() for n, a in arrays.items() if n not in self._places}
        self._arrays |= self._views(self._vector)
        for name in self._places:
            self._arrays[name][...] = arrays[name]
        self.gradient: Mapping[str, F32] = self._views(gradient)
        self.actor, self.critic = self._part("actor."), self._part("critic.")
        self.optimizer = Adam(self._vector, gradient)
        read_state(self.optimizer, agent.arrays, self._places)
        self.policy = self._policy()

    def observe(self, observation: F32) -> None:
        """Let (n, observation size) observations into the running statistics."""
        if self._agent.metadata.network.normalize_observations:
            update_statistics(self._arrays, observation)
            self.policy = self._policy()

    def trained(
        self, *, learner: str, environment_steps: int, episodes: int, updates: int
    ) -> Agent:
        """The agent after training, of copies of everything.

        Raises:
            Divergence: a tensor is not finite.
        """
        arrays = {name: array.copy() for name, array in self._arrays.items()}
        arrays |= state_arrays(self.optimizer, self._places, self._shapes)
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

    def _policy(self) -> Policy:
        metadata = self._agent.metadata
        size = metadata.observation_space.shape[0]
        return Policy(self._arrays, metadata.network, size, metadata.action_space.space())

    def _views(self, vector: F32) -> dict[str, NDArray[Any]]:
        return {
            name: vector[place].reshape(self._shapes[name]) for name, place in self._places.items()
        }

    def _part(self, prefix: str) -> slice:
        own = [place for name, place in self._places.items() if name.startswith(prefix)]
        return slice(own[0].start, own[-1].stop)
