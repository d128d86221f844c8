"""Where the standard deviation σ of normal distributions comes from.

All σ are in the unit of the sample. Distributions compute with log σ; a source gives it, and turns
derivatives by log σ into derivatives by its own parameters.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from poolrl.distributions.base import F32


class StandardDeviation(ABC):
    """Source of the standard deviations of m independent normal distributions.

    Attributes:
        num_parameters: number of its parameters, which follow the means.
        free_parameters: number of the last ones that do not depend on the observation.
    """

    num_parameters: int = 0
    free_parameters: int = 0

    @abstractmethod
    def log_std(self, parameters: F32) -> F32:
        """log σ from (n, num_parameters): (n, m), or (m,) where σ is the same in every row."""

    def chain(self, parameters: F32, by_log_std: F32) -> None:  # noqa: B027 (most have nothing to do)
        """Turn derivatives by log σ into derivatives by the parameters; here they are log σ.

        Args:
            parameters: (n, num_parameters).
            by_log_std: (n, m); overwritten by the result.
        """

    def initial_free(self) -> F32:
        """Initial values of the free parameters, shape (free_parameters,)."""
        return np.zeros(self.free_parameters, np.float32)


class FreeStd(StandardDeviation):
    """σ that is learned directly and does not depend on the observation (Schulman et al. 2017).

    Its parameters are log σ, the same in every row.

    Args:
        size: number of dimensions m.
        initial: σ of a new agent.
    """

    def __init__(self, size: int, initial: float = 1.0) -> None:
        self.num_parameters = self.free_parameters = size
        self._initial = initial

    def log_std(self, parameters: F32) -> F32:
        log_std: F32 = parameters[0]
        return log_std

    def initial_free(self) -> F32:
        return np.full(self.free_parameters, math.log(self._initial), np.float32)


class NetworkStd(StandardDeviation):
    """σ that the network computes for every observation, between two bounds.

    log σ = c + h·tanh(p + p₀) for a parameter p, where c is the middle between the logarithms of
    the bounds and h half their difference. The bound is smooth: near a bound the derivative
    d log σ/dp = h·(1 − tanh²) becomes small, but a σ there can still be learned back. This is the
    form of Yarats & Kostrikov's (2020) and CleanRL's soft actor-critic, but for p₀, which is such
    that a parameter of 0, and so nearly every observation of a new network, gives ``initial``.

    Args:
        size: number of dimensions m.
        low, high: bounds of σ, kept up to the rounding of float32.
        initial: σ at a parameter of 0, between them.
    """

    def __init__(self, size: int, low: float, high: float, initial: float) -> None:
        self.num_parameters = size
        self._centre = np.float32((math.log(high) + math.log(low)) / 2)
        self._half = np.float32((math.log(high) - math.log(low)) / 2)
        share = math.log(initial / low) / math.log(high / low)
        self._shift = np.float32(math.atanh(2 * share - 1))

    def log_std(self, parameters: F32) -> F32:
        log_std: F32 = self._tanh(parameters)
        log_std *= self._half
        log_std += self._centre
        return log_std

    def chain(self, parameters: F32, by_log_std: F32) -> None:
        slope = np.square(self._tanh(parameters))
        np.subtract(1, slope, out=slope)
        slope *= self._half
        by_log_std *= slope

    def _tanh(self, parameters: F32) -> F32:
        tanh: F32 = parameters + self._shift
        return np.tanh(tanh, out=tanh)


class LinearStd(StandardDeviation):
    """σ in proportion to what the network computes, a value within ±1, between two bounds.

    It is that of the virtual rodent (Aldarondo et al. 2024, ``GaussianActionSampler``).

    Args:
        size: number of dimensions m.
        low, high: σ at −1 and at 1.
    """

    def __init__(self, size: int, low: float, high: float) -> None:
        self.num_parameters = size
        self._centre = np.float32((high + low) / 2)
        self._half = np.float32((high - low) / 2)

    def log_std(self, parameters: F32) -> F32:
        std = self._std(parameters)
        return np.log(std, out=std)

    def chain(self, parameters: F32, by_log_std: F32) -> None:
        by_log_std *= self._half
        by_log_std /= self._std(parameters)

    def _std(self, parameters: F32) -> F32:
        std: F32 = parameters * self._half
        std += self._centre
        return std


class SoftplusStd(StandardDeviation):
    """σ = softplus(p), clipped to two bounds, beyond which it has no derivative.

    Args:
        size: number of dimensions m.
        low, high: bounds of σ.
    """

    def __init__(self, size: int, low: float = 1e-4, high: float = 1.0) -> None:
        self.num_parameters = size
        self._low, self._high = np.float32(low), np.float32(high)

    def log_std(self, parameters: F32) -> F32:
        std = _softplus(parameters)
        np.minimum(std, self._high, out=std)
        np.maximum(std, self._low, out=std)
        return np.log(std, out=std)

    def chain(self, parameters: F32, by_log_std: F32) -> None:
        std = _softplus(parameters)
        within = (std >= self._low) & (std <= self._high)
        # d log softplus(p)/dp
        by_log_std *= np.where(within, expit(parameters) / np.maximum(std, self._low), 0)


class GivenStd(StandardDeviation):
    """σ that is not learned, such as one that falls by a schedule.

    Args:
        size: number of dimensions m.
        std: positive, of shape () or (m,). It is read at every call: the owner of the array may
            change it in place.
    """

    def __init__(self, size: int, std: NDArray[Any]) -> None:
        self._size = size
        self._std = std

    def log_std(self, parameters: F32) -> F32:
        log_std: F32 = np.log(np.full(self._size, self._std, np.float32))
        return log_std


def _softplus(x: F32) -> F32:
    softplus: F32 = np.logaddexp(np.float32(0), x)
    return softplus
