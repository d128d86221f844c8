"""Maximum a posteriori policy optimisation with decoupled constraints.

Abdolmaleki et al. 2018a, "Maximum a Posteriori Policy Optimisation" (arXiv:1806.06920); 2018b,
"Relative Entropy Regularized Policy Iteration" (arXiv:1812.02256), whose constraints of mean and
standard deviation these are; the penalty of actions beyond their bounds is that of Abdolmaleki et
al. 2020 (MO-MPO, arXiv:2005.07513) as in Acme. All derivatives are written out. docs/mpo.md says
what differs from other implementations.

An update on a batch of n transitions is

1. samples a_k of the target policy in both observations of each, and their values Q̄(s, a_k);
2. a step of the critic to r + γᵐ·mean_k Q̄(s′, a′_k);
3. the E-step: weights w_k = softmax_k(Q̄(s, a_k)/η), with a gradient of the temperature η;
4. the M-step: a step of the actor up Σ w_k log π(a_k | s), where multipliers α bound how far mean
   and standard deviation go from the target policy's, with gradients of the multipliers;
5. a step of the targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logsumexp

from poolrl.agent import Agent
from poolrl.algorithms.actor_critic import ActorCritic
from poolrl.algorithms.energy_cost import batch_effort
from poolrl.algorithms.off_policy import OffPolicyState, train_off_policy
from poolrl.algorithms.types import MakeTask, Training, mean_metrics
from poolrl.config.exploration import Exploration
from poolrl.config.mpo import MPO
from poolrl.distributions.tanh_mean_gaussian import TanhMeanGaussian
from poolrl.networks.parameters import DUAL_PREFIX
from poolrl.rollouts.replay import Replay
from poolrl.rollouts.replay_chunk import Chunk
from poolrl.rollouts.sampler import Budget
from poolrl.seeding import Streams

F32 = NDArray[np.float32]

DUALS = ("temperature", "penalty_temperature", "mean", "std")
"""Dual variables by their names in an agent: of the E-step, of the action penalty, and, one a
dimension, of the constraints of mean and standard deviation."""

SMALLEST_DUAL = np.float32(-18.0)
"""Floor of the dual variables before softplus."""

EPSILON = np.float32(1e-8)
"""Added to temperatures and multipliers."""


class Batch(NamedTuple):
    """n transitions, of up to m steps each.

    Attributes:
        observation, next_observation: (n, observation size), normalised.
        sample: (n, action size), of the policy's distribution.
        reward: (n,), the discounted sum of the steps' rewards.
        discount: (n,), γᵐ; 0 where the episode terminated.
    """

    observation: F32
    sample: F32
    reward: F32
    discount: F32
    next_observation: F32


class Targets(NamedTuple):
    """What the target networks say of a batch, with K samples of the policy.

    Attributes:
        noise: (K, n, action size), standard normal; samples are mean + std · noise.
        mean, std: (n, action size), of the target policy in the observations.
        values: (K, n), of those samples.
        next_values: (n,), expected under the target policy in the next observations.
    """

    noise: F32
    mean: F32
    std: F32
    values: F32
    next_values: F32


class ValueRange(NamedTuple):
    """Bounds of the critic's values, which are low + sigmoid(output)·(high − low)."""

    low: float
    high: float


def train(
    agent: Agent,
    make_task: MakeTask,
    budget: Budget,
    hp: MPO,
    streams: Streams,
    exploration: Exploration,
    training_steps: int,
    window: Sequence[Chunk] = (),
) -> Training:
    """Train with MPO; arguments and errors as for ``poolrl.algorithms.training.train``."""
    return train_off_policy(
        *(agent, make_task, budget, hp, streams, exploration, training_steps, window),
        learner="mpo",
        update=update_on_replay,
    )


def update_on_replay(
    state: OffPolicyState, replay: Replay, hp: MPO, generator: np.random.Generator
) -> dict[str, float]:
    """Make updates on ``hp.batches`` batches of a replay.

    Args:
        state: updated in place.
        replay: of transitions.
        hp: hyper-parameters.
        generator: draws the transitions, and the samples of the target policy.

    Returns:
        Averages over the batches.
    """
    bounds = None
    if hp.normalize_returns:
        low, high = (reward / (1 - hp.discount) for reward in state.reward_range)
        bounds = ValueRange(low, high)
    metrics = []
    for _ in range(hp.batches):
        rows = replay.draw(hp.batch_size, generator)
        drawn = replay.transitions(rows, hp.return_steps, hp.discount)
        batch = Batch(
            state.policy.normalized(drawn.observation),
            drawn.sample,
            drawn.reward,
            drawn.discount,
            state.policy.normalized(drawn.next_observation),
        )
        if hp.muscles:
            cost = state.energy.weight * batch_effort(drawn.next_observation, state.activities)
            batch = batch._replace(reward=batch.reward - np.float32(cost))
        shape = hp.action_samples, 2 * hp.batch_size, drawn.sample.shape[1]
        noise = generator.standard_normal(shape, np.float32)
        metrics.append(update(state.networks, state.distribution, batch, noise, hp, bounds))
    means = mean_metrics(metrics)
    if hp.muscles:
        means["train/energy_weight"] = state.energy.weight
    return means


