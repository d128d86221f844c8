"""Proximal policy optimisation with clipped objective and GAE (Schulman et al. 2017)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from poolrl.agent import Agent
from poolrl.algorithms.advantages import (
    centered_rewards,
    generalized_advantages,
    standardized,
)
from poolrl.algorithms.learning_signals import learning_signals, penalty_gradients
from poolrl.algorithms.on_policy import train_on_policy
from poolrl.algorithms.rollout_metrics import width_metrics
from poolrl.algorithms.schedules import adapted, scheduled
from poolrl.algorithms.train_state import TrainState
from poolrl.algorithms.types import MakeTask, Training
from poolrl.algorithms.value_loss import value_loss
from poolrl.config.learners import PPO, Schedule
from poolrl.distributions.gaussian import Gaussian
from poolrl.rollouts.minibatches import Minibatches
from poolrl.rollouts.rollout import Rollout
from poolrl.rollouts.sampler import Budget
from poolrl.seeding import Streams

LEARNING_RATE = "learner/learning_rate"


def train(agent: Agent, make_task: MakeTask, budget: Budget, hp: PPO, streams: Streams) -> Training:
    """Train with PPO; arguments and errors as for ``poolrl.algorithms.training.train``."""
    return train_on_policy(
        agent,
        make_task,
        budget,
        hp,
        streams,
        learner="ppo",
        update=update,
        normalize_values=hp.normalize_values,
        segment_steps=hp.segment_steps,
        microbatch_size=hp.microbatch_size,
    )


def update(
    state: TrainState, rollout: Rollout, hp: PPO, generator: np.random.Generator
) -> dict[str, float]:
    """Update actor and critic on one rollout.

    The loss of a minibatch is the mean over its samples of

        −min(r A, clip(r, 1 − ε, 1 + ε) A) + c_V (V − R)² − c_H H,   r = exp(log π − log π_old)

    (equations 7 and 9), or with another loss of the value. Its derivatives with respect to log π, V
    and the distribution's parameters are written out below; the network then back-propagates them.
    With normalised values, V and R are normalised, and so is the value loss that is returned.

    Args:
        state: updated in place.
        rollout: collected with the current policy.
        hp: hyper-parameters.
        generator: shuffles the minibatches.

    Returns:
        Averages over the last epoch, under Stable-Baselines3's keys, and the entropy after it; with
        a network that says so, in it.
    """
    valid = rollout.valid
    reward = state.reward_scaler(rollout, hp.discount) if hp.scale_rewards else rollout.reward
    if hp.center_rewards:
        reward = centered_rewards(reward, valid, single=hp.standardize_single)
    advantage = generalized_advantages(
        reward, rollout.value, rollout.ended, rollout.bootstrap, hp.discount, hp.gae_lambda
    )
    targets = (advantage + rollout.value)[valid]
    signals = learning_signals(state, hp, advantage[valid], targets, rollout.value[valid])
    advantages, targets = signals.advantages, signals.targets
    samples = rollout.sample[valid]
    old_log_probs = rollout.log_prob[valid]

    network, distribution = state.policy.network, state.policy.distribution
    learning_rate = _learning_rate(state, hp)
    clip_range = _scheduled(hp.clip_range, hp.clip_range_schedule, state, hp)
    entropy_coefficient = _scheduled(hp.entropy_coefficient, hp.entropy_schedule, state, hp)
    low, high = np.float32(1 - clip_range), np.float32(1 + clip_range)
    standardizes = hp.normalize_advantage and hp.advantage_batch == "minibatch"
    watches_kl = bool(hp.adaptive_kl or hp.target_kl)
    minibatches = Minibatches(rollout, hp.sequence_steps)
    metrics: list[list[Any]] = []
    seen: list[NDArray[np.float32]] = []
    goes_on = True
    for epoch in range(hp.epochs):
        metrics.clear()
        seen.clear()
        for rows, inputs in minibatches.epoch(hp.minibatch_size, generator):
            n = np.float32(len(rows))
            advantage_ = advantages[rows]
            if standardizes:
                advantage_ = standardized(advantage_, single=hp.standardize_single)
            parameters, values, penalties = network.forward(inputs)
            seen.append(parameters)
            log_prob, by_parameters = state.log_prob_gradient(parameters, samples[rows])
            log_ratio = log_prob - old_log_probs[rows]
            ratio = np.exp(log_ratio)
            clipped_ratio = np.minimum(np.maximum(ratio, low), high)
            old_values = signals.values[rows] if hp.value_clip_range else None
            value_losses, by_value = value_loss(values, targets[rows], old_values, hp)

            if watches_kl or epoch == hp.epochs - 1:
                surrogate = np.minimum(advantage_ * ratio, advantage_ * clipped_ratio)
                kl = (ratio - 1 - log_ratio).mean()  # Schulman's k3 estimator
                clipped = ratio != clipped_ratio
                by_name = [penalties[name].mean() for name in hp.penalties]
                own = [-surrogate.mean(), value_losses.mean(), kl, clipped.mean()]
                metrics.append([*own, *by_name])
                if 0 < 1.5 * hp.target_kl < kl:
                    goes_on = False
                    break

            # Where the clipped term is the smaller one, it is constant: its gradient is zero.
            unclipped = advantage_ * ratio <= advantage_ * clipped_ratio
            by_log_prob = -advantage_ * ratio * unclipped / n
            by_parameters *= by_log_prob[:, None]
            if entropy_coefficient:
                entropy_gradient = distribution.entropy_gradient(parameters).by_parameters
                by_parameters -= np.float32(entropy_coefficient) / n * entropy_gradient
            if hp.bounds_coefficient and isinstance(distribution, Gaussian):
                beyond = distribution.bounds_loss(parameters).by_parameters
                by_parameters += np.float32(hp.bounds_coefficient) / n * beyond
            state.backpropagate(
                by_parameters,
                np.float32(hp.value_coefficient) / n * by_value,
                penalty_gradients(penalties, hp.penalties),
                max_norm=hp.max_grad_norm,
                separate=hp.gradient_clipping == "separate",
            )
            state.step([(slice(None), learning_rate)])
        if hp.adaptive_kl:
            kl = float(np.mean([values[2] for values in metrics]))
            learning_rate = adapted(learning_rate, kl, hp.adaptive_kl)
            state.running[LEARNING_RATE][...] = learning_rate
        if not goes_on:
            break

    if network.runs_again:
        parameters = state.policy_parameters(minibatches.whole().inputs)
    else:
        parameters = np.concatenate(seen)
    entropy_loss = -float(distribution.entropy(parameters).mean())
    policy_loss, mean_value_loss, approx_kl, clip_fraction, *by_name = np.mean(
        metrics, axis=0
    ).tolist()
    loss = policy_loss + hp.value_coefficient * mean_value_loss + entropy_coefficient * entropy_loss
    penalty_metrics = dict(zip(hp.penalties, by_name, strict=True))
    loss += sum(hp.penalties[name] * mean for name, mean in penalty_metrics.items())
    logged = {
        "train/policy_gradient_loss": policy_loss,
        "train/value_loss": mean_value_loss,
        "train/entropy_loss": entropy_loss,
        "train/loss": loss,
        "train/approx_kl": approx_kl,
        "train/clip_fraction": clip_fraction,
        "train/clip_range": clip_range,
        "train/learning_rate": learning_rate,
        "train/explained_variance": signals.explained_variance,
    }
    logged |= {f"train/penalty_{name}": mean for name, mean in penalty_metrics.items()}
    return logged | width_metrics(distribution, parameters)


def _learning_rate(state: TrainState, hp: PPO) -> float:
    """The learning rate of the next epoch; an adaptive one is the agent's."""
    if hp.adaptive_kl:
        return float(state.running.setdefault(LEARNING_RATE, np.array(hp.learning_rate)))
    state.running.pop(LEARNING_RATE, None)
    return _scheduled(hp.learning_rate, hp.learning_rate_schedule, state, hp)


def _scheduled(start: float, kind: Schedule, state: TrainState, hp: PPO) -> float:
    return scheduled(start, kind, state.environment_steps, hp.schedule_steps, hp.schedule_end)
