"""Units that a worker works on until their merge, with what it has observed of them."""

from __future__ import annotations

from poolrl.clock import SYSTEM_CLOCK, Clock
from poolrl.config.run_options import RunOptions
from poolrl.pool.directory import Pool
from poolrl.records.records import MergeRecord, SourcesRecord
from poolrl.records.work_units import Unit, candidates_of
from poolrl.worker.iteration_snapshot import IterationSnapshot, take_snapshot
from poolrl.worker.stragglers import StragglerDetector


class OpenIteration:
    """One iteration, or the closing evaluation, as one worker sees it.

    Attributes:
        number: of the iteration.
        layout: its files.
        units: in the order in which this worker computes them; in the second stage of an
            iteration with candidates, those that its sources list, and the candidates.
        previous: the merge that the units start from; ``None`` in iteration 0.
        sources: of the candidates, with their SHA-256, in the second stage.
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
        self._has_two_stages = bool(self._rule.candidates) and units[-1].kind == "parent"
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
        """Whether the sources of candidates are to be published before the merge."""
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
            candidates = candidates_of(self.number, self._rule.num_candidates(len(sources.done)))
            # Begin where other workers do not.
            start = self._first_stage[0].index % max(1, len(candidates))
            self.units = [
                *(unit for unit in self._first_stage if unit in listed),
                *candidates[start:],
                *candidates[:start],
            ]

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
