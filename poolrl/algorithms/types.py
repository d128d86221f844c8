"""What every learner takes and gives."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import NamedTuple

from poolrl.agent import Agent
from poolrl.tasks.base import Task

MakeTask = Callable[[int], Task]
"""A number of episodes side by side -> a task with as many simulations, or as many as the
specification allows where that is fewer."""


class Budget(NamedTuple):
    """How long is played; where both are positive, until one of them is used up.

    Attributes:
        episodes: so many whole episodes; 0 for any number.
        steps: no episode starts once so many control steps have been taken; those in flight run to
            their end and count. 0 for any number.
    """

    episodes: int = 0
    steps: int = 0


class Training(NamedTuple):
    """What training a branch gave.

    Attributes:
        agent: the trained agent; the one that it started from is unchanged.
        returns: undiscounted return of every training episode that ended.
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
    """The average of every metric over the updates of a branch that have it."""
    names = {name: None for m in metrics for name in m}
    return {name: statistics.fmean(m[name] for m in metrics if name in m) for name in names}
