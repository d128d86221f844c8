"""What one listing of an iteration's folder says."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from poolrl.records.work_units import Unit
from poolrl.storage import store
from poolrl.storage.layout import IterationLayout

SHARE = 0.02
"""The part of its time that a worker may spend on looking again while it has work."""


@dataclass(frozen=True)
class Listing:
    """An iteration as one listing of its folder showed it.

    Attributes:
        merged: whether there is a merge.
        deposited: units with a deposit.
        free: units without a deposit that nobody has claimed.
        taken: those that somebody has claimed.
        copies: by a unit that has been claimed, how many workers have claimed it as a copy.
        attempts: by a unit's stem, how many tries at it have failed.
        made: when, on the monotonic clock.
        cost: seconds that it took.
    """

    merged: bool
    deposited: list[Unit]
    free: list[Unit]
    taken: list[Unit]
    copies: dict[Unit, int]
    attempts: Counter[str]
    made: float
    cost: float

    @property
    def complete(self) -> bool:
        """Whether every unit has been deposited."""
        return not self.free and not self.taken

    def is_stale(self) -> bool:
        """Whether looking again is worth it: old enough that the cost is a small part."""
        return time.monotonic() - self.made > self.cost / SHARE


def look(layout: IterationLayout, units: Sequence[Unit]) -> Listing:
    """List an iteration's folder once.

    Args:
        layout: of the iteration.
        units: its units, in the order in which this worker would do them.
    """
    start = time.monotonic()
    names = store.names_in(layout.folder)
    deposited: list[Unit] = []
    free: list[Unit] = []
    taken: list[Unit] = []
    for unit in units:
        if layout.record(unit).name in names:
            deposited.append(unit)
        else:
            (taken if layout.lease(unit).name in names else free).append(unit)
    copies = {}
    for unit in taken:
        copy = 1
        while layout.lease(unit, copy).name in names:
            copy += 1
        copies[unit] = copy - 1
    attempts = Counter(stem for name in names if (stem := layout.attempt_stem(name)) is not None)
    now = time.monotonic()
    return Listing(
        merged=layout.merge.name in names,
        deposited=deposited,
        free=free,
        taken=taken,
        copies=copies,
        attempts=attempts,
        made=now,
        cost=now - start,
    )
