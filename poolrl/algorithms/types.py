"""Arguments and results of all learners."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import NamedTuple

from poolrl.agent import Agent
from poolrl.config.types import QUANTILES
from poolrl.rollouts.replay_chunk import Chunk
from poolrl.tasks.base import Task

MakeTask = Callable[[int], Task]
"""Make a task with the given number of parallel simulations, or with the specification's maximum if
that is lower."""


LATER_METRICS = {
    *(f"train/{n}" for n in ("loss", "clip_range", "learning_rate", "std", "concentration")),
    *(f"rollout/{name}_{end}" for name in ("action", "ep_len") for end in QUANTILES),
}
"""Names of metrics that earlier versions did not record."""


class Training(NamedTuple):
    """Result of training on one branch.

    Attributes:
        agent: the trained agent.
        returns: undiscounted return of every training episode that ended.
        environment_steps: control steps taken.
        updates: number of updates.
        metrics: averages over the updates, under Stable-Baselines3's log keys.
        transitions: that were sampled, of a learner that shares them.
    """

    agent: Agent
    returns: list[float]
    environment_steps: int
    updates: int
    metrics: dict[str, float]
    transitions: Chunk | None = None


def mean_metrics(metrics: Sequence[dict[str, float]]) -> dict[str, float]:
    """Average each metric over the updates that report it."""
    names = {name: None for m in metrics for name in m}
    return {name: statistics.fmean(m[name] for m in metrics if name in m) for name in names}
