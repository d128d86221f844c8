"""Normal distributions, clipped to the bounds of the actions."""

from __future__ import annotations

import numpy as np

from poolrl.distributions.base import F32, Gradient
from poolrl.distributions.normal import Normal

_SOFT_BOUND = np.float32(1.1)


class Gaussian(Normal):
    """Independent normal distributions, one per action dimension (Schulman et al. 2017).

    In a bounded dimension, a sample of 0 is the middle of the range and ±1 its ends, and the action
    is clipped to them; in an unbounded one the sample is the action. The deterministic action is
    that of the mean, which is the mode too. Densities are of the sample, before clipping.
    """

    def bounds_loss(self, parameters: F32) -> Gradient:
        """Penalty of means that are far outside the bounds, where clipping hides them.

        It is Σ max(|μ| − 1.1, 0)² over bounded dimensions, as in rl_games (``bound_loss``).

        Returns:
            The penalty of each row, and its derivative.
        """
        mean = parameters[:, : self._size]
        beyond = np.maximum(np.abs(mean) - _SOFT_BOUND, 0)
        beyond *= self._bounded
        gradient = np.zeros_like(parameters)
        np.multiply(2 * beyond, np.sign(mean), out=gradient[:, : self._size])
        return Gradient(np.square(beyond).sum(axis=1), gradient)
