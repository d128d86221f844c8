"""Workers of a pool, as their heartbeats report them, and the file server's clock, by which their
ages are measured.
"""

from __future__ import annotations

import math
import socket
import time
from typing import NamedTuple

from poolrl.monitoring.status_types import ClockOffset, WorkerStatus
from poolrl.pool.timeouts import HEARTBEAT_CHECK_SECONDS, HEARTBEAT_SECONDS
from poolrl.records.codec import NewerSchema, Unreadable, decode
from poolrl.records.worker_records import Heartbeat
from poolrl.storage.layout import Layout
from poolrl.storage.store import Store

SLACK_SECONDS = 3.0
"""Upper bound of the delay until a change of a file is visible."""


class ServerClock:
    """Estimates how far the file server's clock is ahead of the clock of this machine.

    All times are Unix times.
    """

    def __init__(self) -> None:
        self._least = -math.inf
        self._most = math.inf
        self._own: tuple[float, float] | None = None

    def observe(self, changed: float, since: float | None = None) -> None:
        """Update the bounds of the offset from a file.

        Args:
            changed: modification time of the file.
            since: a time of this machine's clock at which the file had not changed yet.
        """
        self._least = max(self._least, changed - time.time())
        if since is not None:
            self._most = min(self._most, changed - since + SLACK_SECONDS)
        if self._least > self._most:  # one of the clocks has been set
            self._least, self._most = changed - time.time(), math.inf

    def observe_own_heartbeat(self, written: float, changed: float) -> None:
        """Set the offset from a heartbeat of a worker on this machine.

        Args:
            written: time of the heartbeat by this machine's clock.
            changed: modification time of its file.
        """
        if self._own is None or changed > self._own[0]:
            self._own = (changed, changed - written)

    def offset(self) -> ClockOffset:
        """Return the current estimate."""
        if self._own is not None:
            return ClockOffset(self._own[1], "worker")
        known = self._most < math.inf
        offset = min(max(0.0, self._least), self._most)
        return ClockOffset(offset, "watched" if known else "assumed")

    def age(self, changed: float) -> float:
        """Return the seconds since a file was modified."""
        return max(0.0, time.time() + self.offset().offset_seconds - changed)


OVERDUE_SECONDS = HEARTBEAT_SECONDS + 3 * HEARTBEAT_CHECK_SECONDS
"""Age of a heartbeat at which the next one is overdue."""

FORGOTTEN_SECONDS = 3600.0
"""Age of a heartbeat from which its worker is only counted."""


class TimedHeartbeat(NamedTuple):
    """A heartbeat, and the modification time of its file (Unix time, file server's clock)."""

    heartbeat: Heartbeat
    changed: float


class HeartbeatReader:
    """Reads the heartbeats of a pool repeatedly."""

    def __init__(self, store: Store, clock: ServerClock) -> None:
        self._store = store
        self._layout = Layout(store.root)
        self._clock = clock
        self._heartbeats: dict[str, TimedHeartbeat] = {}
        self._last_read: float | None = None

    def read(self) -> None:
        """Read all heartbeats, and update the estimate of the server's clock."""
        start, found = time.time(), {}
        for name in sorted(self._store.names_in(self._layout.workers)):
            if not self._layout.is_heartbeat(name):
                continue
            timed = self._read(name)
            if timed is None:
                continue
            found[name] = timed
            before = self._heartbeats.get(name)
            if before is None or before.changed != timed.changed:
                self._clock.observe(timed.changed, self._last_read if before is not None else None)
            if _short(timed.heartbeat.worker.host) == _short(socket.gethostname()):
                self._clock.observe_own_heartbeat(timed.heartbeat.beat, timed.changed)
        self._heartbeats, self._last_read = found, start

    def _read(self, name: str) -> TimedHeartbeat | None:
        file = self._store.read_dated(self._layout.workers / name)
        if file is None:
            return None
        try:
            heartbeat = decode(file.data, Heartbeat)
        except (Unreadable, NewerSchema):
            return None
        if name != f"{heartbeat.worker.id}.json":
            return None
        return TimedHeartbeat(heartbeat, file.changed)

    def of_process(self, host: str, pid: int) -> TimedHeartbeat | None:
        """Return the latest heartbeat of a process."""
        wanted = _short(host), pid
        found = [
            timed
            for timed in self._heartbeats.values()
            if (_short(timed.heartbeat.worker.host), timed.heartbeat.worker.pid) == wanted
        ]
        return max(found, key=lambda timed: timed.changed, default=None)

    def of_unit(self, iteration: int, stem: str) -> TimedHeartbeat | None:
        """Return the latest heartbeat of a worker that reports to work on a unit."""
        found = [
            timed
            for timed in self._heartbeats.values()
            if timed.heartbeat.state == "working"
            and (timed.heartbeat.iteration, timed.heartbeat.doing) == (iteration, stem)
        ]
        return max(found, key=lambda timed: timed.changed, default=None)

    def seconds_in_state(self, timed: TimedHeartbeat) -> float:
        """Return how long a worker has been in the state that it reports.

        By the worker's own clock up to the heartbeat, and by the server's clock since then.
        """
        heartbeat = timed.heartbeat
        return max(0.0, heartbeat.beat - heartbeat.since) + self._clock.age(timed.changed)

    def workers(self) -> tuple[list[WorkerStatus], int]:
        """Return the workers with a heartbeat of the last hour, and the number of all others."""
        listed = []
        for timed in sorted(self._heartbeats.values(), key=_process):
            age = self._clock.age(timed.changed)
            if age > FORGOTTEN_SECONDS:
                continue
            heartbeat = timed.heartbeat
            listed.append(
                WorkerStatus(
                    worker=heartbeat.worker.id,
                    host=heartbeat.worker.host,
                    pid=heartbeat.worker.pid,
                    job=heartbeat.worker.job,
                    restarts=heartbeat.worker.restarts,
                    state="silent" if age > OVERDUE_SECONDS else heartbeat.state,
                    iteration=heartbeat.iteration,
                    doing=heartbeat.doing,
                    seconds=self.seconds_in_state(timed),
                    heartbeat_seconds=age,
                    clock_seconds=heartbeat.beat - timed.changed,
                )
            )
        return listed, len(self._heartbeats) - len(listed)


def _process(timed: TimedHeartbeat) -> tuple[str, int]:
    return timed.heartbeat.worker.host, timed.heartbeat.worker.pid


def _short(host: str) -> str:
    """Return a host name without its domain, which only some programs report."""
    return host.partition(".")[0]
