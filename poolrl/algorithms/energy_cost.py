"""An energy cost of muscles with a weight that adapts to the task's score.

Schumacher et al. 2023, *Natural and Robust Walking using Reinforcement Learning without
Demonstrations in High-Dimensional Musculoskeletal Models* (arXiv:2309.02976): once the policy
scores above a threshold, the weight grows, and it falls where the score does, with a step that
becomes smaller each time that the threshold is reached again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from poolrl.errors import UsageError
from poolrl.tasks.base import ACTIVITY

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


def activity_columns(
    muscles: int, senses: Mapping[str, NDArray[np.bool_]], observation_size: int
) -> NDArray[np.intp]:
    """Return which of the observed values are the activities of muscles, (muscles,): those that the
    task names ``activity``, or, as the published environments append them, the last ones.

    Args:
        muscles: their number; 0 if no energy cost is asked for.
        senses: of the task: name of a part of the observations -> mask, (observation size,).
        observation_size: number of observed values.

    Raises:
        UsageError: the task has another number of muscles, or fewer values are observed.
    """
    if muscles and ACTIVITY in senses:
        columns = np.flatnonzero(senses[ACTIVITY])
        if len(columns) != muscles:
            raise UsageError(f"learner.muscles: {muscles}, but the task has {len(columns)} muscles")
        return columns
    if muscles > observation_size:
        raise UsageError(f"learner.muscles: {muscles}, but {observation_size} values are observed")
    return np.arange(observation_size - muscles, observation_size)


def batch_effort(next_observation: F32, activities: NDArray[np.intp]) -> float:
    """The effort of a batch, Σ a³ over all of its transitions and muscles: as published, one number
    that the weight multiplies and that is subtracted from the reward of every transition.

    Args:
        next_observation: (n, observation size), not normalised.
        activities: (muscles,), which values are the activities a in [0, 1] of muscles.
    """
    return float(np.power(np.take(next_observation, activities, axis=1), 3).sum())
