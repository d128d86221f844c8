"""Actor and critic as a torch module, for learning."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from torch import Tensor, nn

from poolrl.config import NetworkSpec
from poolrl.policy.acting import Policy
from poolrl.policy.distributions import make_distribution
from poolrl.policy.normalizer import RunningNormalizer
from poolrl.spaces import ActionSpace

ACTIVATIONS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU}


class ActorCritic(nn.Module):
    """Two separate perceptrons over normalised observations."""

    def __init__(
        self, network: NetworkSpec, observation_size: int, action_space: ActionSpace
    ) -> None:
        super().__init__()
        self._network = network
        self._observation_size = observation_size
        self._action_space = action_space
        self.distribution = make_distribution(network.distribution, action_space)
        if network.normalize_observations:
            self.normalizer = RunningNormalizer(observation_size)
        self.actor = _perceptron(
            [observation_size, *network.actor, self.distribution.num_parameters],
            network.activation,
        )
        self.critic = _perceptron([observation_size, *network.critic, 1], network.activation)

    def normalized(self, observation: Tensor) -> Tensor:
        """(n, observation size) observations as the networks take them."""
        if self._network.normalize_observations:
            return self.normalizer(observation)  # type: ignore[no-any-return]
        return observation

    def observe(self, observation: np.ndarray) -> None:
        """Let (n, observation size) observations into the running statistics."""
        if self._network.normalize_observations:
            self.normalizer.update(observation)

    def policy(self) -> Policy:
        """The acting side over this module's memory; make it anew after ``observe``."""
        arrays = {name: tensor.numpy() for name, tensor in self.state_dict().items()}
        return Policy(arrays, self._network, self._observation_size, self._action_space)


def _perceptron(sizes: Sequence[int], activation: str) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), ACTIVATIONS[activation]()]
    return nn.Sequential(*layers[:-1])
