"""Proximal policy optimisation, clipped, with generalised advantages (Schulman et al. 2017)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from poolrl.agent import Agent
from poolrl.config import PPO
from poolrl.learn.api import MakeTask, Training
from poolrl.learn.gradient import centered_rewards, explained_variance, standardized
from poolrl.learn.on_policy import train_on_policy
from poolrl.learn.returns import generalized_advantages
from poolrl.learn.rollout import Rollout
from poolrl.policy.actor_critic import ActorCritic
from poolrl.seeding import Streams


def train(agent: Agent, make_task: MakeTask, episodes: int, hp: PPO, streams: Streams) -> Training:
    """Train for a number of episodes; see ``poolrl.learn.train``."""
    return train_on_policy(
        agent,
        make_task,
        episodes,
        hp,
        streams,
        learner="ppo",
        groups=lambda module: [(module, hp.learning_rate)],
        update=update,
    )


def update(
    module: ActorCritic,
    optimizer: torch.optim.Optimizer,
    rollout: Rollout,
    hp: PPO,
    shuffle: np.random.Generator,
) -> dict[str, float]:
    """Improve actor and critic on one rollout.

    Returns:
        Averages over the last epoch, and the entropy afterwards, under Stable-Baselines3's keys.
    """
    played = rollout.played
    reward = centered_rewards(rollout) if hp.center_rewards else rollout.reward
    advantage = generalized_advantages(
        reward,
        rollout.value,
        rollout.terminated,
        rollout.truncated,
        rollout.bootstrap,
        hp.discount,
        hp.gae_lambda,
    )
    target = (advantage + rollout.value)[played]
    observations = module.normalized(torch.from_numpy(rollout.observation[played]))
    advantages = torch.from_numpy(advantage[played])
    if hp.normalize_advantage:
        advantages = standardized(advantages)
    data = (
        observations,
        torch.from_numpy(rollout.sample[played]),
        torch.from_numpy(rollout.log_prob[played]),
        advantages,
        torch.from_numpy(target),
    )

    told: list[Tensor] = []
    for epoch in range(hp.epochs):
        order = torch.from_numpy(shuffle.permutation(len(target)))
        minibatches = zip(*(torch.split(x[order], hp.minibatch_size) for x in data), strict=True)
        for observation, sample, old_log_prob, advantage_, target_ in minibatches:
            parameters = module.actor(observation)
            log_ratio = module.distribution.log_prob(parameters, sample) - old_log_prob
            ratio = log_ratio.exp()
            clipped_ratio = ratio.clamp(1 - hp.clip_range, 1 + hp.clip_range)
            policy_loss = -torch.min(advantage_ * ratio, advantage_ * clipped_ratio).mean()
            value_loss = (module.critic(observation).squeeze(-1) - target_).square().mean()
            loss = policy_loss + hp.value_coefficient * value_loss
            if hp.entropy_coefficient:
                entropy = module.distribution.entropy(parameters).mean()
                loss = loss - hp.entropy_coefficient * entropy
            optimizer.zero_grad()
            loss.backward()
            if hp.max_grad_norm:
                torch.nn.utils.clip_grad_norm_(module.parameters(), hp.max_grad_norm)
            optimizer.step()

            if epoch == hp.epochs - 1:
                with torch.no_grad():
                    kl = (ratio - 1 - log_ratio).mean()  # Schulman's k3 estimator
                    clipped = (ratio != clipped_ratio).float().mean()
                    told.append(torch.stack((policy_loss, value_loss, kl, clipped)))

    with torch.no_grad():
        policy_loss, value_loss, kl, clipped = torch.stack(told).mean(0)
        entropy = module.distribution.entropy(module.actor(observations)).mean()
    return {
        "train/policy_gradient_loss": policy_loss.item(),
        "train/value_loss": value_loss.item(),
        "train/entropy_loss": -entropy.item(),
        "train/approx_kl": kl.item(),
        "train/clip_fraction": clipped.item(),
        "train/explained_variance": explained_variance(rollout.value[played], target),
        "rollout/ep_rew_mean": float(rollout.episodes.returns.mean()),
        "rollout/ep_len_mean": float(rollout.episodes.lengths.mean()),
    }
