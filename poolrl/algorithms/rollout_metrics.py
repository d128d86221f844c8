"""What records of training say of rollouts: returns, lengths, actions, latent variables, and the
policy's width."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from poolrl.config.types import QUANTILES
from poolrl.distributions.base import F32, Distribution
from poolrl.networks.policy import Policy
from poolrl.rollouts.rollout import Rollout
from poolrl.rollouts.sampler import Episodes

MOST_STEPS = 4096
"""Steps of a rollout whose latent variables are computed for their quantiles."""


def episode_metrics(episodes: Episodes) -> dict[str, float]:
    """Mean return and length of episodes, under Stable-Baselines3's log keys, and quantiles of the
    lengths; empty without any."""
    if not len(episodes.returns):
        return {}
    return {
        "rollout/ep_rew_mean": float(episodes.returns.mean()),
        "rollout/ep_len_mean": float(episodes.lengths.mean()),
        **length_metrics(episodes.lengths),
    }


def length_metrics(lengths: NDArray[np.int64]) -> dict[str, float]:
    """Quantiles of lengths of episodes, (episodes,), in control steps; empty without any."""
    return _quantiles("rollout/ep_len", lengths) if len(lengths) else {}


def action_metrics(policy: Policy, rollout: Rollout) -> dict[str, float]:
    """Quantiles of the actions of a rollout, over its steps and the dimensions of the action space,
    in its unit; empty for actions that are choices."""
    whole = bool(rollout.valid.all())
    samples = rollout.sample.reshape(-1, *rollout.sample.shape[2:])
    actions = policy.distribution.action(samples if whole else rollout.sample[rollout.valid])
    return _quantiles("rollout/action", actions.ravel()) if actions.dtype.kind == "f" else {}


def latent_metrics(policy: Policy, rollout: Rollout) -> dict[str, float]:
    """Quantiles of the latent variables without noise, over variables and up to ``MOST_STEPS``
    steps of a rollout, and of its rewards; empty of networks that have no such variables.

    Args:
        policy: that sampled the rollout.
        rollout: what it sampled.
    """
    steps, simulations = np.nonzero(rollout.valid)
    some = np.linspace(0, len(steps) - 1, min(len(steps), MOST_STEPS)).astype(np.intp)
    latents = policy.network.latents(rollout.normalized[steps[some], simulations[some]])
    if not latents:
        return {}
    found = _quantiles("rollout/reward", rollout.reward[rollout.valid])
    for name, values in latents.items():
        found |= _quantiles(f"rollout/{name}", values.ravel())
    return found


def width_metrics(distribution: Distribution, parameters: F32) -> dict[str, float]:
    """How wide a policy's distributions are: the mean standard deviation of normal samples, or the
    mean concentration α + β of beta distributions; empty for others.

    Args:
        distribution: of the actions.
        parameters: (n, num_parameters).
    """
    std = distribution.spread(parameters)
    if std is not None:
        return {"train/std": std}
    concentration = distribution.concentration(parameters)
    return {} if concentration is None else finite({"train/concentration": concentration})


def finite(metrics: dict[str, float]) -> dict[str, float]:
    """The metrics that are finite. Of what only describes, others are left out: training that could
    go on does not end because of them."""
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


def _quantiles(name: str, values: NDArray[np.floating] | NDArray[np.int64]) -> dict[str, float]:
    found = np.quantile(values, list(QUANTILES.values())).tolist()
    return finite({f"{name}_{end}": each for end, each in zip(QUANTILES, found, strict=True)})
