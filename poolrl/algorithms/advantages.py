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
    return _accumulated(reward, ended, discount)


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
        ended: (T, n): the last step of an episode, or of what there is of it.
        bootstrap: (T, n): what follows those last steps; 0 where the episode terminated.
        discount: γ.
        gae_lambda: λ.

    Returns:
        (T, n); add ``value`` for the critic's targets.
    """
    following = np.empty_like(value)
    following[:-1] = value[1:]
    following[-1] = 0
    np.copyto(following, bootstrap, where=ended)
    delta: F32 = following
    delta *= np.float32(discount)
    delta += reward
    delta -= value
    return _accumulated(delta, ended, discount * gae_lambda)


def _accumulated(terms: F32, ended: NDArray[np.bool_], decay: float) -> F32:
    """s_t = x_t + decay · s_{t+1}, beginning anew behind every end."""
    factor = np.where(ended, np.float32(0), np.float32(decay))
    sums = np.empty_like(terms)
    following = np.zeros(terms.shape[1], np.float32)
    for t in range(len(terms) - 1, -1, -1):
        np.multiply(factor[t], following, out=sums[t])
        sums[t] += terms[t]
        following = sums[t]
    return sums
