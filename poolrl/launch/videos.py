"""The process of a run that makes videos of champions: ``poolrl render --follow``."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from poolrl.errors import PoolrlError
from poolrl.import_path import python_command
from poolrl.pool.directory import Pool

FINISH_SECONDS = 60.0
"""How long a run waits, once its pool has ended, for the last video that is due."""

STOP_SECONDS = 10.0
"""Timeout for the process to end after SIGTERM; then it is killed."""

FINISH = b"finish\n"
"""What the process reads when the pool has ended: it then makes what is due, and ends."""


class VideoProcess:
    """One process of low priority beside the workers. Whatever happens to it, the pool goes on.

    Args:
        pool: the pool.
        every: iterations between videos; 0 for no process at all.
        arguments: of ``poolrl render``, which permit a user's own task and network.
    """

    def __init__(self, pool: Pool, every: int, arguments: Sequence[str]) -> None:
        self._pool = pool
        self._every = every
        self._arguments = arguments
        self._log: Path = pool.layout.logs / "videos.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._warning: str | None = None
        self._start_of_log = 0

    def start(self) -> None:
        """Start the process."""
        if not self._every:
            return
        root, store = self._pool.layout.root.absolute(), self._pool.store
        command = [*python_command("poolrl"), "render", str(root), "--follow", "--attached"]
        try:
            store.make_folder(self._log.parent)
            with store.open_log(self._log) as log:
                self._start_of_log = log.seek(0, 2)
                self._process = subprocess.Popen(
                    [*command, "--every", str(self._every), *self._arguments],
                    # Its other end closes with this process, however that ends.
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    # A terminal's Ctrl-C reaches only the launcher, which passes it on.
                    start_new_session=True,
                )
        except (PoolrlError, OSError) as error:
            self._warning = str(error)

    @property
    def running(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def warning(self) -> str | None:
        """A line on why there are no videos any more; ``None`` where there are, and after it was
        returned once."""
        if self._process is not None and (code := self._process.poll()) is not None:
            self._process = None
            if code:
                self._warning = self._last_line() or f"their process ended with code {code}"
        warning, self._warning = self._warning, None
        return warning and f"warning: no more videos: {warning} (log: {self._log})"

    def finish(self, sleep: Callable[[float], None]) -> None:
        """Wait for the last video that is due, once the pool has ended.

        Args:
            sleep: waits for a number of seconds, and may raise.
        """
        process = self._process
        if process is None or process.stdin is None:
            return
        with contextlib.suppress(OSError):
            process.stdin.write(FINISH)
            process.stdin.flush()
        deadline = time.monotonic() + FINISH_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            sleep(0.1)

    def stop(self) -> None:
        """End the process, if it runs; a video that is being made is lost."""
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            process.wait()

    def kill(self) -> None:
        """Kill the process, if it runs."""
        if self._process is not None and self.running:
            self._process.kill()

    def _last_line(self) -> str:
        try:
            with open(self._log, "rb") as log:
                size = log.seek(0, 2)
                log.seek(max(self._start_of_log, size - 10_000))
                lines = log.read().decode(errors="replace").strip().splitlines()
        except OSError:
            return ""
        return lines[-1].removeprefix("poolrl: ") if lines else ""