def update(
    networks: ActorCritic,
    distribution: TanhMeanGaussian,
    batch: Batch,
    noise: F32,
    hp: MPO,
    bounds: ValueRange | None = None,
) -> dict[str, float]:
    """Make an update on one batch.

    Args:
        networks: updated in place.
        distribution: of the actions.
        batch: of transitions.
        noise: (K, 2n, action size), standard normal, for the batch's observations and then for its
            next observations.
        hp: hyper-parameters.
        bounds: of the values, if they are normalised.

    Returns:
        Losses, temperatures and multipliers.
    """
    targets = target_values(networks, distribution, batch, noise, bounds)
    metrics = critic_gradient(networks, batch, targets, bounds)
    networks.groups["critic"].step(hp.critic_learning_rate, hp.critic_max_grad_norm)
    metrics |= policy_gradients(networks, distribution, batch.observation, targets, hp)
    networks.groups["actor"].step(hp.learning_rate, hp.max_grad_norm)
    networks.groups["dual"].step(hp.dual_learning_rate, hp.max_grad_norm)
    networks.step_targets(hp.target_rate)
    return metrics


def target_values(
    networks: ActorCritic,
    distribution: TanhMeanGaussian,
    batch: Batch,
    noise: F32,
    bounds: ValueRange | None,
) -> Targets:
    """Sample the target policy and value the samples, in all observations of a batch at once.

    Arguments as for ``update``.
    """
    n = len(batch.observation)
    observations = np.concatenate((batch.observation, batch.next_observation))
    mean, std = distribution.mean_and_std(networks.target_actor(observations))
    values = networks.target_critic(observations, mean + std * noise)
    if bounds is not None:
        values = bounded(values, bounds)
    return Targets(noise[:, :n], mean[:n], std[:n], values[:, :n], values[:, n:].mean(axis=0))


def critic_gradient(
    networks: ActorCritic, batch: Batch, targets: Targets, bounds: ValueRange | None
) -> dict[str, float]:
    """Compute the gradient of the critic's loss, mean (Q(s, a) − (r + γᵐ·E Q̄(s′, ·)))².

    Args:
        networks: receives the gradient.
        batch, bounds: as for ``update``.
        targets: of the batch.
    """
    goals = batch.reward + batch.discount * targets.next_values
    inputs = np.concatenate((batch.observation, batch.sample), axis=1)
    outputs, cache = networks.critic.forward_with_cache(inputs)
    values = outputs[:, 0] if bounds is None else bounded(outputs[:, 0], bounds)
    errors = values - goals
    by_value = errors * np.float32(2 / len(errors))
    if bounds is not None:
        share = expit(outputs[:, 0])
        by_value *= np.float32(bounds.high - bounds.low) * share * (1 - share)
    networks.critic.backward(cache, by_value[:, None], networks.groups["critic"].gradient)
    return {
        "train/critic_loss": float(np.square(errors).mean()),
        "train/value": float(values.mean()),
    }


