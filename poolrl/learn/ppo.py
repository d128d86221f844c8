"""Proximal policy optimisation, clipped, with generalised advantages (Schulman et al. 2017)."""

from __future__ import annotations

import numpy as np
import torch

from poolrl.agent import Agent
from poolrl.config import PPO
from poolrl.learn.api import MakeTask, Training, mean_metrics
from poolrl.learn.gradient import (
    adam,
    explained_variance,
    module_of,
    standardized,
    trained_agent,
)
from poolrl.learn.returns import generalized_advantages
from poolrl.learn.rollout import Rollout, collect
from poolrl.policy.actor_critic import ActorCritic
from poolrl.seeding import Purpose, Streams


def train(agent: Agent, make_task: MakeTask, episodes: int, hp: PPO, streams: Streams) -> Training:
    """Train for a number of episodes; see ``poolrl.learn.train``."""
    module = module_of(agent)
    optimizer = adam(module, agent, [(module, hp.learning_rate)])
    returns: list[float] = []
    metrics: list[dict[str, float]] = []
    steps = 0
    while len(returns) < episodes:
        count = min(hp.episodes_per_update, episodes - len(returns))
        update_number = len(metrics)
        rollout = collect(
            module.policy(),
            make_task(count),
            streams.generators(Purpose.RESET, len(returns), count),
            streams.generator(Purpose.ACTION, update_number),
        )
        shuffle = streams.generator(Purpose.SHUFFLE, update_number)
        metrics.append(update(module, optimizer, rollout, hp, shuffle))
        module.observe(rollout.observation[rollout.played])
        returns += rollout.episodes.returns.tolist()
        steps += int(rollout.episodes.lengths.sum())
    trained = trained_agent(
        agent,
        module,
        optimizer,
        learner="ppo",
        environment_steps=steps,
        episodes=episodes,
        updates=len(metrics),
    )
    return Training(trained, returns, steps, len(metrics), mean_metrics(metrics))


def update(
    module: ActorCritic,
    optimizer: torch.optim.Optimizer,
    rollout: Rollout,
    hp: PPO,
    shuffle: np.random.Generator,
) -> dict[str, float]:
    """Improve actor and critic on one rollout.

    Returns:
        Averages over all minibatches, under Stable-Baselines3's keys.
    """
    played = rollout.played
    advantage = generalized_advantages(
        rollout.reward,
        rollout.value,
        rollout.terminated,
        rollout.truncated,
        rollout.bootstrap,
        hp.discount,
        hp.gae_lambda,
    )
    target = (advantage + rollout.value)[played]
    observations = module.normalized(torch.from_numpy(rollout.observation[played]))
    samples = torch.from_numpy(rollout.sample[played])
    old_log_probs = torch.from_numpy(rollout.log_prob[played])
    advantages = torch.from_numpy(advantage[played])
    targets = torch.from_numpy(target)
    if hp.normalize_advantage:
        advantages = standardized(advantages)

    sums = dict.fromkeys(("policy_gradient_loss", "value_loss", "entropy", "kl", "clipped"), 0.0)
    minibatches = 0
    for _ in range(hp.epochs):
        order = torch.from_numpy(shuffle.permutation(len(targets)))
        for batch in torch.split(order, hp.minibatch_size):
            observation = observations[batch]
            log_prob, entropy = module.distribution.log_prob_and_entropy(
                module.actor(observation), samples[batch]
            )
            log_ratio = log_prob - old_log_probs[batch]
            ratio = log_ratio.exp()
            clipped_ratio = ratio.clamp(1 - hp.clip_range, 1 + hp.clip_range)
            policy_loss = -torch.min(
                advantages[batch] * ratio, advantages[batch] * clipped_ratio
            ).mean()
            value_loss = (module.critic(observation).squeeze(-1) - targets[batch]).square().mean()
            mean_entropy = entropy.mean()
            loss = (
                policy_loss
                + hp.value_coefficient * value_loss
                - hp.entropy_coefficient * mean_entropy
            )
            optimizer.zero_grad()
            loss.backward()
            if hp.max_grad_norm:
                torch.nn.utils.clip_grad_norm_(module.parameters(), hp.max_grad_norm)
            optimizer.step()

            with torch.no_grad():
                sums["policy_gradient_loss"] += policy_loss.item()
                sums["value_loss"] += value_loss.item()
                sums["entropy"] += mean_entropy.item()
                sums["kl"] += (ratio - 1 - log_ratio).mean().item()  # Schulman's k3 estimator
                sums["clipped"] += (ratio != clipped_ratio).float().mean().item()
            minibatches += 1
    return {
        "train/policy_gradient_loss": sums["policy_gradient_loss"] / minibatches,
        "train/value_loss": sums["value_loss"] / minibatches,
        "train/entropy_loss": -sums["entropy"] / minibatches,
        "train/approx_kl": sums["kl"] / minibatches,
        "train/clip_fraction": sums["clipped"] / minibatches,
        "train/explained_variance": explained_variance(rollout.value[played], target),
        "rollout/ep_rew_mean": float(rollout.episodes.returns.mean()),
        "rollout/ep_len_mean": float(rollout.episodes.lengths.mean()),
    }
