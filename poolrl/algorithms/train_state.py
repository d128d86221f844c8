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
from poolrl.networks.normalizer import update_statistics, update_statistics_in_double
from poolrl.networks.parameters import has_normalized_values, is_statistic
from poolrl.networks.policy import Policy
from poolrl.networks.value_normalizer import PREFIX as VALUE_PREFIX
from poolrl.networks.value_normalizer import (
    ValueNormalizer,
    initial_statistics,
    update_value_statistics,
)

F32 = NDArray[np.float32]


class TrainState:
    """State that updates change in place, initialised with copies of an agent's arrays.

    Args:
        agent: to train. If its critic predicts normalised values and is to predict plain ones, or
            the other way round, it is converted, so that its values stay as they are.
        normalize_values: whether the critic is to predict normalised values.

    Attributes:
        policy: actor and critic over the current parameters; replaced when statistics change.
        normalizes_values: whether its critic predicts normalised values.
        gradient: derivative of the loss with respect to every parameter, as views of one vector.
        optimizer: updates the parameter vector.
        actor, critic: slices of the parameters of the two networks in that vector.
    """

    def __init__(self, agent: Agent, *, normalize_values: bool = False) -> None:
        self._agent = agent
        self.normalizes_values = normalize_values
        arrays = agent.policy_arrays
        plain = not has_normalized_values(arrays)
        statistics: Mapping[str, NDArray[Any]] = {}
        if plain and normalize_values:
            arrays |= initial_statistics(1.0)
        elif not plain and not normalize_values:
            statistics = {n: arrays.pop(n) for n in list(arrays) if n.startswith(VALUE_PREFIX)}
        self._critic_was_plain = plain and normalize_values
        self._slices: dict[str, slice] = {}
        size = 0
        for name, array in arrays.items():  # sorted, so that each network is one slice
            if not is_statistic(name):
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
        if statistics:
            known = ValueNormalizer(statistics)
            if known.count:
                self._rescale_critic(known.deviation, known.mean)
        self.policy = self._make_policy()

    def update_normalizer(self, observation: NDArray[np.floating]) -> None:
        """Update the running mean and variance from a batch, shape (n, observation size)."""
        network = self._agent.metadata.network
        if network.normalize_observations:
            if network.normalizer_precision == "double":
                update_statistics_in_double(
                    self._arrays, observation.astype(np.float64, copy=False)
                )
            else:
                update_statistics(self._arrays, observation.astype(np.float32, copy=False))
            self.policy = self._make_policy()

    def update_value_statistics(self, targets: NDArray[np.floating]) -> ValueNormalizer:
        """Update the statistics of the critic's targets, shape (n,), and return the new ones.

        Raises:
            Divergence: the variance of the targets is beyond float64.
        """
        update_value_statistics(self._arrays, targets.astype(np.float64, copy=False))
        normalizer = ValueNormalizer(self._arrays)
        if not np.isfinite(self._arrays[f"{VALUE_PREFIX}var"]):
            largest = float(np.abs(targets).max())
            raise Divergence(f"returns of {largest:g} are too large for their variance")
        if self._critic_was_plain and normalizer.deviation:
            scale = 1 / normalizer.deviation
            self._rescale_critic(scale, -normalizer.mean * scale)
            self._critic_was_plain = False
        self.policy = self._make_policy()
        return normalizer

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

    def _rescale_critic(self, scale: float, shift: float) -> None:
        """Change what the critic predicts to scale · value + shift (van Hasselt et al. 2016), with
        new moments of its optimiser, since its gradient has another size."""
        last = 2 * len(self._agent.metadata.network.critic)
        self._arrays[f"critic.{last}.weight"] *= np.float32(scale)
        bias = self._arrays[f"critic.{last}.bias"]
        bias[...] = bias.astype(np.float64) * scale + shift
        self.optimizer.mean[self.critic] = 0
        self.optimizer.square[self.critic] = 0

    def _make_policy(self) -> Policy:
        metadata = self._agent.metadata
        size = metadata.observation_space.shape[0]
        return Policy(self._arrays, metadata.network, size, metadata.action_space.space())

    def _views(self, vector: F32) -> dict[str, NDArray[Any]]:
        return {name: vector[s].reshape(self._shapes[name]) for name, s in self._slices.items()}

    def _network_slice(self, prefix: str) -> slice:
        own = [s for name, s in self._slices.items() if name.startswith(prefix)]
        return slice(own[0].start, own[-1].stop)
