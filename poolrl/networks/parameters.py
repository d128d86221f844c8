"""The arrays of a policy: their names and shapes, and those of a new one."""

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
from poolrl.spaces import ActionSpace

MOST_PARAMETERS = 100_000_000
"""Of actor and critic together; many times what acting here is made for, and 400 MB."""


def expected_shapes(
    network: NetworkSpec, observation_size: int, action_space: ActionSpace
) -> dict[str, tuple[int, ...]]:
    """The names and shapes of a network's arrays, as torch names them.

    Raises:
        UsageError: the network's distribution does not suit the actions, or it is far too large.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    if network.normalize_observations:
        size = (observation_size,)
        shapes |= {"normalizer.mean": size, "normalizer.var": size, "normalizer.count": ()}
    distribution = make_distribution(network.distribution, action_space)
    outputs = distribution.num_parameters - distribution.free_parameters
    for part, sizes in (
        ("actor", [observation_size, *network.actor, outputs]),
        ("critic", [observation_size, *network.critic, 1]),
    ):
        # torch.nn.Sequential numbers the activations too, so linear layers have even numbers.
        for i, (inputs, units) in enumerate(pairwise(sizes)):
            shapes[f"{part}.{2 * i}.weight"] = (units, inputs)
            shapes[f"{part}.{2 * i}.bias"] = (units,)
    if distribution.free_parameters:
        shapes["actor.free"] = (distribution.free_parameters,)
    total = sum(map(math.prod, shapes.values()))
    if total > MOST_PARAMETERS:
        raise UsageError(f"network: {total:,} parameters, more than {MOST_PARAMETERS:,}")
    return shapes


def check_arrays(arrays: Mapping[str, NDArray[Any]], shapes: Mapping[str, tuple[int, ...]]) -> None:
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
) -> dict[str, NDArray[Any]]:
    """The arrays of a new agent.

    Weights are orthogonal with gain √2, 0.01 for the actor's last layer (all actions alike at
    first) and 1 for the critic's; all else is zero (Andrychowicz et al. 2021).
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
    q *= np.sign(np.diag(r))  # without this, QR would not draw uniformly
    matrix: NDArray[np.float64] = q if rows >= columns else q.T
    return matrix
