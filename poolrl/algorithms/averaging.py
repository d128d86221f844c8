"""Weighted means of agents that were trained from the same one.

Means are taken in float64, in the order of the agents, and cast once, so that they depend on the
agents alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from poolrl.agent import OPTIMIZER_PREFIX, Agent
from poolrl.errors import Divergence, UsageError
from poolrl.exploration.sensors import EXTREMA
from poolrl.networks.parameters import (
    DUAL_PREFIX,
    EXPLORATION_PREFIX,
    LEARNER_PREFIX,
    has_normalized_values,
    is_parameter,
)
from poolrl.networks.value_normalizer import PREFIX as VALUE_PREFIX
from poolrl.networks.value_normalizer import ValueNormalizer

F64 = NDArray[np.float64]

FREE_PARAMETERS = "actor.free"
"""Parameters of the distribution that do not depend on the observation, such as log σ."""

LEARNING_RATE = f"{LEARNER_PREFIX}learning_rate"
"""A learning rate that adapts, whose mean is geometric."""

EXTREMES = {f"{LEARNER_PREFIX}reward_min": np.minimum, f"{LEARNER_PREFIX}reward_max": np.maximum}
"""Smallest and largest rewards, of which all branches' are one."""


def mean_agent(
    start: Agent,
    trained: Sequence[Agent],
    weights: Sequence[float],
    *,
    step: float = 1.0,
    before: Agent | None = None,
    momentum: float = 0.0,
) -> Agent:
    """Return θ + s·Σ wᵢ·(θᵢ − θ) + β·(θ − θ'), with θ of the start.

    That is so for the weights and biases of networks. What else is in an agent is not extrapolated:
    standard deviations that do not depend on the observation, dual variables, statistics of
    observations, values and rewards, and Adam's moments are weighted means (statistics of all
    samples together would fit no network), adaptive learning rates weighted geometric means,
    extremes of rewards and extrema that exploration has seen those of all, and counts of steps,
    episodes and updates are the largest. The heads of critics that predict normalised values are
    first converted to the mean statistics, in which their values are the same.

    Args:
        start: agent that all were trained from.
        trained: the others, at least one.
        weights: of each of them, not negative, with a sum of 1.
        step: s.
        before: agent with θ', if there is a momentum.
        momentum: β.

    Raises:
        Divergence: an array of the result is not finite.
        UsageError: critics of normalised values cannot be converted; see ``check_averages``.
    """
    agents = [start, *trained] if before is None else [start, *trained, before]
    statistics = _means(
        [_part(each.arrays, VALUE_PREFIX) for each in trained], weights, parameters=()
    )
    arrays_of = [_with_value_statistics(each, statistics) for each in agents]
    first, others = arrays_of[0], arrays_of[1 : 1 + len(trained)]
    with np.errstate(over="ignore", invalid="ignore"):
        arrays = _means(others, weights, parameters=[n for n in first if _is_extrapolated(n)])
        for name in arrays:
            if not _is_extrapolated(name) or name not in first:
                continue
            origin = first[name].astype(np.float64)
            moved = sum(
                (
                    weight * (other[name] - origin)
                    for weight, other in zip(weights, others, strict=True)
                ),
                np.zeros_like(origin),
            )
            value = origin + step * moved
            if before is not None and momentum:
                value += momentum * (origin - arrays_of[-1][name])
            arrays[name] = value.astype(trained[0].arrays[name].dtype)
    arrays |= statistics
    _check_finite(arrays, "the mean of {} is not finite")
    metadata = trained[0].metadata
    counts = {
        name: max(getattr(each.metadata, name) for each in trained)
        for name in ("environment_steps", "episodes", "updates")
    }
    return Agent(arrays, msgspec.structs.replace(metadata, **counts))


def check_no_nan(agent: Agent) -> None:
    """Check that training can go on from an agent: NaN in any of its arrays reaches them all.

    Raises:
        Divergence: an array holds NaN.
    """
    for name, array in agent.arrays.items():
        if array.dtype.kind == "f" and np.isnan(array).any():
            raise Divergence(f"training made {name} not finite")


