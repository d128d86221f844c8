"""The action distributions and torch's distributions of the same parameters."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Box, MultiDiscrete
from torch import Tensor
from torch.distributions.transforms import TanhTransform

from poolrl.config.networks import MLPSpec
from poolrl.distributions.base import Distribution
from poolrl.distributions.factory import make_distribution
from poolrl.spaces import ActionSpace

LOW, HIGH = np.array([-1.0, 0.0, -3.0], np.float32), np.array([1.0, 0.5, 3.0], np.float32)
BOX = Box(LOW, HIGH)
CHOICES = MultiDiscrete([2, 5, 3])

STD_MIN, STD_INIT, STD_MAX = 0.1, 0.4, 1.0
"""Of the distributions with σ from the network; STD_INIT also of those with σ by schedule."""

Law = Callable[[Tensor], list[torch.distributions.Distribution]]
"""Torch's distributions from a batch of parameters, shape (n, num_parameters)."""


class Squashed(torch.distributions.Normal):
    """tanh of a normal variable, but of samples before tanh, where torch's own loses digits."""

    def log_prob(self, value: Tensor) -> Tensor:
        jacobian = TanhTransform().log_abs_det_jacobian(value, value.tanh())
        return super().log_prob(value) - jacobian

    def entropy(self) -> Tensor:
        """By a sum over a fine grid, differentiable."""
        z = torch.linspace(-10, 10, 4001, dtype=torch.float64)
        u = self.loc[..., None] + self.scale[..., None] * z
        weight = torch.softmax(-0.5 * z**2, 0)
        jacobian = TanhTransform().log_abs_det_jacobian(u, u.tanh())
        return super().entropy() + (weight * jacobian).sum(-1)


def beta(parameters: Tensor) -> list[torch.distributions.Distribution]:
    concentration = 1 + torch.nn.functional.softplus(parameters)
    return [torch.distributions.Beta(concentration[:, :3], concentration[:, 3:])]


def exponential_beta(parameters: Tensor) -> list[torch.distributions.Distribution]:
    concentration = parameters.clamp(math.log(0.01), math.log(1000)).exp()
    return [torch.distributions.Beta(concentration[:, :3], concentration[:, 3:])]


def categorical(parameters: Tensor) -> list[torch.distributions.Distribution]:
    return [torch.distributions.Categorical(logits=part) for part in parameters.split([2, 5, 3], 1)]


def discretized(parameters: Tensor) -> list[torch.distributions.Distribution]:
    return [torch.distributions.Categorical(logits=part) for part in parameters.split(5, 1)]


def free_std(parameters: Tensor) -> Tensor:
    return parameters[:, 3:].exp()


def network_std(parameters: Tensor) -> Tensor:
    centre, half = math.log(STD_MAX * STD_MIN) / 2, math.log(STD_MAX / STD_MIN) / 2
    shift = math.atanh((math.log(STD_INIT) - centre) / half)
    return (centre + half * torch.tanh(parameters[:, 3:] + shift)).exp()


def scheduled_std(parameters: Tensor) -> Tensor:
    return 0 * parameters + STD_INIT  # with a gradient, of zeros


def softplus_std(parameters: Tensor) -> Tensor:
    return torch.nn.functional.softplus(parameters[:, 3:]).clamp(1e-4, 1)


def tanh_mean(parameters: Tensor) -> list[torch.distributions.Distribution]:
    return [torch.distributions.Normal(torch.tanh(parameters[:, :3]), softplus_std(parameters))]


def normal(std: Callable[[Tensor], Tensor], kind: type = torch.distributions.Normal) -> Law:
    return lambda parameters: [kind(parameters[:, :3], std(parameters))]


NETWORK_STD: dict[str, Any] = {
    "std": "network",
    "std_min": STD_MIN,
    "std_init": STD_INIT,
    "std_max": STD_MAX,
}
SCHEDULED_STD: dict[str, Any] = {"std": "schedule", "std_init": STD_INIT}


