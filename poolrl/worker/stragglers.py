"""Detection of stragglers and of overdue units, on the clock of one worker.

Clocks of different machines disagree and file times are the server's, so a worker measures only
the time that passes while it observes a claim itself.
"""

from __future__ import annotations

from poolrl.clock import SYSTEM_CLOCK, Clock
from poolrl.monitoring.history import seconds_before, work_seconds
from poolrl.pool.timeouts import MAX_BACKUP_COPIES, MAX_SIBLING_RECORDS, straggler_seconds
from poolrl.records.work_units import Unit
from poolrl.storage.deposits import DepositStore
from poolrl.worker.iteration_snapshot import IterationSnapshot


class StragglerDetector:
    """What one worker has observed of the claims of one iteration."""

    def __init__(
        self,
        deposit_store: DepositStore,
        lease_duration: float,
        timeout: float | None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """
        Args:
            deposit_store: deposits of the pool.
            lease_duration: seconds.
            timeout: seconds after which a claimed unit is overdue; ``None`` for never.
            clock: of all times.
        """
        self._deposit_store = deposit_store
        self._lease_duration = lease_duration
        self._timeout = timeout
        self._clock = clock
        self._claimed_at: dict[tuple[Unit, int], float] = {}
        self._longest_sibling = 0.0
        self._before: dict[Unit, float] = {}
        self._read: set[Unit] = set()

    def observe(self, snapshot: IterationSnapshot) -> None:
        """Note the claims of others."""
        for unit in snapshot.claimed:
            for copy in range(snapshot.copies[unit] + 1):
                self._claimed_at.setdefault((unit, copy), snapshot.taken_at)

    def note_own_claim(self, unit: Unit) -> None:
        """Note that this worker itself has claimed a unit."""
        self._claimed_at.setdefault((unit, 0), self._clock.monotonic())

    def note_duration(self, seconds: float) -> None:
        """Note how long a branch of this iteration took."""
        self._longest_sibling = max(self._longest_sibling, seconds)

    def stragglers(self, snapshot: IterationSnapshot) -> list[tuple[Unit, int]]:
        """Units that take far longer than their siblings, each with the number of the backup copy
        to claim next."""
        now, limit, found = self._clock.monotonic(), self._limit(snapshot), []
        for unit in snapshot.claimed:
            copies = snapshot.copies[unit]
            longest = self._limit_alone(unit) if self._deposit_store.is_alone(unit) else limit
            # Each copy gets the same time as the one before.
            if copies < MAX_BACKUP_COPIES and now - self._claimed_at[unit, copies] > longest:
                found.append((unit, copies + 1))
        return found

    def is_overdue(self, unit: Unit) -> bool:
        """Whether a unit was claimed longer ago than the timeout, by any worker."""
        since = self._claimed_at.get((unit, 0))
        if self._timeout is None or since is None:
            return False
        return self._clock.monotonic() - since > self._timeout

    def _limit(self, snapshot: IterationSnapshot) -> float:
        """Seconds after which a unit is a straggler."""
        for unit in snapshot.deposited:
            if len(self._read) >= MAX_SIBLING_RECORDS:
                break
            # Those of other kinds say nothing about a branch's.
            if unit.kind == "branch" and unit not in self._read:
                self._read.add(unit)
                record = self._deposit_store.deposit(unit)
                if record is not None:
                    self.note_duration(work_seconds(record))
        return straggler_seconds(self._longest_sibling, self._lease_duration)

    def _limit_alone(self, unit: Unit) -> float:
        """The same for a unit without siblings: by that of the iteration before."""
        if unit not in self._before:
            self._before[unit] = seconds_before(self._deposit_store, unit)
        return straggler_seconds(self._before[unit], self._lease_duration)
