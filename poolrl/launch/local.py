"""Workers as processes on this machine."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from poolrl.import_path import python_command
from poolrl.interrupts import FINISH_SECONDS
from poolrl.job_environment import detect
from poolrl.launch.cpu_quota import cpu_quota
from poolrl.storage.store import Store

RESTARTS = 3
"""How often a worker that was killed, or failed, is restarted while the pool makes no progress."""

FAILED = 1
"""The exit code of a failure that a restart may cure; see poolrl.errors."""

STOP_TIMEOUT_SECONDS = FINISH_SECONDS + 10.0
"""Timeout for a worker to end after SIGTERM; then it is killed."""


def usable_cores() -> int:
    """Number of cores that this process may use: those of its CPU affinity, and no more than its
    launcher or the CPU quota of its container gave it."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return min(cores, detect().cores or cores, cpu_quota() or cores)


@dataclass
class _WorkerSlot:
    """A worker that is restarted when its process fails."""

    index: int
    process: subprocess.Popen[bytes]
    restarts: int = 0
    restart_at: float | None = None


@dataclass
class LocalWorkers:
    """Start, supervise and stop worker processes.

    Attributes:
        arguments: arguments of ``poolrl worker``, the same for all.
        logs: directory of the log files, one per worker.
        store: the store that contains it.
    """

    arguments: Sequence[str]
    logs: Path
    store: Store
    _slots: list[_WorkerSlot] = field(default_factory=list)
    _progress: int = 0
    _old_logs: dict[int, int] = field(default_factory=dict)

    def start(self, count: int) -> None:
        """Start a number of workers.

        Raises:
            PoolrlError: the directory of the logs cannot be written to.
        """
        self.store.make_folder(self.logs)
        for index in range(count):
            self._slots.append(_WorkerSlot(index, self._launch(index)))

    def supervise(self, progress: int = 0) -> int:
        """Restart workers that were killed or failed, with exponential back-off.

        Args:
            progress: a number that grows while the pool makes progress, such as that of its
                merges; each change resets the number of restarts.

        Returns:
            Number of workers that run or will be restarted.
        """
        if progress != self._progress:
            self._progress = progress
            for slot in self._slots:
                slot.restarts = 0
        num_alive = 0
        for slot in self._slots:
            code = slot.process.poll()
            if code is None:
                num_alive += 1
            elif (code < 0 or code == FAILED) and slot.restarts < RESTARTS:
                num_alive += 1
                now = time.monotonic()
                if slot.restart_at is None:
                    slot.restart_at = now + 0.5 * 2**slot.restarts
                elif now >= slot.restart_at:
                    slot.restarts += 1
                    slot.restart_at = None
                    slot.process = self._launch(slot.index)
        return num_alive

    def failure(self) -> tuple[int, str] | None:
        """Exit code and last log line of the first worker that failed; ``None`` where none did."""
        for slot in self._slots:
            code = slot.process.poll()
            if code:
                if code < 0:
                    return code, f"worker {slot.index} was killed by signal {-code}"
                return code, self._last_line(slot.index)
        return None

    def stop(self) -> None:
        """Send SIGTERM to all workers and wait for them; kill those that reach the timeout."""
        for slot in self._slots:
            if slot.process.poll() is None:
                slot.process.terminate()
        deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
        for slot in self._slots:
            try:
                slot.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                slot.process.kill()
                slot.process.wait()

    def kill(self) -> None:
        """Kill all workers."""
        for slot in self._slots:
            if slot.process.poll() is None:
                slot.process.kill()

    def process_ids(self) -> list[int]:
        """Process ids of the running workers."""
        return [slot.process.pid for slot in self._slots if slot.process.poll() is None]

    def _launch(self, index: int) -> subprocess.Popen[bytes]:
        command = [*python_command("poolrl"), "worker"]
        with self.store.open_log(self._log(index)) as log:
            # The file may contain the log of an earlier run.
            self._old_logs.setdefault(index, os.fstat(log.fileno()).st_size)
            return subprocess.Popen(
                [*command, *self.arguments, "--attached", "--prefer", str(index)],
                # Its other end closes with this process, however that ends.
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                # A terminal's Ctrl-C reaches only the launcher, which passes it on.
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
