"""From a pool's files to its status."""

from __future__ import annotations

import itertools
import statistics
from collections import Counter

from poolrl.errors import IncompatiblePool
from poolrl.monitoring.current_iteration import Flight
from poolrl.monitoring.heartbeats import Crew
from poolrl.monitoring.server_clock import ServerClock
from poolrl.monitoring.status_types import (
    ChampionStatus,
    PoolState,
    Result,
    Speed,
    Status,
    UnitState,
    UnitStatus,
    WorkerStatus,
)
from poolrl.monitoring.waiting_reasons import why
from poolrl.pool.directory import Pool
from poolrl.pool.stop_criteria import is_last
from poolrl.records.records import AgentRef, MergeRecord, NewerSchema, UnitRecord, Unreadable
from poolrl.records.work_units import Unit, units_of
from poolrl.storage.deposits import Archive

WINDOW = 10
"""Iterations over which speed is averaged."""

PAUSE = 10.0
"""Times the usual seconds of an iteration: what took longer had nobody at work."""


class Observer:
    """Looks at a pool, again and again; each look reads what is new, and changes nothing."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._archive = Archive(pool)
        self._clock = ServerClock()
        self._crew = Crew(pool.layout, self._clock)
        self._flight: Flight | None = None
        self._merges: dict[int, MergeRecord] = {}

    def look(self) -> Status:
        """The pool as its files show it now.

        Raises:
            IncompatiblePool: its last merge is damaged.
            StoreError: the file system refused.
        """
        pool = self._pool
        self._crew.look()
        newest = self._archive.newest_merge()
        workers, forgotten = self._crew.workers()
        alive = any(worker.state != "silent" for worker in workers)
        closing = self._closing(newest)
        over = newest is not None and self._is_over(newest, closing, workers)
        flight = self._in_flight(newest, closing, over)
        flight.look()
        units = [] if over else flight.units()
        state = self._state(newest, flight, over, alive)
        speed = self._speed(newest)
        merged = newest.iteration if newest else None
        return Status(
            directory=str(pool.layout.root),
            task=pool.spec.task.id,
            seed=pool.spec.pool.seed,
            branches=pool.spec.pool.count,
            state=state,
            merged=merged,
            iteration=flight.iteration,
            iterations=pool.run.iterations,
            champion=_champion(newest) if newest else None,
            environment_steps=newest.environment_steps if newest else 0,
            speed=speed,
            seconds_left=self._left(newest, speed, over),
            counts=_counts(units),
            units=units,
            workers=workers,
            forgotten_workers=forgotten,
            waiting=[] if over else why(pool, flight, units, workers, self._clock),
            attempts=[] if over else flight.attempts(),
            set_aside=flight.set_aside,
            result=_result(closing),
            clock=self._clock.state(),
        )

    def _closing(self, newest: MergeRecord | None) -> UnitRecord | None:
        """The result that belongs to the last merge."""
        if newest is None:
            return None
        try:
            return self._archive.record(Unit(newest.iteration, "closing", 0))
        except (Unreadable, NewerSchema):
            return None

    def _is_over(
        self, newest: MergeRecord, closing: UnitRecord | None, workers: list[WorkerStatus]
    ) -> bool:
        """Whether there is a result, and nobody goes on: a finished pool may have been extended,
        and a run whose time was up be gone on with."""
        if closing is None:
            return False
        run = self._pool.run
        if is_last(newest, run):
            return True
        return run.time_budget is not None and not any(
            worker.state != "silent" and worker.iteration > newest.iteration for worker in workers
        )

    def _in_flight(
        self, newest: MergeRecord | None, closing: UnitRecord | None, over: bool
    ) -> Flight:
        """The iteration in flight; of a pool at its end that is its closing evaluation."""
        branches = self._pool.spec.pool.count
        if newest is None:
            units = units_of(0, branches)
        elif over or (closing is None and is_last(newest, self._pool.run)):
            units = [Unit(newest.iteration, "closing", 0)]
        else:
            units = units_of(newest.iteration + 1, branches)
        if self._flight is None or self._flight.planned != units:
            self._flight = Flight(self._pool, self._archive, self._crew, self._clock, units)
        return self._flight

    def _state(
        self, newest: MergeRecord | None, flight: Flight, over: bool, alive: bool
    ) -> PoolState:
        if over:
            return "finished"
        if alive:
            return "running"
        return "new" if newest is None and not flight.begun else "stopped"

    def _speed(self, newest: MergeRecord | None) -> Speed | None:
        if newest is None:
            return None
        first = max(0, newest.iteration - WINDOW)
        known, self._merges = self._merges, {newest.iteration: newest}
        for iteration in range(newest.iteration - 1, first - 1, -1):
            try:
                merge = known.get(iteration) or self._archive.merge(iteration)
            except IncompatiblePool:
                break  # `poolrl verify` tells of it
            self._merges[iteration] = merge
        merges = [self._merges[iteration] for iteration in sorted(self._merges)]
        pairs = list(itertools.pairwise(merges))
        gaps = [max(1e-6, later.finished - earlier.finished) for earlier, later in pairs]
        if not gaps:
            return None
        usual = PAUSE * statistics.median(gaps)
        working = [(gap, *pair) for gap, pair in zip(gaps, pairs, strict=True) if gap <= usual]
        seconds = sum(gap for gap, *_ in working)
        steps = sum(b.environment_steps - a.environment_steps for _, a, b in working)
        return Speed(
            iterations=len(working),
            iterations_per_hour=3600 * len(working) / seconds,
            environment_steps_per_second=steps / seconds,
        )

    def _left(self, newest: MergeRecord | None, speed: Speed | None, over: bool) -> float | None:
        if over:
            return 0.0
        if newest is None or speed is None:
            return None
        left = max(0, self._pool.run.iterations - newest.iteration)
        return 3600 * left / speed.iterations_per_hour


def _counts(units: list[UnitStatus]) -> dict[UnitState, int]:
    return dict(Counter(unit.state for unit in units))


def _champion(newest: MergeRecord) -> ChampionStatus:
    champion = newest.champion
    return ChampionStatus(
        iteration=newest.iteration,
        unit=Unit(champion.iteration, champion.kind, champion.index).stem,
        score=champion.score,
        parent_score=newest.parent_score,
        rule=newest.rule,
        agent=AgentRef(path=champion.path, sha256=champion.sha256),
    )


def _result(closing: UnitRecord | None) -> Result | None:
    if closing is None:
        return None
    return Result(closing.iteration, closing.status, closing.reason, closing.evaluation)
