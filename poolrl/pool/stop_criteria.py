"""Criteria by which a run of a pool ends."""

from __future__ import annotations

from dataclasses import dataclass, field

from poolrl.clock import SYSTEM_CLOCK, Clock
from poolrl.config.run_options import RunOptions
from poolrl.formatting import count
from poolrl.records.records import MergeRecord


@dataclass(frozen=True)
class StopCriteria:
    """Criteria of one run; a later run may continue the same pool.

    Attributes:
        iterations: number of the last iteration.
        target_return: stop after the iteration in which the re-evaluation of the previous
            champion, an unbiased measurement, reaches this; the champion of that iteration is the
            result, or the best-ever one of a pool with `merge.fallback`.
        deadline: Unix time after which no new unit is started.
        clock: of the deadline.
    """

    iterations: int
    target_return: float | None = None
    deadline: float | None = None
    clock: Clock = field(default=SYSTEM_CLOCK, repr=False, compare=False)

    def time_is_up(self) -> bool:
        """Whether the deadline has passed."""
        return self.deadline is not None and self.clock.time() > self.deadline

    def reason(self, last: MergeRecord) -> str | None:
        """Why no iteration follows a merge; ``None`` if another one does."""
        if last.iteration >= self.iterations:
            verb = "is" if last.iteration == 1 else "are"
            return f"{count(last.iteration, 'iteration')} {verb} done"
        score = last.parent_score
        if self.target_return is not None and score is not None and score >= self.target_return:
            return f"the champion's re-evaluation reached {score:.2f}"
        if self.time_is_up():
            return "the time budget is spent"
        return None


def is_last(merge: MergeRecord, run: RunOptions) -> bool:
    """Whether no iteration follows a merge by a pool's own run options. Their time budget counts
    from the start of each run, so it is no property of the pool."""
    return StopCriteria(run.iterations, run.target_return).reason(merge) is not None
