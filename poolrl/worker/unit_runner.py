"""Run of one claimed unit: load the champion, compute, publish the deposit or an attempt."""

from __future__ import annotations

import logging
import os
import traceback
import uuid

from msgspec import UNSET, UnsetType

from poolrl.agent import Agent
from poolrl.clock import SYSTEM_CLOCK, Clock
from poolrl.config.run_options import RetentionRule
from poolrl.errors import IncompatiblePool, PoolrlError, TooLong, one_line
from poolrl.interrupts import InterruptHandler
from poolrl.job_environment import detect
from poolrl.pool.directory import Pool
from poolrl.pool.retention import remove_expired, remove_late_agents
from poolrl.provenance import differences, versions
from poolrl.records.records import (
    FIRST_SCHEMA,
    SCHEMA,
    AgentRef,
    Attempt,
    MergeRecord,
    UnitRecord,
    WorkerInfo,
)
from poolrl.records.work_units import KINDS, KindName, Unit
from poolrl.rollouts.replay_chunk import to_bytes as chunk_to_bytes
from poolrl.rollouts.rollout_file import to_bytes
from poolrl.worker.mean_merge import MissingAgent
from poolrl.worker.phase_timer import PhaseTimer
from poolrl.worker.replay_window import WindowReader
from poolrl.worker.sources import SourceReader
from poolrl.worker.unit_computation import NO_SOURCES, Result, Sources, UnitComputation

log = logging.getLogger("poolrl.worker")

MAX_CONSECUTIVE_FAILURES = 3
"""Units in a row that may fail for reasons of this worker before it ends: a machine without memory
must not use up the attempts of every unit."""

CLOSE_SECONDS = 5.0
"""Timeout for a task to close."""


