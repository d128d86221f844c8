"""The action distributions and torch's distributions of the same parameters."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from gymnasium.spaces import Box, MultiDiscrete
from torch import Tensor

from poolrl.distributions.base import Distribution
from poolrl.distributions.factory import make_distribution

LOW, HIGH = np.array([-1.0, 0.0, -3.0], np.float32), np.array([1.0, 0.5, 3.0], np.float32)
BOX = Box(LOW, HIGH)
CHOICES = MultiDiscrete([2, 5, 3])

Law = Callable[[Tensor], list[torch.distributions.Distribution]]
"""Torch's distributions from a batch of parameters, shape (n, num_parameters)."""


def beta(parameters: Tensor) -> list[torch.distributions.Distribution]:
    concentration = 1 + torch.nn.functional.softplus(parameters)
    return [torch.distributions.Beta(concentration[:, :3], concentration[:, 3:])]


def gaussian(parameters: Tensor) -> list[torch.distributions.Distribution]:
    return [torch.distributions.Normal(parameters[:, :3], parameters[:, 3:].exp())]


def categorical(parameters: Tensor) -> list[torch.distributions.Distribution]:
    return [torch.distributions.Categorical(logits=part) for part in parameters.split([2, 5, 3], 1)]


CASES: dict[str, tuple[Distribution, Law]] = {
    "beta": (make_distribution("beta", BOX), beta),
    "gaussian": (make_distribution("gaussian", BOX), gaussian),
    "categorical": (make_distribution("categorical", CHOICES), categorical),
}
"""By name: the distribution and torch's."""


def drawn(name: str, seed: int, n: int = 5, scale: float = 3.0) -> np.ndarray:
    """Draw parameters of a distribution.

    Args:
        name: a key of CASES.
        seed: of the draw.
        n: the batch size.
        scale: the standard deviation of the parameters.

    Returns:
        Shape (n, num_parameters).
    """
    distribution = CASES[name][0]
    values = np.random.default_rng(seed).normal(0, scale, (n, distribution.num_parameters))
    values = np.clip(values, -8, 8).astype(np.float32)
    if distribution.free_parameters:
        values[:, -distribution.free_parameters :] = np.clip(values[0, -3:], -2, 1)
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
