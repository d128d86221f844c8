"""REINFORCE with a learned baseline (Williams 1992; Sutton & Barto 2018, section 13.4)."""

from __future__ import annotations

import numpy as np

from poolrl.agent import Agent
from poolrl.algorithms.advantages import discounted_returns
from poolrl.algorithms.on_policy import (
    centered_rewards,
    explained_variance,
    standardized,
    train_on_policy,
)
from poolrl.algorithms.train_state import Trainee
from poolrl.algorithms.types import Budget, MakeTask, Training
from poolrl.config.schema import Reinforce
from poolrl.rollouts.rollout import Rollout
from poolrl.seeding import Streams


def train(
    agent: Agent, make_task: MakeTask, budget: Budget, hp: Reinforce, streams: Streams
) -> Training:
    """Train for a budget; see ``poolrl.algorithms.training.train``."""
    return train_on_policy(
        agent, make_task, budget, hp, streams, learner="reinforce", update=update
    )


def update(
    trainee: Trainee, rollout: Rollout, hp: Reinforce, shuffle: np.random.Generator
) -> dict[str, float]:
    """Improve policy and baseline on one rollout, each sample used once.

    The loss of a minibatch is the mean of −A log π + (V − G)². What would follow a time limit
    counts as nothing, as in Monte Carlo returns of whole episodes.

    Returns:
        Averages over all minibatches, and the entropy afterwards, under Stable-Baselines3's keys.
    """
    played = rollout.played
    reward = centered_rewards(rollout) if hp.center_rewards else rollout.reward
    targets = discounted_returns(reward, rollout.ended, hp.discount)[played]
    advantages = targets - rollout.value[played]
    if hp.normalize_advantage:
        advantages = standardized(advantages)
    observations, samples = rollout.normalized[played], rollout.sample[played]

    policy, optimizer, gradient = trainee.policy, trainee.optimizer, trainee.gradient
    distribution = policy.distribution
    rates = [(trainee.actor, hp.learning_rate), (trainee.critic, hp.baseline_learning_rate)]
    told = []
    order = shuffle.permutation(len(targets))
    for begin in range(0, len(order), hp.minibatch_size):
        rows = order[begin : begin + hp.minibatch_size]
        n = np.float32(len(rows))
        parameters, actor_inputs = policy.actor.record(observations[rows])
        values, critic_inputs = policy.critic.record(observations[rows])
        log_prob, by_parameters = distribution.log_prob_gradient(parameters, samples[rows])
        by_parameters *= (-advantages[rows] / n)[:, None]
        error = values[:, 0] - targets[rows]
        policy.actor.backward(actor_inputs, by_parameters, gradient)
        policy.critic.backward(critic_inputs, (2 / n * error)[:, None], gradient)
        # Apart, since the scale of the baseline's gradient is that of the returns.
        optimizer.clip(hp.max_grad_norm, trainee.actor)
        optimizer.clip(hp.max_grad_norm, trainee.critic)
        optimizer.step(rates)
        told.append([-(advantages[rows] * log_prob).mean(), (error**2).mean()])
    policy_loss, value_loss = np.mean(told, axis=0).tolist()
    return {
        "train/policy_gradient_loss": policy_loss,
        "train/value_loss": value_loss,
        "train/entropy_loss": -float(distribution.entropy(policy.actor(observations)).mean()),
        "train/explained_variance": explained_variance(rollout.value[played], targets),
    }
