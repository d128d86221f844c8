"""Scaling of rewards by the running standard deviation of the discounted return."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poolrl.algorithms.advantages import Values
from poolrl.networks.running_statistics import merge_batch
from poolrl.rollouts.rollout import Rollout

REWARD_CLIP = 10.0
"""Scaled rewards are clipped to ± this."""

NAMES = ("learner/return_mean", "learner/return_var", "learner/return_count")


class RewardScaler:
    """Divides rewards by the standard deviation of R_t = r_t + γ R_{t−1}, over all steps so far
    (Engstrom et al. 2020, "Implementation Matters in Deep Policy Gradients"). The mean is not
    subtracted, which would change the task.

    Args:
        running: running state of the learner, updated in place: mean, variance and count of R.
    """

    def __init__(self, running: MutableMapping[str, NDArray[Any]]) -> None:
        for name in NAMES:
            running.setdefault(name, np.zeros(()))
        self._statistics = tuple(running[name] for name in NAMES)
        self._running_return: NDArray[np.float64] | None = None

    def __call__(self, rollout: Rollout, discount: float) -> Values:
        """Take the rewards of a rollout into the statistics, and scale them.

        Args:
            rollout: the next one; it goes on with the episodes that the one before left open.
            discount: γ.

        Returns:
            (T, n).
        """
        reward, valid = rollout.reward, rollout.valid
        total = self._running_return
        if total is None or len(total) != reward.shape[1]:
            total = np.zeros(reward.shape[1])
        returns = np.empty(reward.shape)
        for t in range(len(reward)):
            total = discount * total + reward[t]
            returns[t] = total
            if t < len(reward) - 1:
                total = np.where(rollout.ended[t], 0.0, total)
        self._running_return = np.where(rollout.goes_on, total, 0.0)
        mean, var, count = self._statistics
        merge_batch(mean, var, count, returns[valid])
        deviation = float(np.sqrt(var)) or 1.0
        scaled: Values = np.clip(reward / deviation, -REWARD_CLIP, REWARD_CLIP)
        return scaled.astype(reward.dtype)
