"""Returns, advantages and their transformations; T steps of n simulations are (T, n) arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


def discounted_returns(reward: F32, ended: NDArray[np.bool_], discount: float) -> F32:
    """Monte Carlo returns, g_t = r_t + γ g_{t+1} (Sutton & Barto 2018, equation 3.9).

    Args:
        reward: (T, n).
        ended: (T, n): the last step of an episode.
        discount: γ.

    Returns:
        (T, n).
    """
    return _discounted_sums(reward, ended, discount)


def generalized_advantages(
    reward: F32,
    value: F32,
    ended: NDArray[np.bool_],
    bootstrap: F32,
    discount: float,
    gae_lambda: float,
) -> F32:
    """Generalised advantage estimation (Schulman et al. 2016, equation 16).

    Args:
        reward, value: (T, n).
        ended: (T, n): the last step of an episode, or of the part of it in the rollout.
        bootstrap: (T, n): value after those last steps; 0 where the episode terminated.
        discount: γ.
        gae_lambda: λ.

    Returns:
        (T, n); add ``value`` for the critic's targets.
    """
    next_value = np.empty_like(value)
    next_value[:-1] = value[1:]
    next_value[-1] = 0
    np.copyto(next_value, bootstrap, where=ended)
    delta: F32 = next_value
    delta *= np.float32(discount)
    delta += reward
    delta -= value
    return _discounted_sums(delta, ended, discount * gae_lambda)


def centered_rewards(reward: F32, valid: NDArray[np.bool_]) -> F32:
    """Subtract the mean reward of a rollout (Naik et al. 2024, "Reward Centering").

    Args:
        reward: (T, n).
        valid: (T, n): the samples that the mean is taken over.

    Returns:
        (T, n).
    """
    centered: F32 = reward - reward[valid].mean()
    return centered


def standardized(values: F32) -> F32:
    """Scale values to mean 0 and standard deviation 1; a single value is only centred."""
    centered: F32 = values - values.mean()
    if len(values) > 1:
        centered /= centered.std(ddof=1) + np.float32(1e-8)
    return centered


def explained_variance(value: F32, target: F32) -> float:
    """1 − Var(target − value) / Var(target); 1 for a perfect critic, 0 for a constant one."""
    variance = float(target.var())
    return float(1 - (target - value).var() / variance) if variance > 0 else 0.0


def _discounted_sums(terms: F32, ended: NDArray[np.bool_], decay: float) -> F32:
    """s_t = x_t + decay · s_{t+1}, where s_{t+1} counts as 0 after the end of an episode."""
    factor = np.where(ended, np.float32(0), np.float32(decay))
    sums = np.empty_like(terms)
    next_sum = np.zeros(terms.shape[1], np.float32)
    for t in range(len(terms) - 1, -1, -1):
        np.multiply(factor[t], next_sum, out=sums[t])
        sums[t] += terms[t]
        next_sum = sums[t]
    return sums
