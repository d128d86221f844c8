"""The workbench: one unit at a time, from the champion's file to the deposit."""

from __future__ import annotations

import logging
import time

from poolrl.agent import Agent
from poolrl.config.retention_rule import Keep
from poolrl.errors import PoolrlError, TooLong
from poolrl.interrupts import Stop
from poolrl.pool.directory import Pool
from poolrl.pool.retention import clean_up, clean_up_again
from poolrl.records.records import MergeRecord
from poolrl.records.work_units import KindName, Unit
from poolrl.storage import store
from poolrl.storage.deposits import Archive
from poolrl.storage.layout import IterationLayout
from poolrl.worker.depositor import Depositor
from poolrl.worker.phase_timer import Clock
from poolrl.worker.unit_computation import Computer

log = logging.getLogger("poolrl.worker")

MOST_FAILURES = 3
"""Units in a row that a worker may fail for reasons of its own before it ends: a machine without
memory must not eat up every unit's attempts."""


class Bench:
    """Does units that its worker has claimed.

    Attributes:
        failed: units of this iteration that failed here, each with the reason and the time on the
            monotonic clock.
    """

    def __init__(
        self,
        pool: Pool,
        archive: Archive,
        computer: Computer,
        depositor: Depositor,
        clock: Clock,
        stop: Stop,
        *,
        keep: Keep,
    ) -> None:
        self.failed: dict[Unit, tuple[str, float]] = {}
        self._pool = pool
        self._archive = archive
        self._computer = computer
        self._depositor = depositor
        self._clock = clock
        self._stop = stop
        self._keep = keep
        self._champion: tuple[str, Agent] | None = None
        self._failures_in_a_row = 0
        self._longest: dict[KindName, float] = {}

    @property
    def longest_unit(self) -> float:
        """Seconds of the longest unit so far."""
        return max(self._longest.values(), default=0.0)

    def do(
        self, unit: Unit, layout: IterationLayout, previous: MergeRecord | None, attempts: int
    ) -> float | None:
        """Compute a unit and deposit it.

        Args:
            unit: what to do.
            layout: of its iteration.
            previous: the merge to start from.
            attempts: how many tries at it have failed.

        Returns:
            Seconds that it took; ``None`` where it was not computed to its end.

        Raises:
            PoolrlError: the pool cannot go on, or not with this worker.
            Stopped: somebody asked for the end; the unit is lost.
        """
        started = time.monotonic()
        if unit.kind in ("parent", "closing") and previous:
            with self._clock.phase("merge"):
                clean_up(self._archive, previous, self._keep)
        if attempts >= self._pool.spec.pool.max_attempts and unit.kind != "initial":
            reason = f"{attempts} attempts failed; see {unit.stem}.attempt-*.json"
            self._depositor.deposit(unit, previous, None, reason)
            return None
        with self._clock.phase("load"):
            champion = self._start_agent(previous)
        try:
            with self._stop.interruptible(self._longest.get(unit.kind)):
                result = self._computer.compute(unit, champion)
        except PoolrlError:
            raise
        except (Exception, TooLong) as error:
            self._clock.drop()
            self._fail(unit, error)
            return None
        self._failures_in_a_row = 0
        seconds = time.monotonic() - started
        self._longest[unit.kind] = max(self._longest.get(unit.kind, 0.0), seconds)
        if self._is_late(unit, layout):
            log.info("iteration %d %s: merged without us; dropped", unit.iteration, unit.stem)
            self._clock.drop()
            return seconds
        self._depositor.deposit(unit, previous, result)
        if self._is_late(unit, layout):
            # Merged, and maybe cleaned up, between our look and our deposit.
            clean_up_again(self._archive, unit.iteration, self._keep)
        return seconds

    def note_silence(self, unit: Unit) -> None:
        """Count it as a try that the worker before this one fell silent over a unit."""
        self._depositor.note_silence(unit)

    def _is_late(self, unit: Unit, layout: IterationLayout) -> bool:
        return unit.kind != "closing" and store.read_if_there(layout.merge) is not None

    def _start_agent(self, previous: MergeRecord | None) -> Agent | None:
        """The agent that a unit starts from; ``None`` where the seed draws it."""
        if previous is None:
            given = self._archive.given_agent()
            return None if given is None else self._computer.read(given, "the agent to start from")
        sha256 = previous.champion.sha256
        if self._champion is None or self._champion[0] != sha256:
            data = self._archive.champion(previous)
            self._champion = (sha256, self._computer.read(data, previous.champion.path))
        return self._champion[1]

    def _fail(self, unit: Unit, error: Exception | TooLong) -> None:
        """Note a try that failed for reasons of this worker, and leave the unit to others.

        Raises:
            PoolrlError: too many in a row.
        """
        reason = self._depositor.note_attempt(unit, error)
        self.failed[unit] = (reason, time.monotonic())
        self._failures_in_a_row += 1
        if self._failures_in_a_row >= MOST_FAILURES:
            raise PoolrlError(f"iteration {unit.iteration} {unit.stem}: {reason}")
