"""Where a worker's time goes, by phase."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from poolrl.records.records import Seconds

_NOTHING = {"training": [0.0, 0.0], "evaluation": [0.0, 0.0], "waiting": [0.0, 0.0]}


class Clock:
    """Wall-clock and CPU seconds by phase, since they were last taken.

    Phases: training, evaluation and waiting for others, all three always told; and the pool's own
    cost: ``load`` of the champion, ``look`` at the directory, ``claim``, ``publish``, ``merge``.
    """

    def __init__(self) -> None:
        self._spent: dict[str, list[float]] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count what happens within as one phase; phases do not nest."""
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            spent = self._spent.setdefault(name, [0.0, 0.0])
            spent[0] += time.perf_counter() - wall
            spent[1] += time.process_time() - cpu

    def drop(self) -> None:
        """Forget training and evaluation that came to nothing, lest the next deposit pay."""
        for name in ("training", "evaluation"):
            self._spent.pop(name, None)

    def take(self) -> dict[str, Seconds]:
        """What was spent since the last call."""
        taken = {
            name: Seconds(wall=round(wall, 6), cpu=round(cpu, 6))
            for name, (wall, cpu) in (_NOTHING | self._spent).items()
        }
        self._spent.clear()
        return taken
