"""Status of the current iteration, unit by unit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Set
from pathlib import Path

from msgspec.structs import replace

from poolrl.monitoring.heartbeats import HeartbeatReader, ServerClock
from poolrl.monitoring.history import seconds_before, work_seconds
from poolrl.monitoring.status_types import AttemptStatus, UnitStatus
from poolrl.pool.directory import Pool
from poolrl.pool.timeouts import LEASE_TOUCHES
from poolrl.records.codec import NewerSchema, Unreadable, decode
from poolrl.records.records import Attempt, UnitRecord, WorkerInfo
from poolrl.records.work_units import Unit, second_stage_of
from poolrl.storage.claims import lease_owner
from poolrl.storage.deposits import DepositStore
from poolrl.storage.store import UnusableFile

MAX_ATTEMPTS_LISTED = 100
"""Number of failed attempts that are read and listed."""


class CurrentIteration:
    """Reads one iteration repeatedly; each record is read once.

    Attributes:
        planned: the units of the iteration, without those of the second stage.
        units: those of its present stage: once the sources are there, these too.
        iteration: its number.
        merging: whether a worker has claimed the merge.
        started: whether the folder of the iteration has any file.
        set_aside: number of damaged files that workers have set aside in it.
        records: the deposits, by unit.
        last_change: time of the last deposit or failed attempt, or else of the merge before (Unix
            time, file server's clock); ``None`` if there is none.
    """

    def __init__(
        self,
        pool: Pool,
        deposit_store: DepositStore,
        heartbeats: HeartbeatReader,
        clock: ServerClock,
        units: Sequence[Unit],
    ) -> None:
        """
        Args:
            pool: that the iteration belongs to.
            deposit_store: of the pool.
            heartbeats: read by the caller.
            clock: updated from the files that are read.
            units: of the iteration, at least one.
        """
        self.planned = list(units)
        self.units = self.planned
        self.iteration = units[0].iteration
        self.merging = False
        self.started = False
        self.set_aside = 0
        self.records: dict[Unit, UnitRecord] = {}
        self.last_change: float | None = None
        self._rule = pool.spec.merge
        self._store = pool.store
        self._layout = pool.layout.iteration(self.iteration)
        self._deposit_store = deposit_store
        self._heartbeats = heartbeats
        self._clock = clock
        self._names: set[str] = set()
        self._before: dict[str, float] = {}
        self._attempts: dict[str, AttemptStatus] = {}
        self._num_attempts: Counter[str] = Counter()
        closing = units[0].kind == "closing"
        start = self.iteration if closing else self.iteration - 1
        self._merge_before = pool.layout.iteration(start).merge if start >= 0 else None
        # Under load, a worker or the file server may touch a lease a little late.
        self._overdue = 1.2 * pool.spec.pool.lease_duration / LEASE_TOUCHES + 1.0

    def read(self) -> None:
        """List the folder, and read the records that are new."""
        layout = self._layout
        names = self._store.names_in(layout.folder)
        self.units = [*self.planned, *self._second_stage(names)]
        for unit in self.units:
            name = layout.record(unit).name
            if name not in names:
                self.records.pop(unit, None)  # a worker has set it aside as damaged
            elif unit not in self.records:
                record = self._record(unit)
                if record is not None:
                    self.records[unit] = record
        self._names = names
        self.started = bool(names)
        self.merging = layout.merge_lease.name in names
        self.set_aside = sum(".corrupt-" in name for name in names)
        attempts = sorted(name for name in names if layout.attempt_stem(name) is not None)
        self._num_attempts = Counter(layout.attempt_stem(name) or "" for name in attempts)
        del attempts[MAX_ATTEMPTS_LISTED:]
        self._update_last_change(attempts)
        for name in attempts:
            if name not in self._attempts:
                self._attempts[name] = self._attempt(name)

    def _record(self, unit: Unit) -> UnitRecord | None:
        try:
            return self._deposit_store.record(unit)
        except (Unreadable, NewerSchema):
            return None

    def _update_last_change(self, attempts: list[str]) -> None:
        latest = max(self.records.values(), key=lambda record: record.finished, default=None)
        paths = [self._layout.folder / name for name in attempts if name not in self._attempts]
        if latest is not None:
            paths.append(self._layout.record(latest.unit))
        elif self.last_change is None and self._merge_before is not None:
            paths.append(self._merge_before)
        for path in paths:
            if (changed := self._store.modification_time(path)) is not None:
                self._clock.observe(changed)
                self.last_change = max(self.last_change or changed, changed)

    def _attempt(self, name: str) -> AttemptStatus:
        stem = self._layout.attempt_stem(name) or ""
        try:
            data = self._store.read_if_there(self._layout.folder / name)
            attempt = decode(data or b"", Attempt)
        except (UnusableFile, Unreadable, NewerSchema):
            return AttemptStatus(stem, "its record cannot be read", "", "")
        return AttemptStatus(stem, attempt.reason, attempt.worker.host, attempt.worker.job)

    def failed_attempts(self) -> list[AttemptStatus]:
        """Return the failed attempts, at most ``MAX_ATTEMPTS_LISTED``."""
        return [self._attempts[name] for name in sorted(self._attempts)]

    def is_alone(self, stem: str) -> bool:
        """Whether a unit has no siblings; see ``DepositStore.is_alone``."""
        return any(unit.stem == stem and self._deposit_store.is_alone(unit) for unit in self.units)

    def sibling_seconds(self, stem: str) -> float:
        """Seconds of training and evaluation by which a unit counts as a straggler: of the longest
        deposited branch, or without branches like it of that of the iteration before; 0 if there
        is none.

        Args:
            stem: of the unit.
        """
        if self.is_alone(stem):
            if stem not in self._before:
                (unit,) = (unit for unit in self.units if unit.stem == stem)
                self._before[stem] = seconds_before(self._deposit_store, unit)
            return self._before[stem]
        branches = (record for unit, record in self.records.items() if unit.kind == "branch")
        return max(map(work_seconds, branches), default=0.0)

    def unit_statuses(self) -> list[UnitStatus]:
        """Return the status of each unit, in the order of ``units``."""
        return [self._unit(unit) for unit in self.units]

    def _second_stage(self, names: Set[str]) -> list[Unit]:
        """The units of the second stage; none in the first."""
        if self.planned[-1].kind != "parent" or self._layout.sources.name not in names:
            return []
        try:
            sources = self._deposit_store.read_sources(self.iteration)
        except (Unreadable, NewerSchema):
            sources = None
        done = len(sources.done) if sources is not None else 0
        return second_stage_of(self.iteration, self._rule, done)

    def _unit(self, unit: Unit) -> UnitStatus:
        attempts = self._num_attempts[unit.stem]
        record = self.records.get(unit)
        if record is not None:
            deposit = UnitStatus(
                unit=unit.stem,
                state="deposited" if record.status == "done" else record.status,
                score=record.score,
                reason=record.reason,
                attempts=attempts,
            )
            return _with_worker(deposit, record.worker)
        names, layout = self._names, self._layout
        copies = 0
        while layout.lease(unit, copies + 1).name in names:
            copies += 1
        if layout.lease(unit).name in names:
            return self._claimed(unit, copies, layout.lease(unit))
        if copies:  # the first worker has left the unit, or lost its lease and ended
            return self._claimed(unit, copies, layout.lease(unit, copies))
        return UnitStatus(unit=unit.stem, state="free", attempts=attempts)

    def _claimed(self, unit: Unit, copies: int, lease: Path) -> UnitStatus:
        """Return the status of a claimed unit.

        The lease names the worker at once; the heartbeat reports the start of the work up to a
        second later.
        """
        attempts = self._num_attempts[unit.stem]
        file = self._store.read_dated(lease)
        if file is None:  # removed since the folder was listed, or unusable
            return UnitStatus(unit=unit.stem, state="working", copies=copies, attempts=attempts)
        self._clock.observe(file.changed)
        owner = lease_owner(file.data)
        timed = self._heartbeats.of_process(*owner) if owner else None
        if timed is None:
            # The lease may be without an owner, or its host name may differ from the heartbeat's.
            timed = self._heartbeats.of_unit(self.iteration, unit.stem)
        age = self._clock.age(file.changed)
        status = UnitStatus(
            unit=unit.stem,
            state="silent" if age > self._overdue else "working",
            host=owner[0] if owner else "",
            pid=owner[1] if owner else None,
            lease_seconds=age,
            copies=copies,
            attempts=attempts,
        )
        if timed is None:
            return status
        heartbeat = timed.heartbeat
        on_unit = (heartbeat.iteration, heartbeat.doing) == (self.iteration, unit.stem)
        status = replace(
            status,
            claimed_seconds=self._heartbeats.seconds_in_state(timed) if on_unit else None,
            heartbeat_seconds=self._clock.age(timed.changed),
        )
        return _with_worker(status, heartbeat.worker)


def _with_worker(status: UnitStatus, info: WorkerInfo) -> UnitStatus:
    return replace(status, worker=info.id, host=info.host, pid=info.pid, job=info.job)