def _made(name: Any, space: ActionSpace, **options: Any) -> Distribution:
    return make_distribution(MLPSpec(distribution=name, **options), space)


CASES: dict[str, tuple[Distribution, Law]] = {
    "beta": (_made("beta", BOX), beta),
    "gaussian": (_made("gaussian", BOX), normal(free_std)),
    "categorical": (_made("categorical", CHOICES), categorical),
}
"""By name of the distribution, with default options: the distribution and torch's."""

VARIANTS: dict[str, tuple[Distribution, Law]] = CASES | {
    "beta, exponential": (_made("beta", BOX, beta_link="exponential"), exponential_beta),
    "gaussian, σ of the network": (_made("gaussian", BOX, **NETWORK_STD), normal(network_std)),
    "gaussian, σ by schedule": (_made("gaussian", BOX, **SCHEDULED_STD), normal(scheduled_std)),
    "squashed": (_made("squashed_gaussian", BOX), normal(free_std, Squashed)),
    "squashed, σ of the network": (
        _made("squashed_gaussian", BOX, **NETWORK_STD),
        normal(network_std, Squashed),
    ),
    "squashed, σ by schedule": (
        _made("squashed_gaussian", BOX, **SCHEDULED_STD),
        normal(scheduled_std, Squashed),
    ),
    "tanh mean": (_made("tanh_mean_gaussian", BOX), tanh_mean),
    "discretized": (_made("discretized", BOX, bins=5), discretized),
}
"""Every distribution with every option: the distribution and torch's."""


def drawn(name: str, seed: int, n: int = 5, scale: float = 3.0) -> np.ndarray:
    """Draw parameters of a distribution.

    Args:
        name: a key of VARIANTS.
        seed: of the draw.
        n: the batch size.
        scale: the standard deviation of the parameters.

    Returns:
        Shape (n, num_parameters).
    """
    distribution = VARIANTS[name][0]
    values = np.random.default_rng(seed).normal(0, scale, (n, distribution.num_parameters))
    values = np.clip(values, -8, 8).astype(np.float32)
    if name == "beta, exponential":
        values *= np.float32(0.5)  # to concentrations that float32 has digits for
    if name == "tanh mean":
        # σ that float32 has digits for, and away from where it is clipped, which has no derivative.
        widths = np.clip(values[:, 3:], -3, 8)
        values[:, 3:] = np.where(np.abs(widths - 0.5413) < 0.05, 0.3, widths)
    if distribution.free_parameters:
        # The entropy of squashed ones is an estimate, which is precise up to σ = 1.
        highest = 0 if name == "squashed" else 1
        values[:, -distribution.free_parameters :] = np.clip(values[0, -3:], -2, highest)
    return values


def log_prob(law: Law, parameters: Tensor, sample: np.ndarray) -> Tensor:
    """The log-density by torch, shape (n,).

    Args:
        law: torch's distributions.
        parameters: shape (n, num_parameters).
        sample: shape (n, number of parts).
    """
    laws, x = law(parameters), torch.from_numpy(sample)
    if len(laws) == 1:
        return laws[0].log_prob(x).sum(1)
    return torch.stack([part.log_prob(x[:, i]) for i, part in enumerate(laws)], 1).sum(1)


def entropy(law: Law, parameters: Tensor) -> Tensor:
    """The entropy by torch, shape (n,)."""
    parts = [part.entropy().reshape(len(parameters), -1) for part in law(parameters)]
    return torch.cat(parts, dim=1).sum(1)


def kl(law: Law, old: Tensor, new: Tensor) -> Tensor:
    """D(old ‖ new) by torch, shape (n,); of squashed distributions that of their samples."""
    divergence = torch.distributions.kl_divergence
    pairs = zip(law(old), law(new), strict=True)
    parts = [divergence(p, q).reshape(len(old), -1) for p, q in pairs]
    return torch.cat(parts, dim=1).sum(1)