def policy_gradients(
    networks: ActorCritic,
    distribution: TanhMeanGaussian,
    observation: F32,
    targets: Targets,
    hp: MPO,
) -> dict[str, float]:
    """Compute the gradients of the actor and of the dual variables.

    With μ̄, σ̄ of the target policy, μ, σ of the actor, samples a_k = μ̄ + σ̄·ε_k, d = (μ − μ̄)/σ̄ and
    ρ = σ̄/σ, for each dimension and observation, up to what does not depend on the actor:

        −Σ_k w_k log N(a_k; μ, σ̄) = ½ Σ_k w_k (ε_k − d)²
        −Σ_k w_k log N(a_k; μ̄, σ) = ½ ρ² Σ_k w_k ε_k² − Σ_k w_k log ρ
        KL(μ̄, σ̄ ‖ μ, σ̄) = ½ d²,    KL(μ̄, σ̄ ‖ μ̄, σ) = ½ (ρ² − 1) − log ρ

    summed over dimensions, the divergences times their multipliers, and averaged over observations.

    Args:
        networks: receives the gradients; its dual variables are raised to their floor.
        distribution: of the actions.
        observation: (n, observation size), normalised.
        targets: in these observations.
        hp: hyper-parameters.
    """
    duals, of_duals = networks.groups["dual"].arrays, networks.groups["dual"].gradient
    for dual in duals.values():
        np.maximum(dual, SMALLEST_DUAL, out=dual)
    temperature, *multipliers = (_softplus(duals[f"{DUAL_PREFIX}{name}"]) for name in DUALS)
    penalty_temperature, alpha_mean, alpha_std = multipliers
    noise, n = targets.noise, len(observation)

    weights, temperature_loss, slope = weights_and_loss(targets.values, temperature, hp.epsilon)
    slopes = {"temperature": slope, "penalty_temperature": np.zeros(1, np.float32)}
    if hp.action_penalty:
        samples = targets.mean + targets.std * noise
        beyond = samples - np.clip(samples, -1, 1)
        costs = -np.sqrt(np.square(beyond).sum(axis=-1))
        of_penalty, penalty_loss, slopes["penalty_temperature"] = weights_and_loss(
            costs, penalty_temperature, hp.epsilon_penalty
        )
        weights += of_penalty
        temperature_loss += penalty_loss

    total = weights.sum(axis=0)[:, None]
    first = np.einsum("kn,kna->na", weights, noise)
    second = np.einsum("kn,kna->na", weights, np.square(noise))

    parameters, cache = networks.actor.forward_with_cache(observation)
    mean, std = distribution.mean_and_std(parameters)
    shift, ratio = (mean - targets.mean) / targets.std, targets.std / std
    square = np.square(ratio)
    by_mean = (total * shift - first + alpha_mean * shift) / targets.std
    by_log_std = total - second * square + alpha_std * (1 - square)
    by_parameters = distribution.chained(
        parameters, by_mean / np.float32(n), by_log_std / np.float32(n)
    )
    networks.actor.backward(cache, by_parameters, networks.groups["actor"].gradient)

    divergence_mean = np.square(shift).mean(axis=0) / 2
    divergence_std = ((square - 1) / 2 - np.log(ratio)).mean(axis=0)
    slopes["mean"] = hp.epsilon_mean - divergence_mean
    slopes["std"] = hp.epsilon_std - divergence_std
    for name, slope in slopes.items():
        of_duals[f"{DUAL_PREFIX}{name}"][...] = slope * expit(duals[f"{DUAL_PREFIX}{name}"])

    constants = total * (np.log(targets.std) + np.float32(0.9189385332046727))  # ½ log 2π
    losses = {
        "policy_mean_loss": (
            (second - 2 * first * shift + total * np.square(shift)) / 2 + constants
        ),
        "policy_std_loss": second * square / 2 - total * np.log(ratio) + constants,
    }
    return {
        **{f"train/{name}": float(loss.sum(axis=1).mean()) for name, loss in losses.items()},
        "train/kl_mean": float(divergence_mean.sum()),
        "train/kl_std": float(divergence_std.sum()),
        "train/temperature_loss": float(temperature_loss),
        "train/temperature": float(temperature[0]),
        "train/penalty_temperature": float(penalty_temperature[0]),
        "train/alpha_mean": float(alpha_mean.mean()),
        "train/alpha_std": float(alpha_std.mean()),
        "train/std": float(std.mean()),
    }


def weights_and_loss(
    values: F32, temperature: F32, epsilon: float
) -> tuple[F32, np.float32, NDArray[np.float32]]:
    """The E-step: softmax_k(Q_k/η), and the dual η·(ε + mean log(Σ_k exp(Q_k/η)/K)) of its bound.

    Args:
        values: (K, n), of the samples.
        temperature: (1,), η.
        epsilon: bound ε.

    Returns:
        Weights, (K, n); the dual; its derivative by η, (1,).
    """
    tempered = values / temperature
    normalizer = logsumexp(tempered, axis=0)
    weights: F32 = np.exp(tempered - normalizer)
    loss = np.float32(epsilon) + normalizer.mean() - np.float32(np.log(len(values)))
    slope = loss - (weights * tempered).sum(axis=0).mean()
    return weights, (temperature * loss)[0], np.asarray([slope], np.float32)


def bounded(outputs: F32, bounds: ValueRange) -> F32:
    """Values between bounds, from the critic's outputs, of any shape."""
    values: F32 = expit(outputs)
    values *= np.float32(bounds.high - bounds.low)
    values += np.float32(bounds.low)
    return values


def _softplus(x: F32) -> F32:
    softplus: F32 = np.logaddexp(np.float32(0), x) + EPSILON
    return softplus
