"""poolrl's own perceptrons of 64-64 as a user's torch module, to compare the two."""

from __future__ import annotations

from torch import Tensor, nn


class Perceptron(nn.Module):
    """Actor and critic apart."""

    def __init__(self, observation_size: int, num_parameters: int) -> None:
        super().__init__()

        def layers(outputs: int) -> nn.Sequential:
            return nn.Sequential(
                *(nn.Linear(observation_size, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh()),
                nn.Linear(64, outputs),
            )

        self.actor, self.critic = layers(num_parameters), layers(1)

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """Parameters of the distribution, and values."""
        return self.actor(observation), self.critic(observation).squeeze(-1)
