"""What distributions with a normal sample have in common."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from poolrl.distributions.base import F32, Distribution, Gradient, inner_bounds
from poolrl.distributions.standard_deviation import StandardDeviation

_HALF_LOG_2_PI = np.float32(0.9189385332046727)


class Normal(Distribution):
    """Base of distributions whose sample is normal, independent over m dimensions.

    The first m parameters are the means; those of the standard deviation follow.

    Args:
        low, high: (m,), bounds of the actions, or infinite. In a bounded dimension, ±1 stands for
            the ends of the range; in an unbounded one, the unit is the action's.
        std: where the standard deviation comes from.
    """

    def __init__(self, low: NDArray[Any], high: NDArray[Any], std: StandardDeviation) -> None:
        self._bounded = bounded = np.isfinite(low) & np.isfinite(high)
        self._low, self._high = inner_bounds(low, high)
        middle = np.where(bounded, (np.where(bounded, low, 0) + np.where(bounded, high, 0)) / 2, 0)
        half = np.where(bounded, (np.where(bounded, high, 0) - np.where(bounded, low, 0)) / 2, 1)
        self._middle, self._half = middle.astype(np.float32), half.astype(np.float32)
        self._size = len(self._low)
        self._std = std
        self.num_parameters = self._size + std.num_parameters
        self.free_parameters = std.free_parameters

    def initial_free(self) -> F32:
        return self._std.initial_free()

    def mode(self, parameters: F32) -> F32:
        """The action of the mean."""
        return self.action(parameters[:, : self._size])

    def sample(self, parameters: F32, generator: np.random.Generator) -> F32:
        mean, log_std = self._mean_and_log_std(parameters)
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
        if self._std.num_parameters:
            by_log_std = gradient[:, self._size :]
            np.square(deviations, out=by_log_std)
            by_log_std -= 1
            self._std.chain(parameters[:, self._size :], by_log_std)
        return Gradient(value, gradient)

    def entropy(self, parameters: F32) -> F32:
        _, log_std = self._mean_and_log_std(parameters)
        entropies = np.empty((len(parameters), self._size), np.float32)
        np.add(log_std, _HALF_LOG_2_PI + np.float32(0.5), out=entropies)
        entropy: F32 = entropies.sum(axis=1)
        return entropy

    def entropy_gradient(self, parameters: F32) -> Gradient:
        gradient = np.zeros_like(parameters)
        if self._std.num_parameters:
            gradient[:, self._size :] = 1
            self._std.chain(parameters[:, self._size :], gradient[:, self._size :])
        return Gradient(self.entropy(parameters), gradient)

    def kl(self, old_parameters: F32, new_parameters: F32) -> F32:
        """log(σ′/σ) + (σ² + (μ − μ′)²)/(2σ′²) − ½ for old μ, σ and new μ′, σ′.

        rl_games has the same with old and new exchanged, and 1e-5 added to a ratio and a divisor.
        """
        old_mean, old_log_std = self._mean_and_log_std(old_parameters)
        new_mean, new_log_std = self._mean_and_log_std(new_parameters)
        divergence: F32 = np.square((old_mean - new_mean) * np.exp(-new_log_std))
        # Where σ hardly changes, expm1 keeps the digits that σ²/σ′² − 1 would lose.
        change = new_log_std - old_log_std
        divergence += np.expm1(-2 * change)
        divergence *= np.float32(0.5)
        divergence += change
        total: F32 = divergence.sum(axis=1)
        return total

    def spread(self, parameters: F32) -> float:
        """Mean standard deviation of the sample, over rows and dimensions."""
        return float(np.exp(self._mean_and_log_std(parameters)[1]).mean())

    def _mean_and_log_std(self, parameters: F32) -> tuple[F32, F32]:
        """The means, shape (n, size), and log σ, shape (n, size) or (size,)."""
        return parameters[:, : self._size], self._std.log_std(parameters[:, self._size :])

    def _parts(self, parameters: F32, sample: NDArray[Any]) -> tuple[F32, F32, F32]:
        """Log density, shape (n,), (x − μ)/σ, shape (n, size), and 1/σ, shaped as log σ."""
        mean, log_std = self._mean_and_log_std(parameters)
        precision = np.exp(-log_std)
        deviations: F32 = (sample - mean) * precision
        value: F32 = np.square(deviations).sum(axis=1)
        value *= np.float32(-0.5)
        value -= log_std.sum(axis=-1) + self._size * _HALF_LOG_2_PI
        return value, deviations, precision
