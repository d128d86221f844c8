"""Means over seeds with bootstrap intervals, and curves on a common grid: pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]

RESAMPLES = 10_000


class Interval(NamedTuple):
    """An estimate with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


class Band(NamedTuple):
    """A mean curve with its 95 % bootstrap interval at each point; each of shape (points,)."""

    mean: F64
    low: F64
    high: F64


def resampled_means(values: F64, generator: np.random.Generator) -> F64:
    """Means of samples that are drawn with replacement, each as large as the given one.

    Args:
        values: (n, …), one a seed.
        generator: of the resampling.

    Returns:
        (RESAMPLES, …).
    """
    n = len(values)
    chosen = generator.integers(0, n, (RESAMPLES, n))
    # How often each seed was drawn: less memory than the drawn curves themselves.
    flat = chosen + n * np.arange(RESAMPLES)[:, None]
    counts = np.bincount(flat.ravel(), minlength=RESAMPLES * n).reshape(RESAMPLES, n)
    means: F64 = np.tensordot(counts / n, values, axes=1)
    return means


def mean_band(curves: F64, generator: np.random.Generator) -> Band:
    """Mean of curves with its interval over seeds.

    Args:
        curves: (n, points), one a seed.
        generator: of the resampling.
    """
    low, high = np.percentile(resampled_means(curves, generator), [2.5, 97.5], axis=0)
    return Band(curves.mean(axis=0), low, high)


def on_common_grid(curves: Sequence[tuple[F64, F64]], points: int) -> tuple[F64, F64]:
    """Curves at the same places, from the latest of their starts to the earliest of their ends.

    Args:
        curves: x, in ascending order, and y of each of n curves.
        points: of the result.

    Returns:
        The places, (points,), and the values there, (n, points).
    """
    start, end = max(x[0] for x, _ in curves), min(x[-1] for x, _ in curves)
    grid = np.linspace(start, max(start, end), points)
    return grid, np.array([np.interp(grid, x, y) for x, y in curves])
