"""Proximal policy optimisation with clipped objective and GAE (Schulman et al. 2017)."""

from __future__ import annotations

import numpy as np

from poolrl.agent import Agent
from poolrl.algorithms.advantages import centered_rewards, generalized_advantages
from poolrl.algorithms.learning_signals import learning_signals
from poolrl.algorithms.on_policy import train_on_policy
from poolrl.algorithms.train_state import TrainState
from poolrl.algorithms.types import MakeTask, Training
from poolrl.config.schema import PPO
from poolrl.rollouts.minibatches import Minibatches
from poolrl.rollouts.rollout import Rollout
from poolrl.rollouts.sampler import Budget
from poolrl.seeding import Streams


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
    )


def update(
    state: TrainState, rollout: Rollout, hp: PPO, generator: np.random.Generator
) -> dict[str, float]:
    """Update actor and critic on one rollout.

    The loss of a minibatch is the mean over its samples of

        −min(r A, clip(r, 1 − ε, 1 + ε) A) + c_V (V − R)² − c_H H,   r = exp(log π − log π_old)

    (equations 7 and 9). Its derivatives with respect to log π, V and the distribution's parameters
    are written out below; the network then back-propagates them. With normalised values, V and R
    are normalised, and so is the value loss that is returned.

    Args:
        state: updated in place.
        rollout: collected with the current policy.
        hp: hyper-parameters.
        generator: shuffles the minibatches.

    Returns:
        Averages over the last epoch, and the entropy after it, under Stable-Baselines3's keys.
    """
    valid = rollout.valid
    reward = rollout.reward
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
    rates = [(slice(None), hp.learning_rate)]
    low, high = np.float32(1 - hp.clip_range), np.float32(1 + hp.clip_range)
    minibatches = Minibatches(rollout, hp.sequence_steps)
    metrics = []
    for epoch in range(hp.epochs):
        for rows, inputs in minibatches.epoch(hp.minibatch_size, generator):
            n = np.float32(len(rows))
            advantage_ = advantages[rows]
            parameters, values, _ = network.forward(inputs)
            log_prob, by_parameters = distribution.log_prob_gradient(parameters, samples[rows])
            log_ratio = log_prob - old_log_probs[rows]
            ratio = np.exp(log_ratio)
            clipped_ratio = np.minimum(np.maximum(ratio, low), high)

            # Where the clipped term is the smaller one, it is constant: its gradient is zero.
            unclipped = advantage_ * ratio <= advantage_ * clipped_ratio
            by_log_prob = -advantage_ * ratio * unclipped / n
            by_parameters *= by_log_prob[:, None]
            if hp.entropy_coefficient:
                entropy_gradient = distribution.entropy_gradient(parameters).by_parameters
                by_parameters -= np.float32(hp.entropy_coefficient) / n * entropy_gradient
            error = values - targets[rows]
            by_value = np.float32(2 * hp.value_coefficient) / n * error
            state.backpropagate(
                by_parameters,
                by_value,
                max_norm=hp.max_grad_norm,
                separate=hp.gradient_clipping == "separate",
            )
            state.optimizer.step(rates)

            if epoch == hp.epochs - 1:
                surrogate = np.minimum(advantage_ * ratio, advantage_ * clipped_ratio)
                kl = ratio - 1 - log_ratio  # Schulman's k3 estimator
                clipped = ratio != clipped_ratio
                metrics.append([-surrogate.mean(), (error**2).mean(), kl.mean(), clipped.mean()])

    parameters = state.policy_parameters(minibatches.whole().inputs)
    policy_loss, value_loss, approx_kl, clip_fraction = np.mean(metrics, axis=0).tolist()
    return {
        "train/policy_gradient_loss": policy_loss,
        "train/value_loss": value_loss,
        "train/entropy_loss": -float(distribution.entropy(parameters).mean()),
        "train/approx_kl": approx_kl,
        "train/clip_fraction": clip_fraction,
        "train/explained_variance": signals.explained_variance,
    }
