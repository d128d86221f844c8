"""What every learner takes and gives."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import NamedTuple

from poolrl.agent import Agent
from poolrl.tasks.base import Task

MakeTask = Callable[[int], Task]
"""A number of episodes -> a task with as many simulations as the specification gives them."""


class Training(NamedTuple):
    """What training a branch gave.

    Attributes:
        agent: the trained agent; the one that it started from is unchanged.
        returns: undiscounted return of every training episode, in order.
        environment_steps: control steps taken.
        updates: how often the learner updated.
        metrics: averages over the updates, under Stable-Baselines3's log keys.
    """

    agent: Agent
    returns: list[float]
    environment_steps: int
    updates: int
    metrics: dict[str, float]


def mean_metrics(metrics: Sequence[dict[str, float]]) -> dict[str, float]:
    """The average of every metric over the updates of a branch."""
    return {key: statistics.fmean(m[key] for m in metrics) for key in metrics[0]}
