"""Parameters of a policy: names, shapes, checks and initial values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poolrl.config.schema import NetworkSpec
from poolrl.distributions.factory import make_distribution
from poolrl.errors import UsageError
from poolrl.networks.value_normalizer import PREFIX as VALUE_PREFIX
from poolrl.spaces import ActionSpace

MAX_PARAMETERS = 100_000_000
"""Of actor and critic together: 400 MB, far beyond the sizes that NumPy on a CPU is suited to."""


def expected_shapes(
    network: NetworkSpec,
    observation_size: int,
    action_space: ActionSpace,
    *,
    normalized_values: bool = False,
) -> dict[str, tuple[int, ...]]:
    """The names and shapes of a network's arrays, named as in torch.

    Args:
        network: architecture of actor and critic.
        observation_size: number of observed values.
        action_space: of one simulation.
        normalized_values: whether the critic predicts normalised values.

    Raises:
        UsageError: the network's distribution does not suit the actions, or it is far too large.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    if network.normalize_observations:
        size = (observation_size,)
        shapes |= {"normalizer.mean": size, "normalizer.var": size, "normalizer.count": ()}
    if normalized_values:
        shapes |= {f"{VALUE_PREFIX}{name}": () for name in ("mean", "var", "count")}
    distribution = make_distribution(network.distribution, action_space)
    outputs = distribution.num_parameters - distribution.free_parameters
    for part, sizes in (
        ("actor", [observation_size, *network.actor, outputs]),
        ("critic", [observation_size, *network.critic, 1]),
    ):
        # torch.nn.Sequential counts the activations too, so linear layers have even numbers.
        for i, (inputs, units) in enumerate(pairwise(sizes)):
            shapes[f"{part}.{2 * i}.weight"] = (units, inputs)
            shapes[f"{part}.{2 * i}.bias"] = (units,)
    if distribution.free_parameters:
        shapes["actor.free"] = (distribution.free_parameters,)
    total = sum(map(math.prod, shapes.values()))
    if total > MAX_PARAMETERS:
        raise UsageError(f"network: {total:,} parameters, more than {MAX_PARAMETERS:,}")
    return shapes


def has_normalized_values(arrays: Mapping[str, NDArray[Any]]) -> bool:
    """Whether the critic of an agent with these arrays predicts normalised values."""
    return any(name.startswith(VALUE_PREFIX) for name in arrays)


def is_statistic(name: str) -> bool:
    """Whether an array holds running statistics, which no gradient changes."""
    return name.startswith(("normalizer.", VALUE_PREFIX))


def check_arrays(arrays: Mapping[str, NDArray[Any]], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Check names, shapes and types of an agent's arrays.

    Raises:
        UsageError: names the first array that is missing or wrong.
    """
    for name, shape in shapes.items():
        if name not in arrays:
            raise UsageError(f"agent: tensor {name} is missing")
        if arrays[name].shape != shape:
            raise UsageError(f"agent: tensor {name} has shape {arrays[name].shape}, not {shape}")
        dtype = np.float64 if is_statistic(name) else np.float32
        if arrays[name].dtype != dtype:
            raise UsageError(f"agent: tensor {name} is {arrays[name].dtype}, not {dtype.__name__}")


def initial_arrays(
    network: NetworkSpec,
    observation_size: int,
    action_space: ActionSpace,
    generator: np.random.Generator,
) -> dict[str, NDArray[Any]]:
    """Initial values of a new agent's arrays (Andrychowicz et al. 2021).

    Weights are orthogonal with gain √2, but 0.01 in the actor's last layer (a nearly uniform
    initial policy) and 1 in the critic's. Biases are zero.

    Args:
        network: architecture of actor and critic.
        observation_size: number of observed values.
        action_space: of one simulation.
        generator: draws the weights.

    Raises:
        UsageError: as for ``expected_shapes``.
    """
    arrays: dict[str, NDArray[Any]] = {}
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
    q *= np.sign(np.diag(r))  # makes the distribution of q uniform over orthogonal matrices
    matrix: NDArray[np.float64] = q if rows >= columns else q.T
    return matrix
