"""REINFORCE with a learned baseline (Williams 1992; Sutton & Barto 2018, section 13.4)."""

from __future__ import annotations

import numpy as np

from poolrl.agent import Agent
from poolrl.algorithms.advantages import centered_rewards, discounted_returns
from poolrl.algorithms.learning_signals import learning_signals
from poolrl.algorithms.on_policy import train_on_policy
from poolrl.algorithms.train_state import TrainState
from poolrl.algorithms.types import MakeTask, Training
from poolrl.config.schema import Reinforce
from poolrl.rollouts.rollout import Rollout, minibatches
from poolrl.rollouts.sampler import Budget
from poolrl.seeding import Streams


def train(
    agent: Agent, make_task: MakeTask, budget: Budget, hp: Reinforce, streams: Streams
) -> Training:
    """Train with REINFORCE; arguments and errors as for ``poolrl.algorithms.training.train``."""
    return train_on_policy(
        agent,
        make_task,
        budget,
        hp,
        streams,
        learner="reinforce",
        update=update,
        normalize_values=hp.normalize_values,
    )


def update(
    state: TrainState, rollout: Rollout, hp: Reinforce, generator: np.random.Generator
) -> dict[str, float]:
    """Update policy and baseline on one rollout; every sample is used once.

    The loss of a minibatch is the mean of −A log π + (V − G)². Returns are not bootstrapped at a
    time limit. With normalised values, V and G are normalised, and so is the value loss that is
    returned.

    Args:
        state: updated in place.
        rollout: whole episodes, collected with the current policy.
        hp: hyper-parameters.
        generator: shuffles the minibatches.

    Returns:
        Averages over all minibatches, and the entropy after them, under Stable-Baselines3's keys.
    """
    valid = rollout.valid
    reward = rollout.reward
    if hp.center_rewards:
        reward = centered_rewards(reward, valid, single=hp.standardize_single)
    targets = discounted_returns(reward, rollout.ended, hp.discount)[valid]
    values = rollout.value[valid]
    signals = learning_signals(state, hp, targets - values, targets, values)
    advantages, targets = signals.advantages, signals.targets
    observations, samples = rollout.normalized[valid], rollout.sample[valid]

    policy, optimizer, gradient = state.policy, state.optimizer, state.gradient
    distribution = policy.distribution
    rates = [(state.actor, hp.learning_rate), (state.critic, hp.baseline_learning_rate)]
    metrics = []
    for rows in minibatches(len(targets), hp.minibatch_size, generator):
        n = np.float32(len(rows))
        parameters, actor_inputs = policy.actor.forward_with_cache(observations[rows])
        values, critic_inputs = policy.critic.forward_with_cache(observations[rows])
        log_prob, by_parameters = distribution.log_prob_gradient(parameters, samples[rows])
        by_parameters *= (-advantages[rows] / n)[:, None]
        error = values[:, 0] - targets[rows]
        policy.actor.backward(actor_inputs, by_parameters, gradient)
        policy.critic.backward(critic_inputs, (2 / n * error)[:, None], gradient)
        # Clipped separately, since the baseline's gradient has the scale of the returns.
        optimizer.clip(hp.max_grad_norm, state.actor)
        optimizer.clip(hp.max_grad_norm, state.critic)
        optimizer.step(rates)
        metrics.append([-(advantages[rows] * log_prob).mean(), (error**2).mean()])
    policy_loss, value_loss = np.mean(metrics, axis=0).tolist()
    return {
        "train/policy_gradient_loss": policy_loss,
        "train/value_loss": value_loss,
        "train/entropy_loss": -float(distribution.entropy(policy.actor(observations)).mean()),
        "train/explained_variance": signals.explained_variance,
    }
