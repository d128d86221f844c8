"""Status of a pool, computed from its files."""

from __future__ import annotations

import itertools
import statistics
from collections import Counter

from msgspec import UNSET

from poolrl.errors import IncompatiblePool
from poolrl.files import path_text
from poolrl.monitoring.current_iteration import CurrentIteration
from poolrl.monitoring.heartbeats import HeartbeatReader, ServerClock
from poolrl.monitoring.status_types import (
    BestEverStatus,
    ChampionStatus,
    PoolState,
    Result,
    Speed,
    Status,
    UnitState,
    UnitStatus,
    WorkerStatus,
)
from poolrl.monitoring.waiting_reasons import waiting_reasons
from poolrl.pool.directory import Pool, open_pool
from poolrl.pool.stop_criteria import is_last
from poolrl.records.codec import NewerSchema, Unreadable
from poolrl.records.records import AgentRef, MergeRecord, UnitRecord
from poolrl.records.work_units import Unit, units_of

WINDOW = 10
"""Iterations over which speed is averaged."""

PAUSE = 10.0
"""Multiple of the median seconds of an iteration from which an iteration counts as a pause."""


class StatusReader:
    """Reads the status of a pool repeatedly; each call reads the new files, and writes nothing."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._deposit_store = pool.deposit_store()
        self._clock = ServerClock()
        self._heartbeats = HeartbeatReader(pool.store, self._clock)
        self._iteration: CurrentIteration | None = None
        self._merges: dict[int, MergeRecord] = {}

    def read(self) -> Status:
        """Return the current status.

        Raises:
            UsageError: the pool is no longer there.
            IncompatiblePool: the last merge is damaged.
            StoreError: a call of the file system failed.
        """
        # Again each time: another run may have other options, and a pool that was moved looks new.
        pool = self._pool = open_pool(self._pool.layout.root, self._pool.store)
        self._heartbeats.read()
        newest = self._deposit_store.newest_merge()
        workers, forgotten = self._heartbeats.workers()
        alive = any(worker.state != "silent" for worker in workers)
        closing = self._closing(newest)
        finished = newest is not None and self._is_finished(newest, closing, workers)
        current = self._current(newest, closing, finished)
        current.read()
        units = [] if finished else current.unit_statuses()
        reasons = [] if finished else waiting_reasons(pool, current, units, workers, self._clock)
        state = self._state(newest, current, finished, alive)
        speed = self._speed(newest)
        merged = newest.iteration if newest else None
        return Status(
            directory=path_text(pool.layout.root),
            task=pool.spec.task.id,
            seed=pool.spec.pool.seed,
            branches=pool.spec.pool.branches(current.iteration),
            state=state,
            merged=merged,
            iteration=current.iteration,
            iterations=pool.run.iterations,
            score_name=pool.spec.selection.score,
            score_direction=pool.spec.selection.direction,
            champion=_champion(newest) if newest else None,
            best_ever=_best_ever(newest, pool.spec.merge.fallback),
            environment_steps=newest.environment_steps if newest else 0,
            speed=speed,
            seconds_left=self._seconds_left(newest, speed, finished),
            counts=_counts(units),
            units=units,
            workers=workers,
            forgotten_workers=forgotten,
            waiting=reasons,
            attempts=[] if finished else current.failed_attempts(),
            set_aside=current.set_aside,
            result=_result(closing),
            clock=self._clock.offset(),
        )

    def _closing(self, newest: MergeRecord | None) -> UnitRecord | None:
        """Return the closing evaluation of the last merge."""
        if newest is None:
            return None
        try:
            return self._deposit_store.record(Unit(newest.iteration, "closing", 0))
        except (Unreadable, NewerSchema):
            return None

    def _is_finished(
        self, newest: MergeRecord, closing: UnitRecord | None, workers: list[WorkerStatus]
    ) -> bool:
        """Return whether there is a result and no worker continues the pool.

        A finished pool may be extended, and a run that ended by its time budget be continued.
        """
        if closing is None:
            return False
        run = self._pool.run
        if is_last(newest, run, self._pool.spec.selection):
            return True
        return run.time_budget is not None and not any(
            worker.state != "silent" and worker.iteration > newest.iteration for worker in workers
        )

    def _current(
        self, newest: MergeRecord | None, closing: UnitRecord | None, finished: bool
    ) -> CurrentIteration:
        """Return the current iteration; at the end of a pool that is its closing evaluation."""
        if newest is None:
            units = units_of(0, 0)
        elif finished or (
            closing is None and is_last(newest, self._pool.run, self._pool.spec.selection)
        ):
            units = [Unit(newest.iteration, "closing", 0)]
        else:
            number = newest.iteration + 1
            units = units_of(number, self._pool.spec.pool.branches(number))
        if self._iteration is None or self._iteration.planned != units:
            self._iteration = CurrentIteration(
                self._pool, self._deposit_store, self._heartbeats, self._clock, units
            )
        return self._iteration

    def _state(
        self, newest: MergeRecord | None, current: CurrentIteration, finished: bool, alive: bool
    ) -> PoolState:
        if finished:
            return "finished"
        if alive:
            return "running"
        return "new" if newest is None and not current.started else "stopped"

    def _speed(self, newest: MergeRecord | None) -> Speed | None:
        if newest is None:
            return None
        first = max(0, newest.iteration - WINDOW)
        known, self._merges = self._merges, {newest.iteration: newest}
        for iteration in range(newest.iteration - 1, first - 1, -1):
            try:
                merge = known.get(iteration) or self._deposit_store.merge(iteration)
            except IncompatiblePool:
                break  # `poolrl verify` reports it
            self._merges[iteration] = merge
        merges = [self._merges[iteration] for iteration in sorted(self._merges)]
        pairs = list(itertools.pairwise(merges))
        gaps = [max(1e-6, later.finished - earlier.finished) for earlier, later in pairs]
        if not gaps:
            return None
        longest = PAUSE * statistics.median(gaps)
        working = [(gap, *pair) for gap, pair in zip(gaps, pairs, strict=True) if gap <= longest]
        seconds = sum(gap for gap, *_ in working)
        steps = sum(b.environment_steps - a.environment_steps for _, a, b in working)
        return Speed(
            iterations=len(working),
            iterations_per_hour=3600 * len(working) / seconds,
            environment_steps_per_second=steps / seconds,
        )

    def _seconds_left(
        self, newest: MergeRecord | None, speed: Speed | None, finished: bool
    ) -> float | None:
        if finished:
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


def _best_ever(newest: MergeRecord | None, fallback: int | None) -> BestEverStatus | None:
    if newest is None or newest.best_ever is UNSET or fallback is None:
        return None
    best = newest.best_ever.champion
    return BestEverStatus(
        iteration=best.iteration,
        unit=Unit(best.iteration, best.kind, best.index).stem,
        score=best.score,
        iterations_since=newest.best_ever.iterations_since,
        fallback=fallback,
        agent=AgentRef(path=best.path, sha256=best.sha256),
    )


def _result(closing: UnitRecord | None) -> Result | None:
    if closing is None:
        return None
    return Result(closing.iteration, closing.status, closing.reason, closing.evaluation)
