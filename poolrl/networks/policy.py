"""Policy: actor, critic, action distribution and observation normaliser."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from poolrl.config.schema import NetworkSpec
from poolrl.distributions.factory import make_distribution
from poolrl.networks.mlp import MLP
from poolrl.networks.normalizer import DoubleNormalizer, Normalizer
from poolrl.networks.parameters import check_arrays, expected_shapes, has_normalized_values
from poolrl.networks.value_normalizer import ValueNormalizer
from poolrl.spaces import ActionSpace

F32 = NDArray[np.float32]

State = tuple[F32, ...]
"""Hidden state of a recurrent network, passed from step to step; empty for feed-forward networks.
"""


class PolicyOutput(NamedTuple):
    """Output of a policy for a batch of n observations.

    It has neither log-probability nor value: computing them for a whole rollout at once costs a
    fraction of computing them step by step.

    Attributes:
        action: (n, action size), within the bounds of the action space; (n,) for one choice.
        sample: (n, …): the distribution's variable behind the action; ``None`` for deterministic
            actions.
        parameters: (n, number of parameters), float32, of the distribution; ``None`` for
            deterministic actions.
        state: hidden state for the next call.
    """

    action: NDArray[Any]
    sample: NDArray[Any] | None
    parameters: F32 | None
    state: State


class Policy:
    """Actor and critic over shared arrays, which are not copied.

    Training changes the arrays in place, and the policy follows. Only the normalisers keep the
    statistics from the time of construction.

    Args:
        arrays: named tensors of an agent.
        network: architecture of actor and critic.
        observation_size: number of observed values.
        action_space: of one simulation.

    Attributes:
        distribution: of the actions.
        actor: normalised observations -> parameters of the distribution.
        critic: normalised observations -> values, normalised ones if the agent has
            ``value_normalizer``; see ``denormalized``.
        value_normalizer: of the critic's values; ``None`` if they are as they are.
        observation_type, value_type: of what a rollout keeps; float64 where statistics need it.

    Raises:
        UsageError: the arrays do not match the network.
    """

    def __init__(
        self,
        arrays: Mapping[str, NDArray[Any]],
        network: NetworkSpec,
        observation_size: int,
        action_space: ActionSpace,
    ) -> None:
        normalized_values = has_normalized_values(arrays)
        shapes = expected_shapes(
            network, observation_size, action_space, normalized_values=normalized_values
        )
        check_arrays(arrays, shapes)
        self.distribution = make_distribution(network.distribution, action_space)
        self.actor = MLP(arrays, "actor", len(network.actor), network.activation)
        self.critic = MLP(arrays, "critic", len(network.critic), network.activation)
        self.value_normalizer = ValueNormalizer(arrays) if normalized_values else None
        self.value_type: type[np.floating] = np.float64 if normalized_values else np.float32
        self.observation_type: type[np.floating] = np.float32
        self._normalizer: Normalizer | DoubleNormalizer | None = None
        if network.normalize_observations and network.normalizer_precision == "double":
            self._normalizer, self.observation_type = DoubleNormalizer(arrays), np.float64
        elif network.normalize_observations:
            self._normalizer = Normalizer(arrays)

    def act(
        self,
        observation: NDArray[np.floating],
        state: State = (),
        episode_start: NDArray[np.bool_] | None = None,
        generator: np.random.Generator | None = None,
    ) -> PolicyOutput:
        """Choose actions.

        Args:
            observation: (n, observation size), not normalised.
            state: hidden state that the previous call returned.
            episode_start: (n,): True where an episode starts and the hidden state is reset.
            generator: source of action noise; ``None`` for deterministic actions.
        """
        parameters = self.actor(self.normalized(observation))
        if generator is None:
            return PolicyOutput(self.distribution.mode(parameters), None, None, ())
        sample = self.distribution.sample(parameters, generator)
        return PolicyOutput(self.distribution.action(sample), sample, parameters, ())

    def normalized(self, observation: NDArray[np.floating]) -> F32:
        """Normalise observations, shape (n, observation size), for actor and critic."""
        if self._normalizer is None:
            return observation.astype(np.float32)
        return self._normalizer(observation)

    def value(self, observation: NDArray[np.floating], state: State = ()) -> NDArray[np.floating]:
        """The critic's estimates, shape (n,), in the unit of the rewards, for observations that are
        not normalised; of ``value_type``."""
        return self.denormalized(self.critic(self.normalized(observation))[:, 0])

    def denormalized(self, value: F32) -> NDArray[np.floating]:
        """What the critic's outputs, of any shape, mean in the unit of the rewards."""
        return value if self.value_normalizer is None else self.value_normalizer.denormalized(value)
