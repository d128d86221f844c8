"""Units that a worker works on until their merge, with what it has observed of them."""

from __future__ import annotations

from poolrl.clock import SYSTEM_CLOCK, Clock
from poolrl.config.run_options import RunOptions
from poolrl.pool.directory import Pool
from poolrl.records.records import MergeRecord
from poolrl.records.work_units import Unit
from poolrl.worker.iteration_snapshot import IterationSnapshot, take_snapshot
from poolrl.worker.stragglers import StragglerDetector


class OpenIteration:
    """One iteration, or the closing evaluation, as one worker sees it.

    Attributes:
        number: of the iteration.
        layout: its files.
        units: in the order in which this worker computes them.
        previous: the merge that the units start from; ``None`` in iteration 0.
        stragglers: observed claims.
    """

    def __init__(
        self,
        pool: Pool,
        run: RunOptions,
        number: int,
        units: list[Unit],
        previous: MergeRecord | None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """
        Args:
            pool: the pool.
            run: its timeouts.
            number, units, previous: as the attributes.
            clock: of the observations.
        """
        self.number = number
        self.layout = pool.layout.iteration(number)
        self.units = units
        self.previous = previous
        self.stragglers = StragglerDetector(
            pool.deposit_store(), pool.spec.pool.lease_duration, run.branch_timeout, clock
        )
        self._store = pool.store
        self._min_deposits = run.min_deposits
        self._clock = clock

    def take_snapshot(self) -> IterationSnapshot:
        """List the folder of the iteration, and observe the claims in it."""
        snapshot = take_snapshot(self._store, self.layout, self.units, self._clock)
        self.stragglers.observe(snapshot)
        return snapshot

    def may_merge_early(self, snapshot: IterationSnapshot) -> bool:
        """Whether all missing units are overdue, and enough branches are deposited."""
        branches = sum(unit.kind == "branch" for unit in snapshot.deposited)
        missing = [*snapshot.free, *snapshot.claimed]
        return branches >= self._min_deposits and all(map(self.stragglers.is_overdue, missing))


def rotated(units: list[Unit], first_branch: int) -> list[Unit]:
    """Rotate the branches, so that workers rarely try the same claim.

    The parent stays last, since the shortest unit fills the gap before the barrier best.

    Args:
        units: the branches of an iteration and then its parent, or a single unit.
        first_branch: index of the branch to begin with, modulo their number.
    """
    *branches, last = units
    if not branches:
        return units
    start = first_branch % len(branches)
    return [*branches[start:], *branches[:start], last]
