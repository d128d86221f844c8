"""The fast path of acting: a policy in NumPy, without autograd and without torch."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from poolrl.config import NetworkSpec
from poolrl.errors import UsageError
from poolrl.policy.distributions import F32, make_distribution
from poolrl.spaces import ActionSpace

OBSERVATION_CLIP = 10.0
"""Normalised observations are clipped to ± this many standard deviations."""

VARIANCE_FLOOR = 1e-6
"""Added to the running variance, so that a constant observation can be divided by its deviation."""

State = tuple[F32, ...]
"""What a recurrent network carries from step to step; empty for feed-forward networks."""


class Act(NamedTuple):
    """What a policy did with a batch of n observations.

    Attributes:
        action: (n, action size), float32, within the bounds of the action space.
        sample: (n, action size), float32: the distribution's own variable behind the action.
        log_prob: (n,), float32: log density of ``sample``; ``None`` for deterministic actions.
        value: (n,), float32: the critic's estimate; ``None`` for deterministic actions.
        state: to be handed in with the next observations.
    """

    action: F32
    sample: F32 | None
    log_prob: F32 | None
    value: F32 | None
    state: State


class Policy:
    """Actor and critic over the arrays of an agent, which it shares and does not copy.

    Raises:
        UsageError: the arrays are not those of the network.
    """

    def __init__(
        self,
        arrays: Mapping[str, NDArray[np.generic]],
        network: NetworkSpec,
        observation_size: int,
        action_space: ActionSpace,
    ) -> None:
        check_arrays(arrays, expected_shapes(network, observation_size, action_space))
        self._distribution = make_distribution(network.distribution, action_space)
        self._actor = _layers(arrays, "actor", len(network.actor))
        self._critic = _layers(arrays, "critic", len(network.critic))
        self._activation = ACTIVATIONS[network.activation]
        self._normalize = network.normalize_observations
        if self._normalize:
            mean, var = arrays["normalizer.mean"], arrays["normalizer.var"]
            self._mean = mean.astype(np.float32)
            self._scale = inverse_deviation(var)

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
            generator: the source of action noise; ``None`` for the mean action.
        """
        x = self._normalized(observation)
        parameters = self._forward(self._actor, x)
        if generator is None:
            return Act(self._distribution.mean(parameters), None, None, None, ())
        action, sample, log_prob = self._distribution.sample(parameters, generator)
        return Act(action, sample, log_prob, self._forward(self._critic, x)[:, 0], ())

    def value(self, observation: NDArray[np.floating], state: State = ()) -> F32:
        """(n,): the critic's estimates."""
        return self._forward(self._critic, self._normalized(observation))[:, 0]

    def _normalized(self, observation: NDArray[np.floating]) -> F32:
        x = observation.astype(np.float32)
        if self._normalize:
            x -= self._mean
            x *= self._scale
            np.clip(x, -OBSERVATION_CLIP, OBSERVATION_CLIP, out=x)
        return x

    def _forward(self, layers: list[tuple[F32, F32]], x: F32) -> F32:
        *hidden, (weight, bias) = layers
        for inner_weight, inner_bias in hidden:
            x = x @ inner_weight
            x += inner_bias
            self._activation(x)
        return x @ weight + bias


def inverse_deviation(var: NDArray[np.generic]) -> F32:
    """1/√(variance + floor) as float32; the one place that says how observations are scaled."""
    scale: F32 = (1.0 / np.sqrt(var.astype(np.float64) + VARIANCE_FLOOR)).astype(np.float32)
    return scale


def expected_shapes(
    network: NetworkSpec, observation_size: int, action_space: ActionSpace
) -> dict[str, tuple[int, ...]]:
    """The names and shapes of a network's arrays, as torch names them."""
    shapes: dict[str, tuple[int, ...]] = {}
    if network.normalize_observations:
        size = (observation_size,)
        shapes |= {"normalizer.mean": size, "normalizer.var": size, "normalizer.count": ()}
    outputs = make_distribution(network.distribution, action_space).num_parameters
    for part, sizes in (
        ("actor", [observation_size, *network.actor, outputs]),
        ("critic", [observation_size, *network.critic, 1]),
    ):
        # torch.nn.Sequential numbers the activations too, so linear layers have even numbers.
        for i, (inputs, units) in enumerate(pairwise(sizes)):
            shapes[f"{part}.{2 * i}.weight"] = (units, inputs)
            shapes[f"{part}.{2 * i}.bias"] = (units,)
    return shapes


def check_arrays(
    arrays: Mapping[str, NDArray[np.generic]], shapes: Mapping[str, tuple[int, ...]]
) -> None:
    """Refuse arrays that lack a name, or have another shape or kind.

    Raises:
        UsageError: names the first array that is wrong.
    """
    for name, shape in shapes.items():
        if name not in arrays:
            raise UsageError(f"agent: tensor {name} is missing")
        if arrays[name].shape != shape:
            raise UsageError(f"agent: tensor {name} has shape {arrays[name].shape}, not {shape}")
        dtype = np.float64 if name.startswith("normalizer.") else np.float32
        if arrays[name].dtype != dtype:
            raise UsageError(f"agent: tensor {name} is {arrays[name].dtype}, not {dtype.__name__}")


def initial_arrays(
    network: NetworkSpec,
    observation_size: int,
    action_space: ActionSpace,
    generator: np.random.Generator,
) -> dict[str, NDArray[np.generic]]:
    """The arrays of a new agent.

    Weights are orthogonal with gain √2, 0.01 for the actor's last layer (all actions alike at
    first) and 1 for the critic's; biases are zero (Andrychowicz et al. 2021).
    """
    arrays: dict[str, NDArray[np.generic]] = {}
    last = {"actor": f"actor.{2 * len(network.actor)}.weight"}
    last["critic"] = f"critic.{2 * len(network.critic)}.weight"
    gains = {last["actor"]: 0.01, last["critic"]: 1.0}
    for name, shape in expected_shapes(network, observation_size, action_space).items():
        if name.endswith(".weight"):
            weight = _orthogonal(shape, generator) * (gains[name] if name in gains else np.sqrt(2))
            arrays[name] = weight.astype(np.float32)
        elif name.startswith("normalizer."):
            arrays[name] = np.full(shape, float(name == "normalizer.var"))
        else:
            arrays[name] = np.zeros(shape, np.float32)
    return arrays


def _orthogonal(shape: tuple[int, ...], generator: np.random.Generator) -> NDArray[np.float64]:
    rows, columns = shape
    normal = generator.standard_normal((max(shape), min(shape)))
    q, r = np.linalg.qr(normal)
    q *= np.sign(np.diag(r))  # without this, QR would not draw uniformly
    matrix: NDArray[np.float64] = q if rows >= columns else q.T
    return matrix


def _tanh(x: F32) -> None:
    np.tanh(x, out=x)


def _relu(x: F32) -> None:
    np.maximum(x, 0, out=x)


ACTIVATIONS = {"tanh": _tanh, "relu": _relu}
"""In place."""


def _layers(
    arrays: Mapping[str, NDArray[np.generic]], name: str, hidden: int
) -> list[tuple[F32, F32]]:
    return [
        (arrays[f"{name}.{2 * i}.weight"].T, arrays[f"{name}.{2 * i}.bias"])  # type: ignore[misc]
        for i in range(hidden + 1)
    ]
