"""REINFORCE with a baseline (Williams 1992; Sutton & Barto 2018, section 13.4)."""

from __future__ import annotations

import numpy as np

from poolrl.agent import Agent
from poolrl.algorithms.advantages import centered_rewards, discounted_returns
from poolrl.algorithms.learning_signals import learning_signals, penalty_gradients
from poolrl.algorithms.on_policy import train_on_policy
from poolrl.algorithms.rollout_metrics import finite, width_metrics
from poolrl.algorithms.train_state import TrainState
from poolrl.algorithms.types import MakeTask, Training
from poolrl.algorithms.unit_steps import unit_steps
from poolrl.config.learners import Reinforce
from poolrl.rollouts.minibatches import Minibatches
from poolrl.rollouts.rollout import Rollout
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
    learns_baseline = hp.baseline == "learned"
    values = rollout.value[valid] if learns_baseline else np.zeros_like(targets)
    signals = learning_signals(state, hp, targets - values, targets, values)
    advantages, targets = signals.advantages, signals.targets
    samples = rollout.sample[valid]

    network, distribution = state.policy.network, state.policy.distribution
    learns_policy = state.episodes >= hp.warmup_episodes
    policy_rate = hp.learning_rate if learns_policy else 0.0  # of a shared trunk too
    rates = [
        (state.parts["policy"], policy_rate),
        (state.parts["value"], hp.baseline_learning_rate),
        (state.parts["shared"], policy_rate),
    ]
    minibatches = Minibatches(rollout, hp.sequence_steps)
    metrics = []
    for rows, inputs in minibatches.epoch(hp.minibatch_size, generator):
        n = np.float32(len(rows))
        parameters, values, penalties = network.forward(inputs)
        log_prob, by_parameters = distribution.log_prob_gradient(parameters, samples[rows])
        by_parameters *= (-advantages[rows] / n)[:, None]
        error = values - targets[rows]
        by_value = 2 / n * error
        if not (learns_policy and hp.policy_step == "adam"):
            by_parameters.fill(0)
        if not learns_baseline:
            by_value.fill(0)
        # Clipped separately, since the baseline's gradient has the scale of the returns.
        by_penalties = penalty_gradients(penalties, hp.penalties)
        state.backpropagate(
            by_parameters, by_value, by_penalties, max_norm=hp.max_grad_norm, separate=True
        )
        state.step(rates)
        metrics.append([-(advantages[rows] * log_prob).mean(), (error**2).mean()])
    if hp.policy_step == "unit" and learns_policy:
        seen = rollout.normalized[valid]
        if state.actor_columns is not None:
            seen = seen[:, state.actor_columns]
        unit_steps(state, seen, samples, advantages, hp.learning_rate)
    parameters = state.policy_parameters(minibatches.whole().inputs)
    policy_loss, value_loss = np.mean(metrics, axis=0).tolist()
    return {
        "train/policy_gradient_loss": policy_loss,
        "train/value_loss": value_loss,
        "train/entropy_loss": -float(distribution.entropy(parameters).mean()),
        "train/explained_variance": signals.explained_variance,
        **finite(width_metrics(distribution, parameters)),
    }
