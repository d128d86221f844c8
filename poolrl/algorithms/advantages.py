"""Returns, advantages and their transformations; T steps of n simulations are (T, n) arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
Values = NDArray[np.floating]
"""float32, or float64 where the critic's values are normalised."""


def discounted_returns(reward: Values, ended: NDArray[np.bool_], discount: float) -> Values:
    """Monte Carlo returns, g_t = r_t + γ g_{t+1} (Sutton & Barto 2018, equation 3.9).

    Args:
        reward: (T, n).
        ended: (T, n): the last step of an episode.
        discount: γ.

    Returns:
        (T, n), of the rewards' type.
    """
    return _discounted_sums(reward, ended, discount)


def generalized_advantages(
    reward: Values,
    value: Values,
    ended: NDArray[np.bool_],
    bootstrap: Values,
    discount: float,
    gae_lambda: float,
) -> Values:
    """Generalised advantage estimation (Schulman et al. 2016, equation 16).

    Args:
        reward, value: (T, n).
        ended: (T, n): the last step of an episode, or of the part of it in the rollout.
        bootstrap: (T, n): value after those last steps; 0 where the episode terminated.
        discount: γ.
        gae_lambda: λ.

    Returns:
        (T, n), of the values' type; add ``value`` for the critic's targets.
    """
    next_value = np.empty_like(value)
    next_value[:-1] = value[1:]
    next_value[-1] = 0
    np.copyto(next_value, bootstrap, where=ended)
    delta = next_value
    delta *= delta.dtype.type(discount)
    delta += reward
    delta -= value
    return _discounted_sums(delta, ended, discount * gae_lambda)


def centered_rewards(reward: Values, valid: NDArray[np.bool_], *, single: bool = True) -> Values:
    """Subtract the mean reward of a rollout (Naik et al. 2024, "Reward Centering").

    Args:
        reward: (T, n).
        valid: (T, n): the samples that the mean is taken over.
        single: whether a single sample is centred too, to 0.

    Returns:
        (T, n).
    """
    samples = reward[valid]
    if len(samples) == 1 and not single:
        return reward
    centered: Values = reward - samples.mean()
    return centered


def standardized(values: F32, *, single: bool = True) -> F32:
    """Scale values to mean 0 and standard deviation 1.

    Args:
        values: (n,).
        single: whether a single value is centred, to 0; otherwise it stays as it is.
    """
    if len(values) == 1 and not single:
        return values
    centered: F32 = values - values.mean()
    if len(values) > 1:
        centered /= centered.std(ddof=1) + np.float32(1e-8)
    return centered


def explained_variance(value: Values, target: Values) -> float:
    """1 − Var(target − value) / Var(target); 1 for a perfect critic, 0 for a constant one."""
    variance = float(target.var())
    return float(1 - (target - value).var() / variance) if variance > 0 else 0.0


def _discounted_sums(terms: Values, ended: NDArray[np.bool_], decay: float) -> Values:
    """s_t = x_t + decay · s_{t+1}, where s_{t+1} counts as 0 after the end of an episode."""
    real = terms.dtype.type
    factor = np.where(ended, real(0), real(decay))
    sums = np.empty_like(terms)
    next_sum = np.zeros(terms.shape[1], terms.dtype)
    for t in range(len(terms) - 1, -1, -1):
        np.multiply(factor[t], next_sum, out=sums[t])
        sums[t] += terms[t]
        next_sum = sums[t]
    return sums
