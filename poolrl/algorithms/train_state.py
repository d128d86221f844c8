"""Mutable training state: flat vectors of parameters and gradient, optimiser, policy."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from poolrl.agent import STD, Agent
from poolrl.algorithms.parameter_group import ParameterGroup
from poolrl.algorithms.reward_scaler import RewardScaler
from poolrl.algorithms.schedules import scheduled
from poolrl.distributions.base import Gradient
from poolrl.errors import Divergence, UsageError
from poolrl.networks.base import PARTS, Inputs, part_of
from poolrl.networks.microbatches import parts_of
from poolrl.networks.normalizer import update_normalizer
from poolrl.networks.parameters import actor_columns, has_normalized_values, is_parameter
from poolrl.networks.policy import Policy
from poolrl.networks.value_normalizer import PREFIX as VALUE_PREFIX
from poolrl.networks.value_normalizer import (
    ValueNormalizer,
    initial_statistics,
    update_value_statistics,
)
from poolrl.parallel import in_threads

F32 = NDArray[np.float32]


class TrainState:
    """State that updates change in place, initialised with copies of an agent's arrays.

    Args:
        agent: to train. If its critic predicts normalised values and is to predict plain ones, or
            the other way round, it is converted, so that its values stay as they are.
        normalize_values: whether the critic is to predict normalised values.
        microbatch_size: as for ``poolrl.networks.factory.make_network``.

    Attributes:
        policy: actor and critic over the current parameters.
        environment_steps: control steps of training so far, of the agent's own line.
        episodes: training episodes so far, of that line.
        running: running state of the learner, float64 arrays of shape (), by name.
        normalizes_values: whether its critic predicts normalised values.
        arrays: named tensors of the agent in training: statistics, and parameters as views of
            ``vector``.
        vector: all parameters, flat.
        gradient: derivatives of the loss by the parameters, by name, as views of one vector.
        optimizer: updates the vector.
        actor_columns: numbers of the observed values that the actor sees; ``None`` for all.
        parts: slices of the parameters of ``poolrl.networks.base.PARTS`` in that vector.
    """

    def __init__(
        self, agent: Agent, *, normalize_values: bool = False, microbatch_size: int = 0
    ) -> None:
        self._agent = agent
        self.normalizes_values = normalize_values
        self._microbatch_size = microbatch_size
        self.environment_steps = agent.metadata.environment_steps
        self.episodes = agent.metadata.episodes
        self.running = {name: array.copy() for name, array in agent.learner_state.items()}
        arrays = agent.policy_arrays
        plain = not has_normalized_values(arrays)
        statistics: Mapping[str, NDArray[Any]] = {}
        if plain and normalize_values:
            arrays |= initial_statistics(1.0)
        elif not plain and not normalize_values:
            statistics = {n: arrays.pop(n) for n in list(arrays) if n.startswith(VALUE_PREFIX)}
        self._critic_was_plain = plain and normalize_values
        # In the order of the parts, so that each part is one slice.
        names = sorted(filter(is_parameter, arrays), key=lambda name: PARTS.index(part_of(name)))
        self.vector = np.empty(sum(arrays[name].size for name in names), np.float32)
        self._parameters = ParameterGroup({**agent.arrays, **arrays}, names, self.vector)
        self.arrays = {n: a.copy() for n, a in arrays.items() if n not in self._parameters.arrays}
        self.arrays |= self._parameters.arrays
        self.gradient = self._parameters.gradient
        self.optimizer = self._parameters.optimizer
        self.parts = {part: self._part(part) for part in PARTS}
        metadata = agent.metadata
        self.actor_columns = actor_columns(metadata.network, metadata.observation_space.shape[0])
        self.policy = Policy(
            self.arrays,
            metadata.network,
            metadata.observation_space.shape[0],
            metadata.action_space.space(),
            self.gradient,
            self.running.get(STD),
            microbatch_size,
        )
        if statistics:
            known = ValueNormalizer(statistics)
            if known.count:
                self._rescale_critic(known.deviation, known.mean)

    @cached_property
    def reward_scaler(self) -> RewardScaler:
        """Of the learner's running state."""
        return RewardScaler(self.running)

    def set_std(self, schedule_steps: int) -> None:
        """Set the standard deviation of actions by its schedule, before a rollout.

        Args:
            schedule_steps: control steps of training at which it reaches its end.
        """
        network = self._agent.metadata.network
        if network.std == "schedule":
            end = network.std_min / network.std_init
            self.running[STD][...] = scheduled(
                network.std_init, "linear", self.environment_steps, schedule_steps, end
            )

    def policy_parameters(self, inputs: Inputs) -> F32:
        """The distribution's parameters, shape (m, number of parameters), for a batch."""
        network = self.policy.network
        if network.has_memory:
            return network.forward(inputs).parameters
        return network.act(inputs.observation, (), inputs.noise)[0]

    def log_prob_gradient(self, parameters: F32, sample: NDArray[Any]) -> Gradient:
        """That of the policy's distribution, by microbatches."""
        function = self.policy.distribution.log_prob_gradient
        parts = parts_of(len(sample), self._microbatch_size)
        if len(parts) == 1:
            return function(parameters, sample)
        values, gradients = zip(
            *in_threads(lambda part: function(parameters[part], sample[part]), parts), strict=True
        )
        return Gradient(np.concatenate(values), np.concatenate(gradients))

    def backpropagate(
        self,
        by_parameters: F32,
        by_value: F32,
        by_penalties: Mapping[str, F32] | None = None,
        *,
        max_norm: float,
        separate: bool,
    ) -> None:
        """Compute and clip the gradient, after a forward pass of the policy's network.

        Args:
            by_parameters: (m, number of parameters): derivative of the loss by the distribution's
                parameters.
            by_value: (m,): derivative of the loss by the values.
            by_penalties: name -> (m,): derivative of the loss by the network's penalties.
            max_norm: of the clipped gradient; 0 for no clipping.
            separate: clip the gradient of the policy's loss with its penalties, and that of the
                value's, each over all parameters that it reaches, instead of their sum.
        """
        network, optimizer = self.policy.network, self.optimizer
        shared = self.parts["shared"]
        if not separate or not max_norm or shared.start == shared.stop:
            network.backward(by_parameters, by_value, by_penalties)
            for part in (self.parts["policy"], self.parts["value"]) if separate else [slice(None)]:
                optimizer.clip(max_norm, part)
            return
        network.backward(by_parameters, None, by_penalties)
        optimizer.clip(max_norm)
        of_policy = self._parameters.derivatives.copy()
        network.backward(by_value=by_value)
        optimizer.clip(max_norm)
        self._parameters.derivatives += of_policy

    def step(self, rates: list[tuple[slice, float]]) -> None:
        """Update the parameters by the gradient; see ``poolrl.algorithms.optimizer.Adam.step``."""
        self.optimizer.step(rates)
        self.policy.network.changed()

    def update_normalizer(self, observation: NDArray[np.floating]) -> None:
        """Update the running mean and variance from a batch, shape (n, observation size)."""
        update_normalizer(self.arrays, self._agent.metadata.network, observation)
        self.policy.read_statistics()

    def update_value_statistics(self, targets: NDArray[np.floating]) -> ValueNormalizer:
        """Update the statistics of the critic's targets, shape (n,), and return the new ones.

        Raises:
            Divergence: the variance of the targets is beyond float64.
        """
        update_value_statistics(self.arrays, targets.astype(np.float64, copy=False))
        normalizer = ValueNormalizer(self.arrays)
        if not np.isfinite(self.arrays[f"{VALUE_PREFIX}var"]):
            largest = float(np.abs(targets).max())
            raise Divergence(f"returns of {largest:g} are too large for their variance")
        if self._critic_was_plain and normalizer.deviation:
            scale = 1 / normalizer.deviation
            self._rescale_critic(scale, -normalizer.mean * scale)
            self._critic_was_plain = False
        self.policy.read_statistics()
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
        arrays = {name: array.copy() for name, array in self.arrays.items()}
        arrays |= {name: array.copy() for name, array in self.running.items()}
        arrays |= self._parameters.optimizer_arrays()
        return trained_agent(
            self._agent,
            arrays,
            learner=learner,
            environment_steps=environment_steps,
            episodes=episodes,
            updates=updates,
        )

    def _rescale_critic(self, scale: float, shift: float) -> None:
        """Change what the critic predicts to scale · value + shift (van Hasselt et al. 2016), with
        new moments of its optimiser, since its gradient has another size.

        Raises:
            UsageError: the network has no linear layer that computes the value.
        """
        if self.policy.network.value_head is None:
            raise UsageError(
                "learner.normalize_values: the agent's critic has learned otherwise, and this "
                "network cannot be converted"
            )
        weight, bias = (self.arrays[name] for name in self.policy.network.value_head)
        weight *= np.float32(scale)
        bias[...] = bias.astype(np.float64) * scale + shift
        self.optimizer.mean[self.parts["value"]] = 0
        self.optimizer.square[self.parts["value"]] = 0

    def _part(self, part: str) -> slice:
        own = [s for name, s in self._parameters.slices.items() if part_of(name) == part]
        return slice(own[0].start, own[-1].stop) if own else slice(0, 0)


def trained_agent(
    agent: Agent,
    arrays: Mapping[str, NDArray[Any]],
    *,
    learner: str,
    environment_steps: int,
    episodes: int,
    updates: int,
) -> Agent:
    """An agent after training.

    Args:
        agent: before.
        arrays: after; not copied.
        learner: its name, for the metadata.
        environment_steps, episodes, updates: numbers of this training, added to the agent's.

    Raises:
        Divergence: a tensor is not finite.
    """
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise Divergence(f"training made {name} not finite")
    old = agent.metadata
    metadata = msgspec.structs.replace(
        old,
        learner=learner,
        environment_steps=old.environment_steps + environment_steps,
        episodes=old.episodes + episodes,
        updates=old.updates + updates,
    )
    return Agent(arrays, metadata)
