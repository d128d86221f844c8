"""What every action distribution can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


class Gradient(NamedTuple):
    """A quantity of every row, and its derivative.

    Attributes:
        value: (n,).
        by_parameters: (n, num_parameters): the derivative of each row's value by its parameters.
    """

    value: F32
    by_parameters: F32


class Distribution(ABC):
    """A family of distributions of actions, independent over dimensions.

    A network gives ``num_parameters`` numbers for each of n observations. What is drawn is the
    ``sample``, the distribution's own variable, and the action follows from it; densities are those
    of the sample.

    Attributes:
        num_parameters: how many numbers describe one distribution.
        free_parameters: how many of them, the last ones, are learned as they are instead of coming
            out of the network.
    """

    num_parameters: int
    free_parameters: int = 0

    @abstractmethod
    def mode(self, parameters: F32) -> NDArray[Any]:
        """(n, …): the deterministic actions."""

    @abstractmethod
    def sample(self, parameters: F32, generator: np.random.Generator) -> NDArray[Any]:
        """(n, …): what is drawn."""

    @abstractmethod
    def action(self, sample: NDArray[Any]) -> NDArray[Any]:
        """(n, …): the actions behind samples, within the bounds of the action space."""

    @abstractmethod
    def log_prob(self, parameters: F32, sample: NDArray[Any]) -> F32:
        """(n,): log density of the samples, summed over dimensions."""

    @abstractmethod
    def log_prob_gradient(self, parameters: F32, sample: NDArray[Any]) -> Gradient:
        """The log density with its derivative."""

    @abstractmethod
    def entropy(self, parameters: F32) -> F32:
        """(n,): the entropy of the sample, summed over dimensions."""

    @abstractmethod
    def entropy_gradient(self, parameters: F32) -> Gradient:
        """The entropy with its derivative."""
