"""When a pool is over."""

from __future__ import annotations

import time
from dataclasses import dataclass

from poolrl.config.schema import RunOptions
from poolrl.records.records import MergeRecord


@dataclass(frozen=True)
class Ending:
    """What a run may end on; a later run may go on with the same pool.

    Attributes:
        iterations: the iteration after which the pool ends.
        target_return: end with the iteration in which the re-evaluation of the standing champion,
            an unbiased measurement, reaches this; that iteration's champion is the result.
        deadline: Unix time after which no new unit is begun.
    """

    iterations: int
    target_return: float | None = None
    deadline: float | None = None

    def time_is_up(self) -> bool:
        """Whether the deadline has passed."""
        return self.deadline is not None and time.time() > self.deadline

    def reason(self, last: MergeRecord) -> str | None:
        """Why nothing follows a merge; ``None`` where another iteration does."""
        if last.iteration >= self.iterations:
            return f"{last.iteration} iterations are done"
        score = last.parent_score
        if self.target_return is not None and score is not None and score >= self.target_return:
            return f"the champion's re-evaluation reached {score:.2f}"
        if self.time_is_up():
            return "the time budget is spent"
        return None


def is_last(merge: MergeRecord, run: RunOptions) -> bool:
    """Whether nothing follows a merge by a pool's own options; its time budget counts from each
    run's start, and so says nothing of the pool."""
    return Ending(run.iterations, run.target_return).reason(merge) is not None
