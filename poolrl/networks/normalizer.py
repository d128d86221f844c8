"""Normalisation of observations by running statistics, which are part of the agent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poolrl.config.networks import NetworkSpec
from poolrl.networks.running_statistics import merge_batch

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

OBSERVATION_CLIP = np.float32(10.0)
"""Normalised observations are clipped to ± this many standard deviations."""

VARIANCE_FLOOR = 1e-6
"""Added to the running variance, to avoid division by zero for a constant observation."""

RELATIVE_FLOOR, ABSOLUTE_FLOOR = 1e-13, 1e-14
"""Standard deviations, as a share of the mean and absolute, up to which ``DoubleNormalizer`` takes
an observation for constant: what rounding errors of float64 make of one."""


class Normalizer:
    """Scale observations to mean 0 and variance 1, by the statistics at the time of construction.

    Args:
        arrays: contain ``normalizer.mean`` and ``normalizer.var``, shape (size,), and
            ``normalizer.count``.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self._mean = arrays["normalizer.mean"].astype(np.float32)
        deviation = np.sqrt(arrays["normalizer.var"].astype(np.float64) + VARIANCE_FLOOR)
        self._scale = (1.0 / deviation).astype(np.float32)

    def __call__(self, observation: NDArray[np.floating]) -> F32:
        """Normalise and clip observations, shape (n, size)."""
        x = observation.astype(np.float32)
        x -= self._mean
        x *= self._scale
        np.minimum(x, OBSERVATION_CLIP, out=x)
        np.maximum(x, -OBSERVATION_CLIP, out=x)
        return x


class DoubleNormalizer:
    """As ``Normalizer``, with arithmetic in float64 and without a floor in the observations' unit.

    Times in Unix seconds and positions on a map keep what they vary by, and so do values of any
    unit. What has not varied but for rounding errors is 0.

    Args:
        arrays: as for ``Normalizer``.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self._mean = arrays["normalizer.mean"].astype(np.float64)
        deviation = np.sqrt(arrays["normalizer.var"])
        varies = deviation > np.maximum(RELATIVE_FLOOR * np.abs(self._mean), ABSOLUTE_FLOOR)
        self._scale = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=varies)

    def __call__(self, observation: NDArray[np.floating]) -> F32:
        """Normalise and clip observations, shape (n, size)."""
        x: F64 = np.subtract(observation, self._mean, dtype=np.float64, casting="unsafe")
        x *= self._scale
        np.minimum(x, OBSERVATION_CLIP, out=x)
        np.maximum(x, -OBSERVATION_CLIP, out=x)
        return x.astype(np.float32)


def update_normalizer(
    arrays: Mapping[str, NDArray[Any]], network: NetworkSpec, observation: NDArray[np.floating]
) -> None:
    """Update a network's statistics of observations, if it has some, from a batch.

    Args:
        arrays: as for ``Normalizer``; updated in place.
        network: says in which precision.
        observation: (n, size).
    """
    if not network.normalize_observations:
        return
    if network.normalizer_precision == "double":
        update_statistics_in_double(arrays, observation.astype(np.float64, copy=False))
    else:
        update_statistics(arrays, observation.astype(np.float32, copy=False))


def update_statistics_in_double(arrays: Mapping[str, NDArray[Any]], observation: F64) -> None:
    """As ``update_statistics``, for observations (n, size) in float64 that may be far from zero."""
    mean, var, count = (arrays[f"normalizer.{name}"] for name in ("mean", "var", "count"))
    merge_batch(mean, var, count, observation)


def update_statistics(arrays: Mapping[str, NDArray[Any]], observation: F32) -> None:
    """Update the running mean and variance from a batch (Chan et al. 1983, parallel variance).

    Args:
        arrays: as for ``Normalizer``; updated in place.
        observation: (n, size), float32; sums are taken in float64.
    """
    mean, var, count = (arrays[f"normalizer.{name}"] for name in ("mean", "var", "count"))
    n, total = len(observation), float(count) + len(observation)
    new_mean = observation.mean(axis=0, dtype=np.float64)
    deviation = observation - new_mean
    new_var = np.einsum("ij,ij->j", deviation, deviation) / n
    delta = new_mean - mean
    old_share, new_share = float(count) / total, n / total
    var *= old_share
    var += new_var * new_share
    var += delta * delta * (old_share * new_share)
    mean += delta * new_share
    count[...] = total
