"""What a worker leaves in the pool: agents, records, and tries that failed."""

from __future__ import annotations

import logging
import time
import traceback

from poolrl.records.records import AgentRef, Attempt, MergeRecord, UnitRecord, WorkerInfo
from poolrl.records.work_units import Unit
from poolrl.storage.deposits import Archive
from poolrl.worker.phase_timer import Clock
from poolrl.worker.unit_computation import Result

log = logging.getLogger("poolrl.worker")


class Depositor:
    """Signs what one worker has done, with where its time went, and publishes it."""

    def __init__(self, archive: Archive, spec_sha256: str, info: WorkerInfo, clock: Clock) -> None:
        self._archive = archive
        self._spec_sha256 = spec_sha256
        self._info = info
        self._clock = clock

    def deposit(
        self,
        unit: Unit,
        previous: MergeRecord | None,
        result: Result | None,
        abandoned: str = "",
    ) -> None:
        """Publish the agent, if there is a new one, and then the record.

        Args:
            unit: whose deposit it is.
            previous: the merge that it started from.
            result: what it gave; ``None`` for a unit that is abandoned.
            abandoned: why it is.
        """
        reference = None
        failure = abandoned if result is None else result.failure
        if result is not None and result.agent is not None:
            with self._clock.phase("publish"):
                reference = self._archive.publish_agent(unit, result.agent.to_bytes())
        elif not failure and previous is not None:
            reference = AgentRef(path=previous.champion.path, sha256=previous.champion.sha256)
        record = UnitRecord(
            spec_sha256=self._spec_sha256,
            iteration=unit.iteration,
            kind=unit.kind,
            index=unit.index,
            status="abandoned" if result is None else "failed" if failure else "done",
            reason=failure,
            parent_sha256=previous.champion.sha256 if previous else "",
            hyperparameters=result.hyperparameters if result else {},
            agent=reference,
            training=result.training if result else None,
            evaluation=result.evaluation if result else None,
            seconds=self._clock.take(),
            finished=time.time(),
            worker=self._info,
        )
        with self._clock.phase("publish"):
            first = self._archive.publish_record(record)
        told = failure if record.score is None else f"score {record.score:.3f}"
        told = told if first else "deposited by another worker before"
        log.info("iteration %d %s: %s", unit.iteration, unit.stem, told)

    def note_attempt(self, unit: Unit, error: BaseException) -> str:
        """Note a try that failed for reasons of the worker.

        Returns:
            The reason, in a line.
        """
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        log.warning("iteration %d %s: %s", unit.iteration, unit.stem, reason)
        self._publish_attempt(unit, reason, "".join(traceback.format_exception(error)))
        return reason

    def note_silence(self, unit: Unit) -> None:
        """Note that the worker that had claimed a unit fell silent."""
        self._publish_attempt(unit, "the worker that had claimed it fell silent", "")

    def _publish_attempt(self, unit: Unit, reason: str, details: str) -> None:
        attempt = Attempt(
            iteration=unit.iteration,
            kind=unit.kind,
            index=unit.index,
            reason=reason,
            details=details,
            worker=self._info,
        )
        with self._clock.phase("publish"):
            self._archive.publish_attempt(attempt)
