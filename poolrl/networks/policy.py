"""A policy: actor, critic, distribution and normaliser over the arrays of an agent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from poolrl.config.schema import NetworkSpec
from poolrl.distributions.factory import make_distribution
from poolrl.networks.mlp import Perceptron
from poolrl.networks.normalizer import Normalizer
from poolrl.networks.parameters import check_arrays, expected_shapes
from poolrl.spaces import ActionSpace

F32 = NDArray[np.float32]

State = tuple[F32, ...]
"""What a recurrent network carries from step to step; empty for feed-forward networks."""


class Act(NamedTuple):
    """What a policy did with a batch of n observations.

    Log-probability and value of every step of a rollout are computed from this afterwards, all at
    once, which costs a fraction of what n of them at a time do.

    Attributes:
        action: (n, action size), within the bounds of the action space; (n,) for one choice.
        sample: (n, …): the distribution's own variable behind the action; ``None`` for
            deterministic actions.
        parameters: (n, number of parameters), float32: of the distribution; ``None`` for
            deterministic actions.
        state: to be handed in with the next observations.
    """

    action: NDArray[Any]
    sample: NDArray[Any] | None
    parameters: F32 | None
    state: State


class Policy:
    """Actor and critic over arrays that it shares and does not copy.

    The normaliser alone holds to its statistics as they were when the policy was made.

    Attributes:
        distribution: of the actions.
        actor: normalised observations -> parameters of the distribution.
        critic: normalised observations -> values.

    Raises:
        UsageError: the arrays are not those of the network.
    """

    def __init__(
        self,
        arrays: Mapping[str, NDArray[Any]],
        network: NetworkSpec,
        observation_size: int,
        action_space: ActionSpace,
    ) -> None:
        check_arrays(arrays, expected_shapes(network, observation_size, action_space))
        self.distribution = make_distribution(network.distribution, action_space)
        self.actor = Perceptron(arrays, "actor", len(network.actor), network.activation)
        self.critic = Perceptron(arrays, "critic", len(network.critic), network.activation)
        self._normalizer = Normalizer(arrays) if network.normalize_observations else None

    def act(
        self,
        observation: NDArray[np.floating],
        state: State = (),
        episode_start: NDArray[np.bool_] | None = None,
        generator: np.random.Generator | None = None,
    ) -> Act:
        """Choose actions.

        Args:
            observation: (n, observation size), not normalised.
            state: what the previous call returned.
            episode_start: (n,): where an episode begins, and with it a recurrent state.
            generator: the source of action noise; ``None`` for the deterministic action.
        """
        parameters = self.actor(self.normalized(observation))
        if generator is None:
            return Act(self.distribution.mode(parameters), None, None, ())
        sample = self.distribution.sample(parameters, generator)
        return Act(self.distribution.action(sample), sample, parameters, ())

    def normalized(self, observation: NDArray[np.floating]) -> F32:
        """(n, observation size), float32: observations as the networks take them."""
        if self._normalizer is None:
            return observation.astype(np.float32)
        return self._normalizer(observation)

    def value(self, observation: NDArray[np.floating], state: State = ()) -> F32:
        """(n,): the critic's estimates."""
        return self.critic(self.normalized(observation))[:, 0]
