"""Returns and advantages, over (T, n) arrays of T steps of n simulations."""

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
    returns = np.empty_like(reward)
    following = np.zeros(reward.shape[1], np.float32)
    for t in range(len(reward) - 1, -1, -1):
        following = reward[t] + np.float32(discount) * np.where(ended[t], np.float32(0), following)
        returns[t] = following
    return returns


def generalized_advantages(
    reward: F32,
    value: F32,
    terminated: NDArray[np.bool_],
    truncated: NDArray[np.bool_],
    bootstrap: F32,
    discount: float,
    gae_lambda: float,
) -> F32:
    """Generalised advantage estimation (Schulman et al. 2016, equation 16).

    A terminated episode is worth nothing afterwards; a truncated one what ``bootstrap`` says.

    Args:
        reward, value, terminated, truncated, bootstrap: (T, n).
        discount: γ.
        gae_lambda: λ.

    Returns:
        (T, n); add ``value`` for the critic's targets.
    """
    gamma, decay = np.float32(discount), np.float32(discount * gae_lambda)
    ended = terminated | truncated
    advantages = np.empty_like(reward)
    advantage = np.zeros(reward.shape[1], np.float32)
    next_value = np.zeros(reward.shape[1], np.float32)
    for t in range(len(reward) - 1, -1, -1):
        next_value = np.where(ended[t], bootstrap[t], next_value)
        delta = reward[t] + gamma * next_value - value[t]
        advantage = delta + decay * np.where(ended[t], np.float32(0), advantage)
        advantages[t] = advantage
        next_value = value[t]
    return advantages
