"""An energy cost of muscles with a weight that adapts to the task's score.

Schumacher et al. 2023, *Natural and Robust Walking using Reinforcement Learning without
Demonstrations in High-Dimensional Musculoskeletal Models* (arXiv:2309.02976): once the policy
scores above a threshold, the weight grows, and it falls where the score does, with a step that
becomes smaller each time that the threshold is reached again.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from poolrl.errors import UsageError

F32 = NDArray[np.float32]

SMOOTHING = 0.8
"""Share of the old running averages after an episode."""

RATE_FACTOR = 0.9
"""Of the step of the weight, where the threshold is reached again."""

LARGEST_WEIGHT = 100.0

INITIAL_RATE = 9e-4


class EnergyState(NamedTuple):
    """State of the weight.

    Attributes:
        weight: of the cost, within [0, 100].
        rate: step of the weight after an episode.
        success: running share of episodes after which the running score was above the threshold.
        score: running average of the returns of episodes.
    """

    weight: float = 0.0
    rate: float = INITIAL_RATE
    success: float = 0.0
    score: float = 0.0


def adapted(state: EnergyState, episode_return: float, threshold: float) -> EnergyState:
    """The state after an episode.

    Args:
        state: before.
        episode_return: of the episode, undiscounted, without the cost.
        threshold: of the running score.
    """
    score = SMOOTHING * state.score + (1 - SMOOTHING) * episode_return
    weight, rate = state.weight, state.rate
    if score > threshold:
        if state.success < 0.5:
            rate *= RATE_FACTOR
        weight += rate
    else:
        weight -= rate
    success = SMOOTHING * state.success + (1 - SMOOTHING) * (score > threshold)
    return EnergyState(min(max(weight, 0.0), LARGEST_WEIGHT), rate, success, score)


def check_muscles(size: int, observation_size: int) -> None:
    """Check that the activities of so many muscles can be among the values observed.

    Raises:
        UsageError: they are more.
    """
    if size > observation_size:
        raise UsageError(f"learner.muscles: {size}, but {observation_size} values are observed")


def batch_effort(next_observation: F32, size: int) -> float:
    """The effort of a batch, Σ a³ over all of its transitions and muscles: as published, one number
    that the weight multiplies and that is subtracted from the reward of every transition.

    Args:
        next_observation: (n, observation size), not normalised.
        size: number of muscles, whose activities a in [0, 1] are the last values observed.
    """
    return float(np.power(next_observation[:, -size:], 3).sum())
