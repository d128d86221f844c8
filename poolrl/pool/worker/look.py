"""What one listing of an iteration's folder says."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from poolrl.pool import store
from poolrl.pool.layout import IterationLayout
from poolrl.pool.units import Unit

WATCHED = 8
"""How many units of others a worker without work keeps an eye on, so that looking costs each
worker the same in a large pool as in a small one."""

SHARE = 0.02
"""The part of its time that a worker may spend on looking again while it has work."""


@dataclass(frozen=True)
class Listing:
    """An iteration as one listing of its folder showed it.

    Attributes:
        merged: whether there is a merge.
        complete: whether every unit has been deposited.
        free: units without a deposit that nobody has claimed.
        taken: a few of those that somebody has claimed, whose claim may have lapsed.
        attempts: by a unit's stem, how many tries at it have failed.
        made: when, on the monotonic clock.
        cost: seconds that it took.
    """

    merged: bool
    complete: bool
    free: list[Unit]
    taken: list[Unit]
    attempts: Counter[str]
    made: float
    cost: float

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
    missing = [unit for unit in units if layout.record(unit).name not in names]
    free: list[Unit] = []
    taken: list[Unit] = []
    for unit in missing:
        (taken if layout.lease(unit).name in names else free).append(unit)
    attempts = Counter(stem for name in names if (stem := layout.attempt_stem(name)) is not None)
    now = time.monotonic()
    return Listing(
        merged=layout.merge.name in names,
        complete=not missing,
        free=free,
        taken=taken[:WATCHED],
        attempts=attempts,
        made=now,
        cost=now - start,
    )
