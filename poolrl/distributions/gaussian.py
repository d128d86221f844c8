"""Normal distributions with a state-independent standard deviation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from poolrl.distributions.base import F32, Distribution, Gradient

_HALF_LOG_2_PI = np.float32(0.9189385332046727)


class Gaussian(Distribution):
    """Independent normal distributions, one per action dimension (Schulman et al. 2017).

    For m dimensions, the first m of 2·m parameters are the means; the others, log σ, are learned
    directly. In a bounded dimension, a sample of 0 is the middle of the range and ±1 its ends, and
    the action is clipped to them; in an unbounded one the sample is the action.

    Args:
        low, high: (m,), bounds of the actions, or infinite.
    """

    def __init__(self, low: NDArray[Any], high: NDArray[Any]) -> None:
        bounded = np.isfinite(low) & np.isfinite(high)
        self._low, self._high = np.asarray(low, np.float32), np.asarray(high, np.float32)
        middle = np.where(bounded, (np.where(bounded, low, 0) + np.where(bounded, high, 0)) / 2, 0)
        half = np.where(bounded, (np.where(bounded, high, 0) - np.where(bounded, low, 0)) / 2, 1)
        self._middle, self._half = middle.astype(np.float32), half.astype(np.float32)
        self._size = len(self._low)
        self.num_parameters = 2 * self._size
        self.free_parameters = self._size

    def mode(self, parameters: F32) -> F32:
        return self.action(parameters[:, : self._size])

    def sample(self, parameters: F32, generator: np.random.Generator) -> F32:
        mean, log_std = parameters[:, : self._size], parameters[0, self._size :]
        x: F32 = generator.standard_normal(mean.shape, np.float32)
        x *= np.exp(log_std)
        x += mean
        return x

    def action(self, sample: NDArray[Any]) -> F32:
        action: F32 = sample * self._half
        action += self._middle
        np.maximum(action, self._low, out=action)
        np.minimum(action, self._high, out=action)
        return action

    def log_prob(self, parameters: F32, sample: NDArray[Any]) -> F32:
        return self._parts(parameters, sample)[0]

    def log_prob_gradient(self, parameters: F32, sample: NDArray[Any]) -> Gradient:
        value, deviations, precision = self._parts(parameters, sample)
        gradient = np.empty_like(parameters)
        # d/dμ = (x − μ)/σ², d/d log σ = ((x − μ)/σ)² − 1
        np.multiply(deviations, precision, out=gradient[:, : self._size])
        np.square(deviations, out=gradient[:, self._size :])
        gradient[:, self._size :] -= 1
        return Gradient(value, gradient)

    def entropy(self, parameters: F32) -> F32:
        entropies = parameters[:, self._size :] + (_HALF_LOG_2_PI + np.float32(0.5))
        entropy: F32 = entropies.sum(axis=1)
        return entropy

    def entropy_gradient(self, parameters: F32) -> Gradient:
        gradient = np.zeros_like(parameters)
        gradient[:, self._size :] = 1
        return Gradient(self.entropy(parameters), gradient)

    def _parts(self, parameters: F32, sample: NDArray[Any]) -> tuple[F32, F32, F32]:
        """Log density, shape (n,), (x − μ)/σ, shape (n, size), and 1/σ, shape (size,)."""
        log_std = parameters[0, self._size :]  # the same in every row
        precision = np.exp(-log_std)
        deviations: F32 = (sample - parameters[:, : self._size]) * precision
        value: F32 = np.square(deviations).sum(axis=1)
        value *= np.float32(-0.5)
        value -= log_std.sum() + self._size * _HALF_LOG_2_PI
        return value, deviations, precision
