"""Units that a worker works on until their merge, with what it has observed of them."""

from __future__ import annotations

from poolrl.clock import SYSTEM_CLOCK, Clock
from poolrl.config.run_options import RunOptions
from poolrl.pool.directory import Pool
from poolrl.records.records import MergeRecord, SourcesRecord
from poolrl.records.work_units import KINDS, Unit, second_stage_of
from poolrl.worker.iteration_snapshot import IterationSnapshot, take_snapshot
from poolrl.worker.stragglers import StragglerDetector


class OpenIteration:
    """One iteration, or the closing evaluation, as one worker sees it.

    Attributes:
        number: of the iteration.
        layout: its files.
        units: in the order in which this worker computes them; in the second stage of an
            iteration with two, those that its sources list, those that are made of them, and what
            neither waits for.
        previous: the merge that the units start from; ``None`` in iteration 0.
        sources: with their SHA-256, in the second stage.
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
        self.sources: tuple[SourcesRecord, str] | None = None
        self.stragglers = StragglerDetector(
            pool.deposit_store(), pool.spec.pool.lease_duration, run.branch_timeout, clock
        )
        self._first_stage = units
        self._deposit_store = pool.deposit_store()
        self._rule = pool.spec.merge
        self._has_two_stages = self._rule.has_two_stages and units[-1].kind == "parent"
        self._store = pool.store
        self._min_deposits = run.min_deposits
        self._clock = clock

    def take_snapshot(self) -> IterationSnapshot:
        """List the folder of the iteration, and observe the claims in it."""
        snapshot = take_snapshot(self._store, self.layout, self.units, self._clock)
        if self._has_two_stages and snapshot.has_sources != (self.sources is not None):
            self._change_stage()
            snapshot = take_snapshot(self._store, self.layout, self.units, self._clock)
        self.stragglers.observe(snapshot)
        return snapshot

    @property
    def lacks_sources(self) -> bool:
        """Whether sources are to be published before the merge."""
        return self._has_two_stages and self.sources is None

    def sources_changed(self) -> bool:
        """Whether the sources are no longer those of the last snapshot; the new ones hold then.

        Others may have set them aside and published new ones since. To be called before a decision
        that depends on them.
        """
        if not self._has_two_stages or self._deposit_store.sources(self.number) == self.sources:
            return False
        self._change_stage()
        return True

    def _change_stage(self) -> None:
        """Begin the second stage, or go back to the first one if its sources were set aside."""
        self.sources = self._deposit_store.sources(self.number)
        self.units = self._first_stage
        if self.sources is not None:
            sources = self.sources[0]
            listed = {Unit(self.number, each.kind, each.index) for each in sources.deposits}
            second = second_stage_of(self.number, self._rule, len(sources.done))
            # Begin where other workers do not.
            start = self._first_stage[0].index % max(1, len(second))
            self.units = [
                *(unit for unit in self._first_stage if unit in listed),
                *second[start:],
                *second[:start],
                *(unit for unit in self._first_stage if not self._rule.is_source(unit.kind)),
            ]

    def may_decide(self, snapshot: IterationSnapshot) -> bool:
        """Whether the merge can be tried, or before it the sources: all units that it waits for
        are deposited, or the missing ones are overdue and enough branches are deposited."""
        missing = [*snapshot.free, *snapshot.claimed]
        if self.lacks_sources:
            missing = [unit for unit in missing if self._rule.is_source(unit.kind)]
        if not missing:
            return True
        if any(unit.kind == "update" for unit in missing):
            return False  # it would waste all that branches have sampled
        branches = sum(unit.kind == "branch" for unit in snapshot.deposited)
        return branches >= self._min_deposits and all(map(self.stragglers.is_overdue, missing))

    def can_compute(self, unit: Unit, snapshot: IterationSnapshot) -> bool:
        """Whether all that a unit is made of is deposited."""
        missing = [*snapshot.free, *snapshot.claimed]
        return not KINDS[unit.kind].second_stage or not any(u.kind == "branch" for u in missing)


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
