"""Seconds of a worker by phase."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from poolrl.clock import SYSTEM_CLOCK, Clock
from poolrl.records.records import Seconds

_NO_SECONDS = {"training": [0.0, 0.0], "evaluation": [0.0, 0.0], "waiting": [0.0, 0.0]}


class PhaseTimer:
    """Wall-clock and CPU seconds of a worker by phase, since they were last taken.

    Phases: ``training``, ``evaluation`` and ``waiting`` for others, which are always reported; and
    the overhead of the pool: ``load`` of the champion, ``look`` at the directory, ``claim``,
    ``publish``, ``merge``.
    """

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._spent: dict[str, list[float]] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the time within to a phase; phases do not nest."""
        wall, cpu = self._clock.monotonic(), time.process_time()
        try:
            yield
        finally:
            spent = self._spent.setdefault(name, [0.0, 0.0])
            spent[0] += self._clock.monotonic() - wall
            spent[1] += time.process_time() - cpu

    def discard(self) -> None:
        """Discard training and evaluation without a result, so that the next deposit does not
        contain them."""
        for name in ("training", "evaluation"):
            self._spent.pop(name, None)

    def take(self) -> dict[str, Seconds]:
        """Return the seconds since the last call."""
        taken = {
            name: Seconds(wall=round(wall, 6), cpu=round(cpu, 6))
            for name, (wall, cpu) in (_NO_SECONDS | self._spent).items()
        }
        self._spent.clear()
        return taken
