"""Running mean and variance in float64."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]


def merge_batch(mean: F64, var: F64, count: F64, batch: F64) -> None:
    """Update running statistics from a batch (Chan et al. 1983, parallel variance).

    Sums are of differences to the batch's first value, so that values far from zero lose nothing,
    and equal ones have the variance 0.

    Args:
        mean, var: shape (…), over all values so far, updated in place.
        count: shape (), the number of values so far, updated in place.
        batch: (n, …), n ≥ 1.
    """
    n, total = len(batch), float(count) + len(batch)
    difference = batch - batch[0]
    new_difference = difference.mean(axis=0)
    difference -= new_difference
    np.square(difference, out=difference)
    new_var = difference.mean(axis=0)
    delta = batch[0] + new_difference - mean
    old_share, new_share = float(count) / total, n / total
    var *= old_share
    var += new_var * new_share
    var += delta * delta * (old_share * new_share)
    mean += delta * new_share
    count[...] = total
