"""The iteration in flight, unit by unit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from poolrl.monitoring.heartbeats import Crew
from poolrl.monitoring.server_clock import ServerClock
from poolrl.monitoring.status_types import AttemptStatus, UnitStatus
from poolrl.pool.directory import Pool
from poolrl.pool.timeouts import TOUCHES
from poolrl.records.records import Attempt, NewerSchema, UnitRecord, Unreadable, WorkerInfo, decode
from poolrl.records.work_units import Unit
from poolrl.storage import store
from poolrl.storage.deposits import Archive
from poolrl.storage.small_files import changed_at, lease_owner, read_small

WORK = ("training", "evaluation")

MOST_ATTEMPTS = 100
"""Tries that are told one by one."""


class Flight:
    """One iteration, looked at again and again; a record is read once.

    Attributes:
        planned: its units.
        iteration: its number.
        merging: whether somebody has claimed its merge.
        begun: whether anything at all has been done in it.
        set_aside: how many damaged files workers have set aside in it.
        records: the deposits, by unit.
        newest: when something new came last, by the file server's clock; ``None`` where nothing
            ever did.
    """

    def __init__(
        self,
        pool: Pool,
        archive: Archive,
        crew: Crew,
        clock: ServerClock,
        units: Sequence[Unit],
    ) -> None:
        self.planned = list(units)
        self.iteration = units[0].iteration
        self.merging = False
        self.begun = False
        self.set_aside = 0
        self.records: dict[Unit, UnitRecord] = {}
        self.newest: float | None = None
        self._layout = pool.layout.iteration(self.iteration)
        self._archive = archive
        self._crew = crew
        self._clock = clock
        self._names: set[str] = set()
        self._tries: dict[str, AttemptStatus] = {}
        self._tried: Counter[str] = Counter()
        closing = units[0].kind == "closing"
        start = self.iteration if closing else self.iteration - 1
        self._before = pool.layout.iteration(start).merge if start >= 0 else None
        # A busy machine, or file server, may touch a lease a little later than it should.
        self._overdue = 1.2 * pool.spec.pool.lease_duration / TOUCHES + 1.0

    def look(self) -> None:
        """List the folder, and read the records that are new."""
        layout = self._layout
        names = store.names_in(layout.folder)
        for unit in self.planned:
            name = layout.record(unit).name
            if name not in names:
                self.records.pop(unit, None)  # it was damaged, and is set aside now
            elif unit not in self.records:
                try:
                    record = self._archive.record(unit)
                except (Unreadable, NewerSchema):
                    record = None
                if record is not None:
                    self.records[unit] = record
        self._names = names
        self.begun = bool(names)
        self.merging = layout.merge_lease.name in names
        self.set_aside = sum(".corrupt-" in name for name in names)
        tries = sorted(name for name in names if layout.attempt_stem(name) is not None)
        self._tried = Counter(layout.attempt_stem(name) or "" for name in tries)
        del tries[MOST_ATTEMPTS:]
        self._date(tries)
        for name in tries:
            if name not in self._tries:
                self._tries[name] = self._attempt(name)

    def _date(self, tries: list[str]) -> None:
        """When something new came last: a deposit, a try, or the merge that began all this."""
        latest = max(self.records.values(), key=lambda record: record.finished, default=None)
        paths = [self._layout.folder / name for name in tries if name not in self._tries]
        if latest is not None:
            paths.append(self._layout.record(latest.unit))
        elif self.newest is None and self._before is not None:
            paths.append(self._before)
        for path in paths:
            if (changed := changed_at(path)) is not None:
                self._clock.saw(changed)
                self.newest = max(self.newest or changed, changed)

    def _attempt(self, name: str) -> AttemptStatus:
        stem = self._layout.attempt_stem(name) or ""
        try:
            data = store.read_if_there(self._layout.folder / name)
            attempt = decode(data or b"", Attempt)
        except (store.Strange, Unreadable, NewerSchema):
            return AttemptStatus(stem, "its record cannot be read", "", "")
        return AttemptStatus(stem, attempt.reason, attempt.worker.host, attempt.worker.job)

    def attempts(self) -> list[AttemptStatus]:
        """The tries that failed, a hundred at most."""
        return [self._tries[name] for name in sorted(self._tries)]

    @property
    def longest_sibling(self) -> float:
        """Seconds of training and evaluation of the longest branch that was deposited."""
        return max(
            (_busy(record) for unit, record in self.records.items() if unit.kind == "branch"),
            default=0.0,
        )

    def units(self) -> list[UnitStatus]:
        """Each of them as it is now."""
        return [self._unit(unit) for unit in self.planned]

    def _unit(self, unit: Unit) -> UnitStatus:
        tried = self._tried[unit.stem]
        record = self.records.get(unit)
        if record is not None:
            deposit = UnitStatus(
                unit=unit.stem,
                state="deposited" if record.status == "done" else record.status,
                score=record.score,
                reason=record.reason,
                attempts=tried,
            )
            return _by(deposit, record.worker)
        names, layout = self._names, self._layout
        copies = 0
        while layout.lease(unit, copies + 1).name in names:
            copies += 1
        if layout.lease(unit).name in names:
            return self._claimed(unit, copies, layout.lease(unit))
        if copies:  # the first one has given up, or was taken over and ended
            return self._claimed(unit, copies, layout.lease(unit, copies))
        return UnitStatus(unit=unit.stem, state="free", attempts=tried)

    def _claimed(self, unit: Unit, copies: int, lease: Path) -> UnitStatus:
        """A unit that somebody has claimed: the lease tells who at once, and the heartbeat, a
        second later, since when."""
        tried = self._tried[unit.stem]
        small = read_small(lease)
        if small is None:  # gone since the folder was listed, or nothing that a lease can be
            return UnitStatus(unit=unit.stem, state="working", copies=copies, attempts=tried)
        self._clock.saw(small.changed)
        owner = lease_owner(small.data)
        beat = self._crew.of(*owner) if owner else None
        if beat is None:
            # Where a node's name is not its host's, or nobody could write into the lease.
            beat = self._crew.at(self.iteration, unit.stem)
        age = self._clock.age(small.changed)
        status = UnitStatus(
            unit=unit.stem,
            state="silent" if age > self._overdue else "working",
            host=owner[0] if owner else "",
            pid=owner[1] if owner else None,
            lease_seconds=age,
            copies=copies,
            attempts=tried,
        )
        if beat is None:
            return status
        at_it = (beat.told.iteration, beat.told.doing) == (self.iteration, unit.stem)
        status = replace(
            status,
            claimed_seconds=self._crew.seconds(beat) if at_it else None,
            heartbeat_seconds=self._clock.age(beat.changed),
        )
        return _by(status, beat.told.worker)


def _by(status: UnitStatus, info: WorkerInfo) -> UnitStatus:
    return replace(status, worker=info.id, host=info.host, pid=info.pid, job=info.job)


def _busy(record: UnitRecord) -> float:
    """Seconds of training and evaluation."""
    return sum(seconds.wall for phase, seconds in record.seconds.items() if phase in WORK)
