"""A pool's workers, by their heartbeats."""

from __future__ import annotations

import socket
import time
from typing import NamedTuple

from poolrl.monitoring.server_clock import ServerClock
from poolrl.monitoring.status_types import WorkerStatus
from poolrl.pool.timeouts import BEAT_SECONDS, TICK_SECONDS
from poolrl.records.records import Heartbeat, NewerSchema, Unreadable, decode
from poolrl.storage import store
from poolrl.storage.layout import Layout
from poolrl.storage.small_files import read_small

OVERDUE_SECONDS = BEAT_SECONDS + 3 * TICK_SECONDS
"""Age of a heartbeat whose next one should have come."""

FORGOTTEN_SECONDS = 3600.0
"""Age of a heartbeat whose worker is told of in a number alone."""


class Beat(NamedTuple):
    """A heartbeat, and when it was written by the file server's clock."""

    told: Heartbeat
    changed: float


class Crew:
    """Reads the heartbeats of a pool, again and again."""

    def __init__(self, layout: Layout, clock: ServerClock) -> None:
        self._layout = layout
        self._clock = clock
        self._beats: dict[str, Beat] = {}
        self._looked: float | None = None

    def look(self) -> None:
        """Read them."""
        looked, beats = time.time(), {}
        for name in sorted(store.names_in(self._layout.workers)):
            if not self._layout.is_heartbeat(name):
                continue
            beat = self._read(name)
            if beat is None:
                continue
            beats[name] = beat
            before = self._beats.get(name)
            if before is None or before.changed != beat.changed:
                self._clock.saw(beat.changed, self._looked if before is not None else None)
            if _short(beat.told.worker.host) == _short(socket.gethostname()):
                self._clock.saw_own(beat.told.beat, beat.changed)
        self._beats, self._looked = beats, looked

    def _read(self, name: str) -> Beat | None:
        small = read_small(self._layout.workers / name)
        if small is None:
            return None
        try:
            told = decode(small.data, Heartbeat)
        except (Unreadable, NewerSchema):
            return None
        return Beat(told, small.changed) if name == f"{told.worker.id}.json" else None

    def of(self, host: str, pid: int) -> Beat | None:
        """The heartbeat of a process; the last one where there are several."""
        wanted = _short(host), pid
        found = [
            beat
            for beat in self._beats.values()
            if (_short(beat.told.worker.host), beat.told.worker.pid) == wanted
        ]
        return max(found, key=lambda beat: beat.changed, default=None)

    def at(self, iteration: int, stem: str) -> Beat | None:
        """The last heartbeat of a worker that told that it is at a unit."""
        found = [
            beat
            for beat in self._beats.values()
            if beat.told.state == "working"
            and (beat.told.iteration, beat.told.doing) == (iteration, stem)
        ]
        return max(found, key=lambda beat: beat.changed, default=None)

    def seconds(self, beat: Beat) -> float:
        """How long a worker has been in the state that it told: by its own clock up to the
        heartbeat, and by the server's since."""
        return max(0.0, beat.told.beat - beat.told.since) + self._clock.age(beat.changed)

    def workers(self) -> tuple[list[WorkerStatus], int]:
        """All that were heard of within the last hour, and how many others there are."""
        listed = []
        for beat in sorted(self._beats.values(), key=_process):
            age = self._clock.age(beat.changed)
            if age > FORGOTTEN_SECONDS:
                continue
            told = beat.told
            listed.append(
                WorkerStatus(
                    worker=told.worker.id,
                    host=told.worker.host,
                    pid=told.worker.pid,
                    job=told.worker.job,
                    restarts=told.worker.restarts,
                    state="silent" if age > OVERDUE_SECONDS else told.state,
                    iteration=told.iteration,
                    doing=told.doing,
                    seconds=self.seconds(beat),
                    heartbeat_seconds=age,
                    clock_seconds=told.beat - beat.changed,
                )
            )
        return listed, len(self._beats) - len(listed)


def _process(beat: Beat) -> tuple[str, int]:
    return beat.told.worker.host, beat.told.worker.pid


def _short(host: str) -> str:
    """A host's name without its domain, which one program may tell and another leave out."""
    return host.partition(".")[0]