def check_finite(agent: Agent) -> None:
    """Check that an agent can be part of a mean.

    Raises:
        Divergence: an array is not finite.
    """
    _check_finite(agent.arrays, "training made {} not finite")


def _check_finite(arrays: Mapping[str, NDArray[Any]], message: str) -> None:
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise Divergence(message.format(name))


def check_averages(agent: Agent, *, normalized_values: bool) -> None:
    """Check that agents like this one have means.

    Args:
        agent: any one of them.
        normalized_values: whether their critics will predict normalised values.

    Raises:
        UsageError: an array does not hold floating-point numbers, or the critics cannot be
            converted to common statistics.
    """
    for name, array in agent.arrays.items():
        if array.dtype.kind != "f":
            raise UsageError(f"the network's tensor {name} is {array.dtype}, which has no mean")
    if normalized_values and agent.policy.network.value_head is None:
        raise UsageError(
            "the critic has no linear layer at its end that could be converted to the mean "
            "statistics of its values: set learner.normalize_values = false"
        )


def _is_extrapolated(name: str) -> bool:
    not_weights = (OPTIMIZER_PREFIX, DUAL_PREFIX, FREE_PARAMETERS)
    return is_parameter(name) and not name.startswith(not_weights)


def _part(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    return {name: array for name, array in arrays.items() if name.startswith(prefix)}


def _means(
    given: Sequence[Mapping[str, NDArray[Any]]],
    weights: Sequence[float],
    parameters: Sequence[str],
) -> dict[str, NDArray[Any]]:
    """Weighted means of arrays by name, of those that have them.

    Args:
        given: arrays of each agent.
        weights: of each agent.
        parameters: names that are computed elsewhere, and only keep their place here.
    """
    means: dict[str, NDArray[Any]] = {}
    for name in dict.fromkeys(name for arrays in given for name in arrays):
        held = [(w, a[name]) for w, a in zip(weights, given, strict=True) if name in a]
        total = sum(weight for weight, _ in held)
        first = held[0][1]
        if name in parameters or not total or all(np.array_equal(first, a) for _, a in held):
            means[name] = first
        elif name.startswith(OPTIMIZER_PREFIX) and name.endswith("/step"):
            means[name] = np.maximum.reduce([array for _, array in held])
        elif name.startswith(EXPLORATION_PREFIX):
            extremum = EXTREMA[name.removeprefix(EXPLORATION_PREFIX)]
            means[name] = extremum.reduce([array for _, array in held])
        elif name in EXTREMES:
            means[name] = EXTREMES[name].reduce([array for _, array in held])
        elif name == LEARNING_RATE:
            logarithm = sum(weight / total * np.log(array) for weight, array in held)
            means[name] = np.asarray(np.exp(logarithm), first.dtype)
        else:
            mean = sum(weight / total * array.astype(np.float64) for weight, array in held)
            means[name] = np.asarray(mean, first.dtype)
    return means


def _with_value_statistics(
    agent: Agent, statistics: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    """The arrays of an agent whose critic predicts the same values by other statistics.

    Args:
        agent: any agent.
        statistics: the others; empty for values as they are.
    """
    arrays = dict(agent.arrays)
    scale, mean = _transformation(arrays)
    new_scale, new_mean = _transformation(statistics)
    if (scale, mean) == (new_scale, new_mean) or not new_scale:
        return arrays
    if (head := agent.policy.network.value_head) is None:
        raise UsageError("the critic of this network cannot be converted to other statistics")
    weight, bias = (arrays[name].astype(np.float64) for name in head)
    # Kept in float64: the mean is cast once.
    arrays[head[0]] = weight * (scale / new_scale)
    arrays[head[1]] = (bias * scale + mean - new_mean) / new_scale
    return arrays


def _transformation(arrays: Mapping[str, NDArray[Any]]) -> tuple[float, float]:
    """Scale and mean that turn a critic's output into a value."""
    if not has_normalized_values(arrays):
        return 1.0, 0.0
    normalizer = ValueNormalizer(arrays)
    return normalizer.deviation, normalizer.mean
