"""Interface of action distributions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


class Gradient(NamedTuple):
    """A value for every row, and its derivative.

    Attributes:
        value: (n,).
        by_parameters: (n, num_parameters): derivative of each row's value with respect to its
            parameters.
    """

    value: F32
    by_parameters: F32


def inner_bounds(low: NDArray[Any], high: NDArray[Any]) -> tuple[F32, F32]:
    """Return bounds, (m,), as float32 that no action within them is beyond, whatever precision they
    are given in."""
    inner: list[F32] = []
    for bound, inwards in ((low, np.inf), (high, -np.inf)):
        exact = np.asarray(bound)
        rounded = exact.astype(np.float32)
        outside = rounded < exact if inwards > 0 else rounded > exact
        inner.append(np.where(outside, np.nextafter(rounded, np.float32(inwards)), rounded))
    return inner[0], inner[1]


class Distribution(ABC):
    """A family of action distributions, independent over dimensions.

    An actor network computes ``num_parameters`` parameters for each of n observations. A ``sample``
    is a value of the distribution's own variable; the action is a function of it. Densities are
    those of the sample, unless the distribution says otherwise.

    Attributes:
        num_parameters: number of parameters of one distribution.
        free_parameters: number of the last ones that do not depend on the observation and are
            learned directly.
    """

    num_parameters: int
    free_parameters: int = 0

    def initial_free(self) -> F32:
        """Initial values of the free parameters, shape (free_parameters,)."""
        return np.zeros(self.free_parameters, np.float32)

    @abstractmethod
    def mode(self, parameters: F32) -> NDArray[Any]:
        """Deterministic actions, shape (n, …); each distribution says which."""

    @abstractmethod
    def sample(self, parameters: F32, generator: np.random.Generator) -> NDArray[Any]:
        """Draw samples, shape (n, …)."""

    @abstractmethod
    def action(self, sample: NDArray[Any]) -> NDArray[Any]:
        """Map samples to actions, shape (n, …), within the bounds of the action space."""

    @abstractmethod
    def log_prob(self, parameters: F32, sample: NDArray[Any]) -> F32:
        """Log density of the samples, summed over dimensions, shape (n,)."""

    @abstractmethod
    def log_prob_gradient(self, parameters: F32, sample: NDArray[Any]) -> Gradient:
        """The log density with its derivative."""

    @abstractmethod
    def entropy(self, parameters: F32) -> F32:
        """Entropy, or an estimate of it, of what densities are of, summed over dimensions, shape
        (n,)."""

    @abstractmethod
    def entropy_gradient(self, parameters: F32) -> Gradient:
        """The entropy with its derivative."""

    @abstractmethod
    def kl(self, old_parameters: F32, new_parameters: F32) -> F32:
        """Kullback–Leibler divergence D(old ‖ new), exact, summed over dimensions.

        Args:
            old_parameters, new_parameters: (n, num_parameters).

        Returns:
            Shape (n,). Rounding may leave less than 0 where old and new are nearly the same.
        """

    def spread(self, parameters: F32) -> float | None:
        """Mean standard deviation of normal samples; ``None`` for other distributions.

        Args:
            parameters: (n, num_parameters).
        """
        return None

    def concentration(self, parameters: F32) -> float | None:
        """Mean concentration α + β of beta distributions, over rows and dimensions; ``None`` for
        other distributions.

        Args:
            parameters: (n, num_parameters).
        """
        return None
