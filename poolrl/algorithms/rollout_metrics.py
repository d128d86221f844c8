"""What records of training say of rollouts: returns, lengths, actions, and the policy's width."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from poolrl.distributions.base import F32, Distribution
from poolrl.networks.policy import Policy
from poolrl.rollouts.rollout import Rollout
from poolrl.rollouts.sampler import Episodes

QUANTILES = {"min": 0.0, "q25": 0.25, "median": 0.5, "q75": 0.75, "max": 1.0}
"""End of a metric's name -> the quantile that it is."""


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
