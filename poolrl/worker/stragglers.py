"""How long a worker has seen others at their units, on its own clock, and when that is too long.

Clocks of different machines disagree and file times are the server's, so a worker judges by nothing
but the time that passes while it watches.
"""

from __future__ import annotations

import time

from poolrl.pool.timeouts import MOST_COPIES, SAMPLE, doubling_seconds
from poolrl.records.work_units import Unit
from poolrl.storage.deposits import Archive
from poolrl.worker.iteration_snapshot import Listing


class Patience:
    """What one worker has seen of one iteration."""

    def __init__(self, archive: Archive, lease_duration: float, timeout: float | None) -> None:
        """
        Args:
            archive: the pool's.
            lease_duration: seconds.
            timeout: seconds after which a claimed unit counts as overdue; never by default.
        """
        self._archive = archive
        self._lease_duration = lease_duration
        self._timeout = timeout
        self._claimed: dict[tuple[Unit, int], float] = {}
        self._sibling_seconds = 0.0
        self._sampled: set[Unit] = set()

    def see(self, listing: Listing) -> None:
        """Note who is at work."""
        for unit in listing.taken:
            for copy in range(listing.copies[unit] + 1):
                self._claimed.setdefault((unit, copy), listing.made)

    def claimed(self, unit: Unit) -> None:
        """Note that this worker itself is at work."""
        self._claimed.setdefault((unit, 0), time.monotonic())

    def note(self, seconds: float) -> None:
        """Learn how long a unit of this iteration took this worker."""
        self._sibling_seconds = max(self._sibling_seconds, seconds)

    def slow(self, listing: Listing) -> list[tuple[Unit, int]]:
        """Units that take far longer than their siblings, each with the copy to claim next."""
        now, limit, slow = time.monotonic(), self._limit(listing), []
        for unit in listing.taken:
            copies = listing.copies[unit]
            if copies < MOST_COPIES and now - self._claimed[unit, copies] > limit:
                slow.append((unit, copies + 1))
        return slow

    def overdue(self, unit: Unit) -> bool:
        """Whether a unit was claimed longer ago than the timeout, whoever is on it now."""
        since = self._claimed.get((unit, 0))
        if self._timeout is None or since is None:
            return False
        return time.monotonic() - since > self._timeout

    def _limit(self, listing: Listing) -> float:
        """Seconds after which a unit is doubled."""
        for unit in listing.deposited:
            if len(self._sampled) >= SAMPLE:
                break
            # The parent only evaluates: it says nothing of how long a branch may train.
            if unit.kind == "branch" and unit not in self._sampled:
                self._sampled.add(unit)
                record = self._archive.deposit(unit)
                if record is not None:
                    phases = (record.seconds.get(p) for p in ("training", "evaluation"))
                    self.note(sum(seconds.wall for seconds in phases if seconds))
        return doubling_seconds(self._sibling_seconds, self._lease_duration)
