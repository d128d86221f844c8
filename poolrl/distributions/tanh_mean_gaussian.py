"""Normal distributions around a mean within the bounds, clipped to the bounds of the actions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from poolrl.distributions.base import F32, Gradient
from poolrl.distributions.normal import Normal
from poolrl.distributions.standard_deviation import SoftplusStd


class TanhMeanGaussian(Normal):
    """Independent normal distributions with mean tanh m and σ = clip(softplus p, 1e-4, 1).

    They are those of MPO's published versions (Acme; tonic). The sample is not squashed: it is in
    units of half the range, may lie beyond ±1, and the action is clipped. The deterministic action
    is that of the mean. Densities are of the sample, before clipping.

    Args:
        low, high: (m,), finite bounds of the actions.
    """

    def __init__(self, low: NDArray[Any], high: NDArray[Any]) -> None:
        super().__init__(low, high, SoftplusStd(len(low)))

    def mode(self, parameters: F32) -> F32:
        return self.action(np.tanh(parameters[:, : self._size]))

    def mean_and_std(self, parameters: F32) -> tuple[F32, F32]:
        """Mean and standard deviation of the sample, both (n, m)."""
        mean, log_std = self._mean_and_log_std(parameters)
        return mean, np.exp(log_std)

    def chained(self, parameters: F32, by_mean: F32, by_log_std: F32) -> F32:
        """Derivatives by the parameters, (n, 2m), from those by mean and log σ, both (n, m)."""
        gradient = np.empty_like(parameters)
        slope = np.square(np.tanh(parameters[:, : self._size]))
        np.multiply(by_mean, 1 - slope, out=gradient[:, : self._size])
        gradient[:, self._size :] = by_log_std
        self._std.chain(parameters[:, self._size :], gradient[:, self._size :])
        return gradient

    def log_prob_gradient(self, parameters: F32, sample: NDArray[Any]) -> Gradient:
        value, gradient = super().log_prob_gradient(parameters, sample)
        gradient[:, : self._size] *= 1 - np.square(np.tanh(parameters[:, : self._size]))
        return Gradient(value, gradient)

    def _mean_and_log_std(self, parameters: F32) -> tuple[F32, F32]:
        mean, log_std = super()._mean_and_log_std(parameters)
        return np.tanh(mean), log_std
