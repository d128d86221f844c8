"""Workers as processes of this machine."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from poolrl.interrupts import FINISH_SECONDS
from poolrl.job_environment import detect
from poolrl.storage import store

RESTARTS = 3
"""How often a worker that was killed, or failed, is started anew while the pool makes no
progress."""

FAILED = 1
"""The exit code of a worker that another one may do better than; see poolrl.errors."""

PATIENCE_SECONDS = FINISH_SECONDS + 10.0
"""How long a worker that was asked to stop may take."""


def usable_cores() -> int:
    """The cores that this process may use, which on a shared machine are not all that it has: those
    that it may run on, and no more than its launcher gave it."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return min(cores, detect().cores or cores)


@dataclass
class _Place:
    """A worker's place: the process that fills it, and how often it was filled."""

    index: int
    process: subprocess.Popen[bytes]
    restarts: int = 0
    restart_at: float | None = None


@dataclass
class LocalWorkers:
    """Starts workers, looks after them and stops them.

    Attributes:
        arguments: what follows ``poolrl worker`` on each one's command line.
        logs: a folder that gets a file a worker.
    """

    arguments: Sequence[str]
    logs: Path
    _places: list[_Place] = field(default_factory=list)
    _progress: int = 0
    _old_logs: dict[int, int] = field(default_factory=dict)

    def start(self, count: int) -> None:
        """Start a number of workers.

        Raises:
            PoolrlError: the folder of logs cannot be written to.
        """
        store.make_folder(self.logs)
        for index in range(count):
            self._places.append(_Place(index, self._launch(index)))

    def look_after(self, progress: int = 0) -> int:
        """Start anew what was killed or failed, a little later each time.

        Args:
            progress: a number that grows while the pool makes progress, such as that of its
                merges; as long as it does there is no limit to restarts.

        Returns:
            How many workers run, or will again.
        """
        if progress != self._progress:
            self._progress = progress
            for place in self._places:
                place.restarts = 0
        living = 0
        for place in self._places:
            code = place.process.poll()
            if code is None:
                living += 1
            elif (code < 0 or code == FAILED) and place.restarts < RESTARTS:
                living += 1
                now = time.monotonic()
                if place.restart_at is None:
                    place.restart_at = now + 0.5 * 2**place.restarts
                elif now >= place.restart_at:
                    place.restarts += 1
                    place.restart_at = None
                    place.process = self._launch(place.index)
        return living

    def failure(self) -> tuple[int, str] | None:
        """The exit code of the first worker that failed and what it said; ``None`` where none
        did."""
        for place in self._places:
            code = place.process.poll()
            if code:
                if code < 0:
                    return code, f"worker {place.index} was killed by signal {-code}"
                return code, self._last_line(place.index)
        return None

    def stop(self) -> None:
        """Ask all workers to leave their units, and see that they do."""
        for place in self._places:
            if place.process.poll() is None:
                place.process.terminate()
        deadline = time.monotonic() + PATIENCE_SECONDS
        for place in self._places:
            try:
                place.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                place.process.kill()
                place.process.wait()

    def kill(self) -> None:
        """End all workers at once."""
        for place in self._places:
            if place.process.poll() is None:
                place.process.kill()

    def process_ids(self) -> list[int]:
        """Of the workers that run."""
        return [place.process.pid for place in self._places if place.process.poll() is None]

    def _launch(self, index: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "poolrl", "worker"]
        with store.open_log(self._log(index)) as log:
            # What an earlier run left there says nothing of this one.
            self._old_logs.setdefault(index, os.fstat(log.fileno()).st_size)
            return subprocess.Popen(
                [*command, *self.arguments, "--attached", "--prefer", str(index)],
                # Its other end closes with this process, however that ends.
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                # A terminal's Ctrl-C reaches the launcher alone, which passes it on.
                start_new_session=True,
            )

    def _log(self, index: int) -> Path:
        return self.logs / f"worker-{index:03d}.log"

    def _last_line(self, index: int) -> str:
        try:
            with open(self._log(index), "rb") as log:
                size = os.fstat(log.fileno()).st_size
                log.seek(max(self._old_logs.get(index, 0), size - 10_000))
                lines = log.read().decode(errors="replace").strip().splitlines()
        except OSError as error:
            return f"{self._log(index)}: {error.strerror}"
        return lines[-1].removeprefix("poolrl: ") if lines else "no message"
