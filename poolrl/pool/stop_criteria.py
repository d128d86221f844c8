"""Criteria by which a run of a pool ends."""

from __future__ import annotations

from dataclasses import dataclass, field

from msgspec import UNSET

from poolrl.clock import SYSTEM_CLOCK, Clock
from poolrl.config.run_options import RunOptions
from poolrl.config.scoring import SelectionSpec
from poolrl.formatting import count, decimals
from poolrl.records.records import MergeRecord


@dataclass(frozen=True)
class StopCriteria:
    """Criteria of one run; a later run may continue the same pool.

    Attributes:
        iterations: number of the last iteration.
        target_return: stop after the iteration in which the re-evaluation of the previous
            champion, an unbiased measurement, reaches this; the champion of that iteration is the
            result, or the best-ever one of a pool with `merge.fallback`.
        target_score: the same for the score that units are selected by.
        deadline: Unix time after which no new unit is started.
        clock: of the deadline.
        sign: -1 if the lowest score is the best, else 1.
    """

    iterations: int
    target_return: float | None = None
    deadline: float | None = None
    clock: Clock = field(default=SYSTEM_CLOCK, repr=False, compare=False)
    target_score: float | None = None
    sign: int = 1

    @classmethod
    def of(
        cls, run: RunOptions, selection: SelectionSpec, deadline: float | None = None
    ) -> StopCriteria:
        """The criteria of a run.

        Args:
            run: its options.
            selection: of the pool.
            deadline: as the attribute.
        """
        return cls(
            run.iterations,
            run.target_return,
            deadline,
            target_score=run.target_score,
            sign=selection.sign,
        )

    def time_is_up(self) -> bool:
        """Whether the deadline has passed."""
        return self.deadline is not None and self.clock.time() > self.deadline

    def reason(self, last: MergeRecord) -> str | None:
        """Why no iteration follows a merge; ``None`` if another one does."""
        if last.iteration >= self.iterations:
            verb = "is" if last.iteration == 1 else "are"
            return f"{count(last.iteration, 'iteration')} {verb} done"
        score, target = last.parent_score, self.target_score
        mean_return = score if last.parent_return is UNSET else last.parent_return
        if target is not None and score is not None and self.sign * score >= self.sign * target:
            return f"the champion's re-evaluation reached the score {score:g}"
        target = self.target_return
        if target is not None and mean_return is not None and mean_return >= target:
            return f"the champion's re-evaluation reached {decimals(mean_return)}"
        if self.time_is_up():
            return "the time budget is spent"
        return None


def is_last(merge: MergeRecord, run: RunOptions, selection: SelectionSpec) -> bool:
    """Whether no iteration follows a merge by a pool's own run options. Their time budget counts
    from the start of each run, so it is no property of the pool.

    Args:
        merge: the newest one.
        run: options of the pool's last run.
        selection: of the pool.
    """
    return StopCriteria.of(run, selection).reason(merge) is not None
