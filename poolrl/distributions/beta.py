"""Beta distributions, for bounded actions."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from poolrl.distributions.base import F32, Distribution, Gradient
from poolrl.distributions.special_functions import (
    digamma,
    log_gamma,
    log_gamma_remainder,
    sigmoid,
    softplus,
    trigamma,
)

# Samples are clipped to [_EDGE, 1 − _EDGE]: at 0 and 1 the density may be 0 or infinite.
_EDGE = np.float32(1e-6)

# Of the exponential link: α from 0.01 to 1,000, where float32 has α − 1 to five digits.
_LOG_BOUNDS = math.log(0.01), math.log(1000)


class Beta(Distribution):
    """Independent beta distributions on [0, 1], one per action dimension (Chou et al. 2017).

    For m dimensions, the first m of 2·m parameters p give α, the others β: with the softplus link
    1 + softplus(p), so that every density is unimodal; with the exponential one exp(p), within
    [0.01, 1,000], so that densities may be U-shaped, and p = 0 is the uniform one. The action of
    a sample x is low + x·(high − low). The deterministic action is that of the mean α / (α + β):
    unlike the mode, it is never on a bound.

    Args:
        low, high: (m,), bounds of the actions.
        link: how parameters become α and β.
    """

    def __init__(
        self,
        low: NDArray[Any],
        high: NDArray[Any],
        link: Literal["softplus", "exponential"] = "softplus",
    ) -> None:
        self._exponential = link == "exponential"
        self._low = np.asarray(low, np.float32)
        self._scale = np.asarray(high, np.float32) - self._low
        self._size = len(self._low)
        self.num_parameters = 2 * self._size

    def mode(self, parameters: F32) -> F32:
        """The action of the mean α / (α + β)."""
        alpha, beta = self._concentrations(parameters)
        return self.action(alpha / (alpha + beta))

    def sample(self, parameters: F32, generator: np.random.Generator) -> F32:
        alpha, beta = self._concentrations(parameters)
        x = generator.beta(alpha, beta).astype(np.float32)
        np.maximum(x, _EDGE, out=x)
        np.minimum(x, 1 - _EDGE, out=x)
        return x

    def action(self, sample: NDArray[Any]) -> F32:
        action: F32 = sample * self._scale
        action += self._low
        return action

    def log_prob(self, parameters: F32, sample: NDArray[Any]) -> F32:
        return self._log_prob(self._exponents(parameters), self._log_x(sample))

    def log_prob_gradient(self, parameters: F32, sample: NDArray[Any]) -> Gradient:
        concentration = self._exponents(parameters)
        log_x = self._log_x(sample)
        value = self._log_prob(concentration, log_x)
        # d/dα = log x − ψ(α) + ψ(α + β), and d/dβ with log(1 − x).
        concentration += 1
        total = _sum_of_halves(concentration)
        gradient = log_x
        gradient -= digamma(concentration)
        _halves(gradient)[...] += digamma(total)[:, None]
        gradient *= self._slopes(parameters)
        return Gradient(value, gradient)

    def entropy(self, parameters: F32) -> F32:
        return self.entropy_gradient(parameters).value

    def entropy_gradient(self, parameters: F32) -> Gradient:
        concentration = self._exponents(parameters) + 1
        total = _sum_of_halves(concentration)
        entropy = log_gamma(concentration) - (concentration - 1) * digamma(concentration)
        value = entropy.sum(axis=1)
        value += ((total - 2) * digamma(total) - log_gamma(total)).sum(axis=1)
        # dH/dα = −(α − 1) ψ′(α) + (α + β − 2) ψ′(α + β)
        gradient: F32 = (1 - concentration) * trigamma(concentration)
        _halves(gradient)[...] += ((total - 2) * trigamma(total))[:, None]
        gradient *= self._slopes(parameters)
        return Gradient(value, gradient)

    def kl(self, old_parameters: F32, new_parameters: F32) -> F32:
        """log B(α′, β′) − log B(α, β) less the change of first order: log B is the logarithm of the
        normalising constant of an exponential family."""
        old = self._exponents(old_parameters)
        change = self._exponents(new_parameters)
        change -= old
        old += 1
        total: F32 = log_gamma_remainder(old, change).sum(axis=1)
        total -= log_gamma_remainder(_sum_of_halves(old), _sum_of_halves(change)).sum(axis=1)
        return total

    def concentration(self, parameters: F32) -> float:
        # Some of the rows are enough.
        rows = parameters[:: 1 + len(parameters) // 4096]
        return float(_sum_of_halves(self._exponents(rows)).mean(dtype=np.float64)) + 2

    def _exponents(self, parameters: F32) -> F32:
        """α − 1 and β − 1, shape (n, 2·size)."""
        return (
            np.expm1(np.clip(parameters, *_LOG_BOUNDS))
            if self._exponential
            else softplus(parameters)
        )

    def _slopes(self, parameters: F32) -> F32:
        """Their derivatives by the parameters."""
        if not self._exponential:
            return sigmoid(parameters)
        low, high = _LOG_BOUNDS
        return np.where((parameters > low) & (parameters < high), np.exp(parameters), np.float32(0))

    def _concentrations(self, parameters: F32) -> tuple[F32, F32]:
        concentration = self._exponents(parameters)
        concentration += 1
        return concentration[:, : self._size], concentration[:, self._size :]

    def _log_x(self, sample: NDArray[Any]) -> F32:
        """log x and log(1 − x), concatenated to shape (n, 2·size)."""
        logs = np.empty((len(sample), 2 * self._size), np.float32)
        np.log(sample, out=logs[:, : self._size])
        np.log1p(-sample, out=logs[:, self._size :])
        return logs

    def _log_prob(self, exponents: F32, log_x: F32) -> F32:
        """Log density from α − 1 and β − 1, shape (n, 2·size), and ``_log_x``."""
        density: F32 = exponents * log_x
        density -= log_gamma(exponents + 1)
        value: F32 = density.sum(axis=1)
        total = _sum_of_halves(exponents)
        value += log_gamma(total + 2).sum(axis=1)
        return value


def _halves(array: F32) -> F32:
    """View of shape (n, 2, size) on an array of shape (n, 2·size)."""
    return array.reshape(len(array), 2, -1)


def _sum_of_halves(array: F32) -> F32:
    """Shape (n, size), the sum of the halves of an array of shape (n, 2·size)."""
    size = array.shape[1] // 2
    total: F32 = array[:, :size] + array[:, size:]
    return total
