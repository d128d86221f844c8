"""Policy: actor, critic, action distribution and observation normaliser."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from poolrl.config.networks import NetworkSpec
from poolrl.distributions.factory import make_distribution
from poolrl.networks.base import Network, State, reset_state
from poolrl.networks.factory import make_network
from poolrl.networks.normalizer import DoubleNormalizer, Normalizer
from poolrl.networks.parameters import check_arrays, expected_shapes, has_normalized_values
from poolrl.networks.value_normalizer import ValueNormalizer
from poolrl.spaces import ActionSpace

F32 = NDArray[np.float32]


class PolicyOutput(NamedTuple):
    """Output of a policy for a batch of n observations.

    Attributes:
        action: (n, action size), within the bounds of the action space; (n,) for one choice.
        sample: (n, …): the distribution's variable behind the action; ``None`` for deterministic
            actions.
        parameters: (n, number of parameters), float32, of the distribution; ``None`` for
            deterministic actions.
        state: memory for the next call.
        value: (n,), as the critic computes it, of a network with memory in training; otherwise
            ``None``: computing the values of a whole rollout at once costs a fraction of computing
            them step by step.
        before: memory that this step started from, in training.
        noise: (n, noise size), of the network; ``None`` without.
    """

    action: NDArray[Any]
    sample: NDArray[Any] | None
    parameters: F32 | None
    state: State
    value: F32 | None = None
    before: State = ()
    noise: F32 | None = None


class Policy:
    """Actor and critic over shared arrays, which are not copied.

    Training changes the arrays in place, and the policy follows. Only the normalisers keep the
    statistics from the time of construction.

    Args:
        arrays: named tensors of an agent.
        network: architecture of actor and critic.
        observation_size: number of observed values.
        action_space: of one simulation.
        gradient: arrays that receive the derivatives; ``None`` for a policy that is not trained.
        std: shape (): the present standard deviation of actions, if it falls by a schedule.
        microbatch_size: as for ``poolrl.networks.factory.make_network``.

    Attributes:
        distribution: of the actions.
        network: normalised observations -> parameters of the distribution, and values, normalised
            ones if the agent has ``value_normalizer``; see ``denormalized``.
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
        gradient: Mapping[str, F32] | None = None,
        std: NDArray[Any] | None = None,
        microbatch_size: int = 0,
    ) -> None:
        normalized_values = has_normalized_values(arrays)
        shapes = expected_shapes(
            network, observation_size, action_space, normalized_values=normalized_values
        )
        check_arrays(arrays, shapes, network)
        self.distribution = make_distribution(network, action_space, std)
        outputs = self.distribution.num_parameters - self.distribution.free_parameters
        self.network: Network = make_network(
            arrays, network, observation_size, outputs, gradient, microbatch_size
        )
        self._arrays, self._spec = arrays, network
        self._is_recurrent = self.network.has_memory
        self.value_normalizer: ValueNormalizer | None = None
        self.value_type: type[np.floating] = np.float64 if normalized_values else np.float32
        self.observation_type: type[np.floating] = np.float32
        self._normalizer: Normalizer | DoubleNormalizer | None = None
        self.read_statistics()

    def read_statistics(self) -> None:
        """Take over the statistics that the arrays have now."""
        spec = self._spec
        if has_normalized_values(self._arrays):
            self.value_normalizer = ValueNormalizer(self._arrays)
        if spec.normalize_observations and spec.normalizer_precision == "double":
            self._normalizer, self.observation_type = DoubleNormalizer(self._arrays), np.float64
        elif spec.normalize_observations:
            self._normalizer = Normalizer(self._arrays)

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
            state: memory that the previous call returned; empty at first.
            episode_start: (n,): True where an episode starts and the memory is reset.
            generator: source of action noise; ``None`` for deterministic actions.
        """
        x = self.normalized(observation)
        if self._is_recurrent:
            return self._act_with_memory(x, state, episode_start, generator)
        noise = self._noise(len(x), generator)
        parameters, _ = self.network.act(x, (), noise)
        if generator is None:
            return PolicyOutput(self.distribution.mode(parameters), None, None, ())
        sample = self.distribution.sample(parameters, generator)
        action = self.distribution.action(sample)
        return PolicyOutput(action, sample, parameters, (), noise=noise)

    def _act_with_memory(
        self,
        x: F32,
        state: State,
        episode_start: NDArray[np.bool_] | None,
        generator: np.random.Generator | None,
    ) -> PolicyOutput:
        if not state:
            state = self.network.initial_state(len(x))
        elif episode_start is not None and episode_start.any():
            state = reset_state(state, self.network.initial_state(len(x)), episode_start)
        noise = self._noise(len(x), generator)
        if generator is None:
            parameters, after = self.network.act(x, state, noise)
            return PolicyOutput(self.distribution.mode(parameters), None, None, after)
        output, after = self.network.step(x, state, noise)
        sample = self.distribution.sample(output.parameters, generator)
        action = self.distribution.action(sample)
        return PolicyOutput(action, sample, output.parameters, after, output.value, state, noise)

    def _noise(self, n: int, generator: np.random.Generator | None) -> F32 | None:
        if not self.network.noise_size or generator is None:
            return None
        return generator.standard_normal((n, self.network.noise_size), np.float32)

    def normalized(self, observation: NDArray[np.floating]) -> F32:
        """Normalise observations, shape (n, observation size), for actor and critic."""
        if self._normalizer is None:
            return observation.astype(np.float32)
        return self._normalizer(observation)

    def value(self, observation: NDArray[np.floating], state: State = ()) -> NDArray[np.floating]:
        """The critic's estimates, shape (n,), in the unit of the rewards; of ``value_type``.

        Args:
            observation: (n, observation size), not normalised.
            state: memory before these observations; empty at the start of episodes.
        """
        if self._is_recurrent and not state:
            state = self.network.initial_state(len(observation))
        return self.denormalized(self.network.values(self.normalized(observation), state))

    def denormalized(self, value: F32) -> NDArray[np.floating]:
        """What the critic's outputs, of any shape, mean in the unit of the rewards."""
        return value if self.value_normalizer is None else self.value_normalizer.denormalized(value)
