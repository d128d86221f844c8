"""REINFORCE with a learned baseline (Williams 1992; Sutton & Barto 2018, section 13.4)."""

from __future__ import annotations

import numpy as np
import torch

from poolrl.agent import Agent
from poolrl.config import Reinforce
from poolrl.learn.api import MakeTask, Training
from poolrl.learn.gradient import centered_rewards, explained_variance, standardized
from poolrl.learn.on_policy import train_on_policy
from poolrl.learn.returns import discounted_returns
from poolrl.learn.rollout import Rollout
from poolrl.policy.actor_critic import ActorCritic
from poolrl.seeding import Streams


def train(
    agent: Agent, make_task: MakeTask, episodes: int, hp: Reinforce, streams: Streams
) -> Training:
    """Train for a number of episodes; see ``poolrl.learn.train``."""
    return train_on_policy(
        agent,
        make_task,
        episodes,
        hp,
        streams,
        learner="reinforce",
        groups=lambda module: [
            (module.actor, hp.learning_rate),
            (module.critic, hp.baseline_learning_rate),
        ],
        update=update,
    )


def update(
    module: ActorCritic,
    optimizer: torch.optim.Optimizer,
    rollout: Rollout,
    hp: Reinforce,
    shuffle: np.random.Generator,
) -> dict[str, float]:
    """Improve policy and baseline on one rollout, each sample used once.

    What would follow a time limit counts as nothing, as in Monte Carlo returns of whole episodes.

    Returns:
        Averages over all minibatches, and the entropy afterwards, under Stable-Baselines3's keys.
    """
    played = rollout.played
    ended = rollout.terminated | rollout.truncated
    reward = centered_rewards(rollout) if hp.center_rewards else rollout.reward
    target = discounted_returns(reward, ended, hp.discount)[played]
    observations = module.normalized(torch.from_numpy(rollout.observation[played]))
    samples = torch.from_numpy(rollout.sample[played])
    targets = torch.from_numpy(target)
    advantages = targets - torch.from_numpy(rollout.value[played])
    if hp.normalize_advantage:
        advantages = standardized(advantages)

    policy_losses, value_losses = [], []
    order = torch.from_numpy(shuffle.permutation(len(targets)))
    for batch in torch.split(order, hp.minibatch_size):
        observation = observations[batch]
        log_prob = module.distribution.log_prob(module.actor(observation), samples[batch])
        policy_loss = -(advantages[batch] * log_prob).mean()
        value_loss = (module.critic(observation).squeeze(-1) - targets[batch]).square().mean()
        optimizer.zero_grad()
        (policy_loss + value_loss).backward()
        if hp.max_grad_norm:
            # Apart, since the scale of the baseline's gradient is that of the returns.
            torch.nn.utils.clip_grad_norm_(module.actor.parameters(), hp.max_grad_norm)
            torch.nn.utils.clip_grad_norm_(module.critic.parameters(), hp.max_grad_norm)
        optimizer.step()
        policy_losses.append(policy_loss.item())
        value_losses.append(value_loss.item())
    with torch.no_grad():
        entropy = module.distribution.entropy(module.actor(observations)).mean()
    return {
        "train/policy_gradient_loss": float(np.mean(policy_losses)),
        "train/value_loss": float(np.mean(value_losses)),
        "train/entropy_loss": -entropy.item(),
        "train/explained_variance": explained_variance(rollout.value[played], target),
        "rollout/ep_rew_mean": float(rollout.episodes.returns.mean()),
        "rollout/ep_len_mean": float(rollout.episodes.lengths.mean()),
    }
