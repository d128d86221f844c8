"""A user's network: an encoder with a noisy bottleneck, and a policy with a memory.

poolrl run --task HalfCheetah-v5 --network examples/network.py:Bottleneck \
    --pool-count 2 --iterate-steps 20000 --iterations 3 \
    --set learner.segment_steps=128 --set learner.penalties.kl=0.001
"""

import torch
from torch import nn


class Bottleneck(nn.Module):
    """Observations pass as a sample of a normal distribution, as in a variational autoencoder
    (Kingma & Welling 2014), and then through a recurrent layer; the critic sees them as they are.
    """

    penalties = ("kl",)

    def __init__(self, observation_size, num_parameters, *, latent=8, memory=64):
        super().__init__()
        self.noise_size, self.memory_size = latent, memory
        self.encoder = nn.Sequential(
            nn.Linear(observation_size, 64), nn.Tanh(), nn.Linear(64, 2 * latent)
        )
        self.memory = nn.GRUCell(latent, memory)
        self.actor = nn.Linear(memory, num_parameters)
        self.critic = nn.Sequential(nn.Linear(observation_size, 64), nn.Tanh(), nn.Linear(64, 1))
        nn.init.orthogonal_(self.actor.weight, 0.01)  # nearly the same actions everywhere at first
        nn.init.zeros_(self.actor.bias)

    def initial_state(self, n):
        return (torch.zeros(n, self.memory_size),)

    def forward(self, observation, state, noise):
        mean, log_std = self.encoder(observation).chunk(2, dim=1)
        x = self.memory(mean + noise * log_std.exp(), state[0])
        # Divergence of the latent distribution from the standard normal one, for every row.
        kl = 0.5 * (mean**2 + (2 * log_std).exp() - 2 * log_std - 1).sum(dim=1)
        return self.actor(x), self.critic(observation).squeeze(-1), (x,), {"kl": kl}
