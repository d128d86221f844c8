"""Networks of a user's own; they are loaded as files, by their paths."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Plain(nn.Module):
    """A shared layer, two heads, one weight that is used twice, a constant."""

    def __init__(self, observation_size: int, num_parameters: int, width: int = 8) -> None:
        super().__init__()
        self.first = nn.Linear(observation_size, width)
        self.again = nn.Linear(width, width)
        self.again_tied = self.again
        self.actor = nn.Linear(width, num_parameters)
        self.critic = nn.Linear(width, 1)
        self.register_buffer("scale", torch.tensor([0.5]))

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        x = torch.tanh(self.first(observation)) * self.scale
        x = torch.tanh(self.again_tied(torch.tanh(self.again(x))))
        return self.actor(x), self.critic(x).squeeze(-1)


class Bottleneck(nn.Module):
    """An encoder with a noisy bottleneck, its divergence as a penalty, a decoder with memory."""

    penalties = ("kl",)

    def __init__(self, observation_size: int, num_parameters: int, size: int = 3) -> None:
        super().__init__()
        self.noise_size = size
        self.encoder = nn.Linear(observation_size, 2 * size)
        self.decoder = nn.GRUCell(size, 6)
        self.actor = nn.Linear(6, num_parameters)
        self.critic = nn.Linear(observation_size, 1)

    def initial_state(self, n: int) -> tuple[Tensor, ...]:
        return (torch.zeros(n, 6),)

    def forward(
        self, observation: Tensor, state: tuple[Tensor, ...], noise: Tensor
    ) -> tuple[Tensor, Tensor, tuple[Tensor, ...], dict[str, Tensor]]:
        mean, log_std = self.encoder(observation).chunk(2, dim=1)
        x = self.decoder(mean + noise * log_std.exp(), state[0])
        kl = 0.5 * (mean**2 + (2 * log_std).exp() - 2 * log_std - 1).sum(dim=1)
        return self.actor(x), self.critic(observation).squeeze(-1), (x,), {"kl": kl}


class Perceptron(nn.Module):
    """poolrl's own perceptrons of 16 and 8 units, with the same names."""

    def __init__(self, observation_size: int, num_parameters: int) -> None:
        super().__init__()

        def layers(outputs: int) -> nn.Sequential:
            return nn.Sequential(
                *(nn.Linear(observation_size, 16), nn.Tanh()),
                *(nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, outputs)),
            )

        self.actor, self.critic = layers(num_parameters), layers(1)

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        return self.actor(observation), self.critic(observation).squeeze(-1)


class NoisyValue(nn.Module):
    """Actor and critic see noise; without a memory."""

    noise_size = 2

    def __init__(self, observation_size: int, num_parameters: int) -> None:
        super().__init__()
        self.actor = nn.Linear(observation_size + 2, num_parameters)
        self.critic = nn.Linear(observation_size + 2, 1)

    def forward(self, observation: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        x = torch.cat((observation, noise), dim=1)
        return self.actor(x), self.critic(x)[:, 0]
