"""Categorical distributions over equidistant values of each action dimension."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from poolrl.distributions.base import F32, inner_bounds
from poolrl.distributions.categorical import Categorical


class Discretized(Categorical):
    """A categorical distribution over the values of each bounded dimension (Tang & Agrawal 2020).

    The k values low + j·(high − low)/(k − 1), j = 0 … k − 1, include both ends, so that full force
    can be chosen; with an odd k the middle is one of them too. A sample, shape (n, m), has the
    indices j; probabilities and entropies are those of the indices. The deterministic action is the
    mode: the most probable value of each dimension, the lower one of equals.

    Args:
        low, high: (m,), bounds of the actions.
        bins: number of values k of each dimension, at least 2.
    """

    def __init__(self, low: NDArray[Any], high: NDArray[Any], bins: int) -> None:
        super().__init__([bins] * len(low))
        ends = np.asarray(low, np.float64), np.asarray(high, np.float64)
        self._values = np.clip(
            np.linspace(*ends, bins).astype(np.float32), *inner_bounds(low, high)
        )
        self._dimensions = np.arange(len(low))

    def action(self, sample: NDArray[Any]) -> F32:
        action: F32 = self._values[sample, self._dimensions]
        return action
