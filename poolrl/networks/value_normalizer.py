"""Normalised values: the critic predicts values in units of their running mean and deviation.

Without it, the unit of the rewards decides how a critic learns: a step of Adam has a length of its
own, which is nothing against a value of a million and everything against one of a thousandth.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poolrl.networks.running_statistics import merge_batch

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

PREFIX = "value_normalizer."
"""Of the names of its arrays. An agent that has them has a critic of normalised values."""

SMALLEST_DEVIATION = 1e-10
"""As a share of the mean: targets that vary by less count as equal."""


def initial_statistics(deviation: float) -> dict[str, NDArray[Any]]:
    """Statistics before the first target: mean 0 and a given deviation.

    Args:
        deviation: 0 for a new critic, so that its random values count as nothing in any unit of
            the rewards; 1 for a critic that has learned values as they are.
    """
    values = {"mean": 0.0, "var": deviation**2, "count": 0.0}
    return {f"{PREFIX}{name}": np.array(value) for name, value in values.items()}


class ValueNormalizer:
    """The transformation by the statistics at the time of construction.

    Args:
        arrays: contain ``value_normalizer.mean``, ``….var`` and ``….count``, float64 of shape ().

    Attributes:
        mean, deviation: of the targets so far; a deviation of 0 where all were equal.
        count: number of targets so far.
        unit: what advantages are divided by: the deviation, or else the size of the mean, or 1.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.mean, var, self.count = (
            float(arrays[f"{PREFIX}{name}"]) for name in ("mean", "var", "count")
        )
        deviation = float(np.sqrt(var))
        self.deviation = deviation if deviation > SMALLEST_DEVIATION * abs(self.mean) else 0.0
        self.unit = self.deviation or abs(self.mean) or 1.0

    def denormalized(self, value: F32) -> F64:
        """The values, in the unit of the rewards, that a critic's outputs mean."""
        raw = value.astype(np.float64)
        raw *= self.deviation
        raw += self.mean
        return raw

    def normalized(self, target: NDArray[np.floating]) -> F32:
        """Targets for the critic; 0 while all targets were equal."""
        if not self.deviation:
            return np.zeros(target.shape, np.float32)
        return ((target - self.mean) / self.deviation).astype(np.float32)


def update_value_statistics(arrays: Mapping[str, NDArray[Any]], targets: F64) -> None:
    """Update the statistics, in place, from a batch of targets, shape (n,)."""
    mean, var, count = (arrays[f"{PREFIX}{name}"] for name in ("mean", "var", "count"))
    merge_batch(mean, var, count, targets)
