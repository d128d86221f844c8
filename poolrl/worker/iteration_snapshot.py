"""State of an iteration as one listing of its folder shows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from poolrl.clock import SYSTEM_CLOCK, Clock
from poolrl.records.work_units import Unit
from poolrl.storage.layout import IterationLayout
from poolrl.storage.store import Store

MAX_LISTING_SHARE = 0.02
"""Share of its time that a worker spends on listings while it has work."""


@dataclass(frozen=True)
class IterationSnapshot:
    """One listing of an iteration's folder.

    Attributes:
        merged: whether there is a merge.
        has_sources: whether the sources of a second stage are published.
        deposited: units with a deposit.
        free: units without a deposit and without a claim.
        claimed: units without a deposit that a worker has claimed.
        copies: number of backup copies of each claimed unit.
        attempts: number of attempts by a unit's stem.
        taken_at: time of the listing on the monotonic clock.
        cost: seconds that the listing took.
    """

    merged: bool
    has_sources: bool
    deposited: list[Unit]
    free: list[Unit]
    claimed: list[Unit]
    copies: dict[Unit, int]
    attempts: Counter[str]
    taken_at: float
    cost: float

    @property
    def complete(self) -> bool:
        """Whether every unit has been deposited."""
        return not self.free and not self.claimed

    def is_stale(self, now: float) -> bool:
        """Whether the snapshot is so old that a new one costs a small share of the time.

        Args:
            now: time on the monotonic clock.
        """
        return now - self.taken_at > self.cost / MAX_LISTING_SHARE


def take_snapshot(
    store: Store, layout: IterationLayout, units: Sequence[Unit], clock: Clock = SYSTEM_CLOCK
) -> IterationSnapshot:
    """List an iteration's folder once.

    Args:
        store: files of the pool.
        layout: of the iteration.
        units: units of the iteration, in the order in which this worker computes them.
        clock: of the snapshot's age.
    """
    start = clock.monotonic()
    names = store.names_in(layout.folder)
    deposited: list[Unit] = []
    free: list[Unit] = []
    claimed: list[Unit] = []
    for unit in units:
        if layout.record(unit).name in names:
            deposited.append(unit)
        elif layout.lease(unit).name in names:
            claimed.append(unit)
        else:
            free.append(unit)
    copies = {}
    for unit in claimed:
        copy = 1
        while layout.lease(unit, copy).name in names:
            copy += 1
        copies[unit] = copy - 1
    attempts = Counter(stem for name in names if (stem := layout.attempt_stem(name)) is not None)
    now = clock.monotonic()
    return IterationSnapshot(
        merged=layout.merge.name in names,
        has_sources=layout.sources.name in names,
        deposited=deposited,
        free=free,
        claimed=claimed,
        copies=copies,
        attempts=attempts,
        taken_at=now,
        cost=now - start,
    )