class UnitRunner:
    """Runs units that its worker has claimed, and publishes what comes of them.

    Attributes:
        failed: units of this iteration that failed here, each with the reason and the time on the
            monotonic clock.
    """

    def __init__(
        self,
        pool: Pool,
        computation: UnitComputation,
        info: WorkerInfo,
        timer: PhaseTimer,
        interrupts: InterruptHandler,
        retention: RetentionRule,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """
        Args:
            pool: the pool.
            computation: of its units.
            info: identity of the worker, repeated in every record.
            timer: of the worker's phases.
            interrupts: may end a computation early.
            retention: rule of the agents that stay on disk.
            clock: of durations and records.
        """
        self.failed: dict[Unit, tuple[str, float]] = {}
        self._pool = pool
        self._deposit_store = pool.deposit_store()
        self._computation = computation
        self._info = info
        self._timer = timer
        self._interrupts = interrupts
        self._retention = retention
        self._clock = clock
        self._sources_sha256 = ""
        self._source_reader = SourceReader(self._deposit_store)
        self._window_reader = WindowReader(self._deposit_store, pool.layout.root)
        self._champion: tuple[str, Agent] | None = None
        self._consecutive_failures = 0
        self._longest: dict[KindName, float] = {}

    @property
    def longest_unit(self) -> float:
        """Seconds of the longest unit so far."""
        return max(self._longest.values(), default=0.0)

    def run(self, unit: Unit, previous: MergeRecord | None, attempts: int) -> float | None:
        """Compute a unit and publish its deposit, or the record of a failed attempt.

        Args:
            unit: the unit.
            previous: the merge to start from; ``None`` in iteration 0.
            attempts: number of failed attempts so far.

        Returns:
            Seconds of the computation; ``None`` if it was not completed.

        Raises:
            PoolrlError: the pool cannot continue, or not with this worker.
            Stopped: a stop was requested; the unit is lost.
        """
        started = self._clock.monotonic()
        if unit.kind in ("parent", "closing") and previous is not None:
            with self._timer.phase("merge"):
                remove_expired(self._deposit_store, previous, self._retention)
        if attempts >= self._pool.spec.pool.max_attempts and unit.kind != "initial":
            if KINDS[unit.kind].second_stage and not self._reads_sources(unit):
                return None
            reason = f"{attempts} attempts failed; see {unit.stem}.attempt-*.json"
            self._publish(unit, previous, Result(None, {}, None, None, reason), abandoned=True)
            return None
        result = self._compute(unit, previous)
        if result is None:
            return None
        seconds = self._clock.monotonic() - started
        self._longest[unit.kind] = max(self._longest.get(unit.kind, 0.0), seconds)
        if self._is_merged(unit):
            log.info("iteration %d %s: already merged; result dropped", unit.iteration, unit.stem)
            self._timer.discard()
            return seconds
        self._publish(unit, previous, result)
        if self._is_merged(unit):
            # Merged between the check and the deposit, and its agents may have been removed.
            remove_late_agents(self._deposit_store, unit.iteration, self._retention)
        return seconds

    def record_silent_worker(self, unit: Unit) -> None:
        """Publish an attempt for a unit whose claim was taken over from a silent worker."""
        self._publish_attempt(unit, "the worker that had claimed it fell silent", "")

    def close_tasks(self) -> None:
        """Close the tasks, in a limited time: they are a user's, and a stop may be under way."""
        try:
            with self._interrupts.limited(CLOSE_SECONDS):
                self._computation.close()
        except TooLong:
            log.warning("the task was not closed within %g s", CLOSE_SECONDS)

    # Computation

    def _compute(self, unit: Unit, previous: MergeRecord | None) -> Result | None:
        """The result of a unit; ``None`` if it failed for reasons of this worker."""
        sources = NO_SOURCES
        with self._timer.phase("load"):
            champion = self._start_agent(unit, previous)
            if unit.kind == "branch" and previous is not None and champion is not None:
                try:
                    sources = Sources(window=self._window_reader.read(previous, champion))
                except IncompatiblePool:
                    if self._is_merged(unit):  # and others have removed what left the window
                        return None
                    raise
            if KINDS[unit.kind].second_stage:
                assert champion is not None  # iteration 0 has one stage
                try:
                    self._sources_sha256, sources = self._source_reader.read(
                        unit.kind, unit.iteration, champion
                    )
                except MissingAgent as error:
                    log.info("iteration %d %s: lacks %s", unit.iteration, unit.stem, error)
                    return None
        try:
            with self._interrupts.interruptible(self._longest.get(unit.kind)):
                result = self._computation.compute(unit, champion, sources, previous)
        except PoolrlError:
            raise
        except (Exception, TooLong) as error:
            self._timer.discard()
            self.close_tasks()  # what failed, or was left within a step, may be unusable
            self._record_failure(unit, error)
            return None
        self._consecutive_failures = 0
        return result

    def _reads_sources(self, unit: Unit) -> bool:
        """Read only which sources there are; whether there are any."""
        try:
            self._sources_sha256 = self._source_reader.sha256(unit.iteration)
        except MissingAgent as error:
            log.info("iteration %d %s: lacks %s", unit.iteration, unit.stem, error)
            return False
        return True

    def _start_agent(self, unit: Unit, previous: MergeRecord | None) -> Agent | None:
        """The agent that a unit starts from; ``None`` if the seed draws it."""
        if previous is None:
            given = self._deposit_store.given_agent()
            if given is None:
                return None
            return self._computation.read(given, "the agent to start from", first=True)
        start = previous.start_of(unit.kind)
        if self._champion is None or self._champion[0] != start.sha256:
            data = self._deposit_store.champion(start)
            self._champion = (start.sha256, self._computation.read(data, start.path))
        return self._champion[1]

    def _record_failure(self, unit: Unit, error: Exception | TooLong) -> None:
        """Publish an attempt, and leave the unit to other workers.

        Raises:
            PoolrlError: too many units in a row have failed here.
        """
        reason = one_line(error)
        log.warning("iteration %d %s: %s", unit.iteration, unit.stem, reason)
        self._publish_attempt(unit, reason, "".join(traceback.format_exception(error)))
        self.failed[unit] = (reason, self._clock.monotonic())
        self._consecutive_failures += 1
        if self._consecutive_failures >= MAX_CONSECUTIVE_FAILURES:
            raise PoolrlError(f"iteration {unit.iteration} {unit.stem}: {reason}")

    def _is_merged(self, unit: Unit) -> bool:
        """Whether a deposit would be too late."""
        merge = self._pool.layout.iteration(unit.iteration).merge
        return unit.kind != "closing" and self._pool.store.read_if_there(merge) is not None

    # Deposits

    def _publish(
        self,
        unit: Unit,
        previous: MergeRecord | None,
        result: Result,
        *,
        abandoned: bool = False,
    ) -> None:
        """Publish the agent or rollout, if the unit made one, and then the record.

        Args:
            unit: the unit.
            previous: the merge that it started from.
            result: its result, or the reason for abandoning it.
            abandoned: whether no worker could compute it.
        """
        start = previous.start_of(unit.kind) if previous is not None else None
        reference = None
        rollout_sha256: str | UnsetType = UNSET
        replay_sha256: str | UnsetType = UNSET
        if result.agent is not None:
            with self._timer.phase("publish"):
                reference = self._deposit_store.publish_agent(unit, result.agent.to_bytes())
            if result.transitions is not None:
                with self._timer.phase("publish"):
                    data = chunk_to_bytes(result.transitions)
                    replay_sha256 = self._deposit_store.publish_rollout(unit, data)
        elif result.rollout is not None:
            with self._timer.phase("publish"):
                data = to_bytes(result.rollout)
                rollout_sha256 = self._deposit_store.publish_rollout(unit, data)
        elif not result.failure and start is not None:
            reference = AgentRef(path=start.path, sha256=start.sha256)
        has_info = result.evaluation is not None and bool(result.evaluation.infos)
        record = UnitRecord(
            schema=SCHEMA if has_info else FIRST_SCHEMA,
            spec_sha256=self._pool.spec_sha256,
            iteration=unit.iteration,
            kind=unit.kind,
            index=unit.index,
            status="abandoned" if abandoned else "failed" if result.failure else "done",
            reason=result.failure,
            parent_sha256=start.sha256 if start else "",
            sources_sha256=self._sources_sha256 if KINDS[unit.kind].second_stage else UNSET,
            hyperparameters=result.hyperparameters,
            agent=reference,
            rollout_sha256=rollout_sha256,
            replay_sha256=replay_sha256,
            training=result.training,
            evaluation=result.evaluation,
            seconds=self._timer.take(),
            finished=self._clock.time(),
            worker=self._info,
        )
        with self._timer.phase("publish"):
            is_first = self._deposit_store.publish_record(record)
        outcome = record.reason or "trained"
        if record.score is not None:
            outcome = f"score {record.score:.3f}"
        if not is_first:
            outcome = "already deposited by another worker"
        log.info("iteration %d %s: %s", unit.iteration, unit.stem, outcome)

    def _publish_attempt(self, unit: Unit, reason: str, details: str) -> None:
        attempt = Attempt(
            iteration=unit.iteration,
            kind=unit.kind,
            index=unit.index,
            reason=reason,
            details=details,
            worker=self._info,
        )
        with self._timer.phase("publish"):
            self._deposit_store.publish_attempt(attempt)


def describe_worker(pool: Pool) -> WorkerInfo:
    """Describe a new worker of this process; warn if its results may differ from the pool's."""
    differing = differences(pool.made_with)
    if differing:
        listed = ", ".join(f"{name}: {there} → {here}" for name, (there, here) in differing.items())
        log.warning("the last bits of results may differ from those of the pool: %s", listed)
    here = detect()
    return WorkerInfo(
        id=uuid.uuid4().hex,
        host=here.host,
        pid=os.getpid(),
        versions=versions(),
        differs=tuple(differing),
        job=here.job,
        restarts=here.restarts,
    )
