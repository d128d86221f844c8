"""REINFORCE with a learned baseline (Williams 1992; Sutton & Barto 2018, section 13.4)."""

from __future__ import annotations

import numpy as np
import torch

from poolrl.agent import Agent
from poolrl.config import Reinforce
from poolrl.learn.api import MakeTask, Training, mean_metrics
from poolrl.learn.gradient import (
    adam,
    explained_variance,
    module_of,
    standardized,
    trained_agent,
)
from poolrl.learn.returns import discounted_returns
from poolrl.learn.rollout import Rollout, collect
from poolrl.policy.actor_critic import ActorCritic
from poolrl.seeding import Purpose, Streams


def train(
    agent: Agent, make_task: MakeTask, episodes: int, hp: Reinforce, streams: Streams
) -> Training:
    """Train for a number of episodes; see ``poolrl.learn.train``."""
    module = module_of(agent)
    optimizer = adam(
        module,
        agent,
        [(module.actor, hp.learning_rate), (module.critic, hp.baseline_learning_rate)],
    )
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
        learner="reinforce",
        environment_steps=steps,
        episodes=episodes,
        updates=len(metrics),
    )
    return Training(trained, returns, steps, len(metrics), mean_metrics(metrics))


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
    nothing = np.zeros_like(rollout.reward)
    target = discounted_returns(rollout.reward, ended, nothing, hp.discount)[played]
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
