"""Running statistics of observations, as buffers that travel with the state dict."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from poolrl.policy.acting import OBSERVATION_CLIP, inverse_deviation


class RunningNormalizer(nn.Module):
    """Observations to mean 0 and variance 1 by the statistics of all training steps so far."""

    mean: Tensor
    var: Tensor
    count: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size, dtype=torch.float64))
        self.register_buffer("var", torch.ones(size, dtype=torch.float64))
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))

    def forward(self, observation: Tensor) -> Tensor:
        """Normalise (n, size) observations, as float32."""
        scale = torch.from_numpy(inverse_deviation(self.var.numpy()))
        x = (observation - self.mean.to(torch.float32)) * scale
        return x.clamp(-OBSERVATION_CLIP, OBSERVATION_CLIP)

    def update(self, observation: NDArray[np.floating]) -> None:
        """Add the rows of (n, size) observations (Chan et al. 1983, parallel variance)."""
        new = observation.astype(np.float64)
        n, total = len(new), float(self.count) + len(new)
        delta = torch.from_numpy(new.mean(axis=0)) - self.mean
        old_share, new_share = float(self.count) / total, n / total
        self.var.mul_(old_share)
        self.var.add_(torch.from_numpy(new.var(axis=0)) * new_share)
        self.var.add_(delta * delta * (old_share * new_share))
        self.mean.add_(delta * new_share)
        self.count.fill_(total)
