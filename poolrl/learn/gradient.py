"""What the gradient learners share: an agent's arrays ⇄ a torch module and its optimiser."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from poolrl.agent import OPTIMIZER_PREFIX, Agent, Arrays
from poolrl.errors import Divergence
from poolrl.learn.rollout import Rollout
from poolrl.policy.actor_critic import ActorCritic

# More threads would change the bits with the machine, and the matrices are too small to gain.
torch.set_num_threads(1)


def module_of(agent: Agent) -> ActorCritic:
    """A torch module with copies of an agent's arrays."""
    metadata = agent.metadata
    size = metadata.observation_space.shape[0]
    module = ActorCritic(metadata.network, size, metadata.action_space.space())
    arrays = {n: a for n, a in agent.arrays.items() if not n.startswith(OPTIMIZER_PREFIX)}
    module.load_state_dict({name: torch.from_numpy(a.copy()) for name, a in arrays.items()})
    return module


Groups = Sequence[tuple[nn.Module, float]]
"""Parts of a network with their learning rates."""


def adam(module: ActorCritic, agent: Agent, groups: Groups) -> torch.optim.Adam:
    """Adam with the state that the agent carries, and the learning rates that it is given now.

    Args:
        module: the agent's network.
        agent: gives the moments; where it has none they start at zero.
        groups: parts of the network with their learning rates, as they are now.
    """
    optimizer = torch.optim.Adam(
        [{"params": list(part.parameters()), "lr": rate} for part, rate in groups],
        eps=1e-5,
        fused=True,
    )
    for name, parameter in module.named_parameters():
        prefix = f"{OPTIMIZER_PREFIX}{name}/"
        state = {
            key.removeprefix(prefix): torch.from_numpy(array.copy())
            for key, array in agent.arrays.items()
            if key.startswith(prefix)
        }
        if state:
            optimizer.state[parameter] = state
    return optimizer


def trained_agent(
    agent: Agent,
    module: ActorCritic,
    optimizer: torch.optim.Optimizer,
    *,
    learner: str,
    environment_steps: int,
    episodes: int,
    updates: int,
) -> Agent:
    """The agent after training, with copies of everything.

    Raises:
        Divergence: a tensor is not finite.
    """
    tensors = dict(module.state_dict())
    for name, parameter in module.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"{OPTIMIZER_PREFIX}{name}/{key}"] = value
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise Divergence(f"training made {name} not finite")
    metadata = msgspec.structs.replace(
        agent.metadata,
        learner=learner,
        environment_steps=agent.metadata.environment_steps + environment_steps,
        episodes=agent.metadata.episodes + episodes,
        updates=agent.metadata.updates + updates,
    )
    return Agent(_copied(tensors), metadata)


def _copied(tensors: dict[str, Tensor]) -> Arrays:
    return {name: tensor.detach().numpy().copy() for name, tensor in tensors.items()}


def standardized(values: Tensor) -> Tensor:
    """Values of mean 0 and standard deviation 1; a single value is only centred."""
    if len(values) < 2:
        return values - values.mean()
    return (values - values.mean()) / (values.std() + 1e-8)


def centered_rewards(rollout: Rollout) -> NDArray[np.float32]:
    """(T, n): rewards less their mean over the rollout (Naik et al. 2024, "Reward Centering")."""
    centered: NDArray[np.float32] = rollout.reward - rollout.reward[rollout.played].mean()
    return centered


def explained_variance(value: np.ndarray, target: np.ndarray) -> float:
    """1 − Var(target − value) / Var(target); 1 for a perfect critic, 0 for a constant one."""
    variance = float(target.var())
    return float(1 - (target - value).var() / variance) if variance > 0 else 0.0
