"""Comparisons of arms by their time to a target: pure functions.

A run that does not reach the target is censored: its time is that of all of its iterations, and it
counts as a failure. Ratios of times are geometric means over all pairs of seeds, with bootstrap
intervals over the seeds of both arms. ``costs.py`` says how long a run takes on a number of cores.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from costs import WORK
from numpy.typing import NDArray
from run_data import RunData
from timing import Timing

from poolrl.report.bootstrap import Interval, on_common_grid, resampled_means

F64 = NDArray[np.float64]


class Outcome(NamedTuple):
    """Time to the target of a run.

    Attributes:
        seconds: to the target; to the end of the run, if it did not reach it.
        reached: whether it did.
    """

    seconds: float
    reached: bool


def time_to_target(seconds: F64, position: int | None) -> Outcome:
    """Time to the target, or of the whole run.

    Args:
        seconds: to the end of each iteration.
        position: of the iteration that reached it; ``None`` if none did.
    """
    return Outcome(float(seconds[-1 if position is None else position]), position is not None)


def geometric_interval(values: Sequence[float], generator: np.random.Generator) -> Interval:
    """Geometric mean, with an interval over seeds."""
    return ratio_interval(values, [1.0], generator)


def ratio_interval(
    ours: Sequence[float], theirs: Sequence[float], generator: np.random.Generator
) -> Interval:
    """Geometric mean of ours/theirs over all pairs of seeds, with an interval in which the seeds
    of both are resampled.

    Args:
        ours: positive, one per seed.
        theirs: likewise; seeds are not paired.
        generator: of the resampling.
    """
    a, b = np.log(np.asarray(ours, np.float64)), np.log(np.asarray(theirs, np.float64))
    # The mean over all pairs is the difference of the means.
    value = a.mean() - b.mean()
    draws = [resampled_means(each, generator) for each in (a, b)]
    low, high = np.percentile(draws[0] - draws[1], [2.5, 97.5])
    return Interval(float(np.exp(value)), float(np.exp(low)), float(np.exp(high)))


def worst_to_median(scores: Sequence[float]) -> float:
    """How far the worst final score is below the median, as a share of the median's absolute value:
    below 0.1 for a rule without a collapse."""
    median = float(np.median(scores))
    return (median - min(scores)) / abs(median) if median else 0.0


def final_score(run: RunData) -> float | None:
    """The last score of a run; ``None`` if there is none."""
    known = [iteration.score for iteration in run.iterations if iteration.score is not None]
    return known[-1] if known else None


def own_cost(timings: Sequence[Timing]) -> tuple[float, float]:
    """The pool's overhead, and waiting for others, as shares of the workers' wall time."""
    own = waiting = work = 0.0
    for timing in timings:
        waiting += timing.overhead.get("waiting", (0.0, 0.0))[0]
        own += sum(wall for phase, (wall, _) in timing.overhead.items() if phase != "waiting")
        work += sum(units.wall(phase) for units in timing.units.values() for phase in WORK)
    total = own + waiting + work
    return (own / total, waiting / total) if total else (0.0, 0.0)


def score_at(run: RunData, seconds: F64, at: float) -> float | None:
    """The last score that a run was measured at by a time; ``None`` if there is none yet.

    Args:
        run: any.
        seconds: (iterations,), when its iterations end.
        at: the time, in seconds.
    """
    measured = [
        each.score
        for each, end in zip(run.iterations, seconds.tolist(), strict=True)
        if each.score is not None and end <= at
    ]
    return measured[-1] if measured else None


def median_curve(curves: Sequence[tuple[F64, F64]], points: int) -> tuple[F64, F64]:
    """Median over runs, up to the end of the shortest of them.

    Args:
        curves: x and y of each run.
        points: of the result.
    """
    grid, values = on_common_grid(curves, points)
    return grid, np.median(values, axis=0)
