"""Action distributions, each in torch for gradients and in NumPy for acting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium.spaces import Box
from numpy.typing import NDArray
from scipy.special import gammaln

from poolrl.spaces import ActionSpace

if TYPE_CHECKING:  # acting needs no torch
    from torch import Tensor

F32 = NDArray[np.float32]

# Samples are kept off the ends of the interval, where the density of a beta may be 0 or infinite.
_EDGE = np.float32(1e-6)


def softplus_numpy(x: F32) -> F32:
    """log(1 + e^x) without overflow."""
    return np.logaddexp(x, np.float32(0.0))


class Beta:
    """Independent beta distributions on [0, 1], one an action dimension (Chou et al. 2017).

    Parameters are (…, 2·n): α = 1 + softplus of the first half, β of the second, so that every
    density has one mode. An action is low + x·(high − low); densities are those of x.
    """

    def __init__(self, low: NDArray[Any], high: NDArray[Any]) -> None:
        self.low = np.asarray(low, np.float32)
        self.scale = np.asarray(high, np.float32) - self.low
        self.size = len(self.low)
        self.num_parameters = 2 * self.size

    # NumPy: acting

    def mean(self, parameters: F32) -> F32:
        """The mean action, (…, n)."""
        concentration = 1.0 + softplus_numpy(parameters)
        alpha, beta = concentration[..., : self.size], concentration[..., self.size :]
        action: F32 = self.low + alpha / (alpha + beta) * self.scale
        return action

    def sample(self, parameters: F32, generator: np.random.Generator) -> tuple[F32, F32, F32]:
        """Draw actions.

        Returns:
            The action (…, n), the sample x in (0, 1) behind it (…, n), and the logarithm of the
            density of x, (…,).
        """
        concentration = 1.0 + softplus_numpy(parameters)
        alpha, beta = concentration[..., : self.size], concentration[..., self.size :]
        x = generator.beta(alpha, beta).astype(np.float32)
        np.clip(x, _EDGE, 1 - _EDGE, out=x)
        return self.low + x * self.scale, x, self.log_prob_numpy(alpha, beta, x)

    @staticmethod
    def log_prob_numpy(alpha: F32, beta: F32, x: F32) -> F32:
        """log p(x), summed over dimensions."""
        density = (
            gammaln(alpha + beta)
            - gammaln(alpha)
            - gammaln(beta)
            + (alpha - 1) * np.log(x)
            + (beta - 1) * np.log1p(-x)
        )
        total: F32 = density.sum(axis=-1)
        return total

    # torch: gradients

    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        """log p(x), summed over dimensions, (…,)."""
        import torch

        alpha, beta = self._concentrations(parameters)
        log_norm = torch.lgamma(alpha) + torch.lgamma(beta) - torch.lgamma(alpha + beta)
        density = (alpha - 1) * x.log() + (beta - 1) * torch.log1p(-x) - log_norm
        return density.sum(-1)

    def entropy(self, parameters: Tensor) -> Tensor:
        """The differential entropy of x, summed over dimensions, (…,)."""
        import torch

        alpha, beta = self._concentrations(parameters)
        total = alpha + beta
        entropy = (
            torch.lgamma(alpha)
            + torch.lgamma(beta)
            - torch.lgamma(total)
            - (alpha - 1) * torch.digamma(alpha)
            - (beta - 1) * torch.digamma(beta)
            + (total - 2) * torch.digamma(total)
        )
        return entropy.sum(-1)

    def _concentrations(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        import torch

        concentration = 1.0 + torch.nn.functional.softplus(parameters)
        return concentration[..., : self.size], concentration[..., self.size :]


def make_distribution(name: str, action_space: ActionSpace) -> Beta:
    """The distribution of a network specification over a space of actions."""
    assert name == "beta"
    assert isinstance(action_space, Box)
    return Beta(action_space.low, action_space.high)
