"""Background thread of a worker: heartbeat, unit timeout, stall detection.

It is a thread so that a unit that never ends is detected too.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from poolrl.clock import SYSTEM_CLOCK, Clock
from poolrl.config.run_options import RunOptions
from poolrl.errors import PoolrlError, Stopped, TooLong
from poolrl.interrupts import InterruptHandler
from poolrl.pool.timeouts import HEARTBEAT_CHECK_SECONDS, HEARTBEAT_SECONDS
from poolrl.records.codec import NewerSchema, Unreadable, decode, encode
from poolrl.records.records import UnitRecord, WorkerInfo
from poolrl.records.worker_records import Heartbeat
from poolrl.storage.layout import IterationLayout, Layout
from poolrl.storage.store import Store

log = logging.getLogger("poolrl.worker")

State = Literal["starting", "working", "merging", "waiting"]

STALL_CHECKS = 20
"""Number of checks for progress within the stall timeout."""


@dataclass(frozen=True)
class _Activity:
    """What the worker does, as its heartbeat reports it; ``since`` is Unix time."""

    state: State
    iteration: int
    doing: str
    since: float


class Watchdog:
    """Reports and supervises one worker."""

    def __init__(
        self,
        store: Store,
        info: WorkerInfo,
        interrupts: InterruptHandler,
        run: RunOptions,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """
        Args:
            store: files of the pool.
            info: identity of the worker.
            interrupts: where to interrupt or stop the worker.
            run: its timeouts.
            clock: of all intervals.
        """
        self._store = store
        self._layout = Layout(store.root)
        self._info = info
        self._interrupts = interrupts
        self._run = run
        self._clock = clock
        self._thread = threading.Thread(target=self._loop, name="watchdog", daemon=True)
        self._ended = threading.Event()
        self._started = clock.time()
        self._activity = _Activity("starting", -1, "", self._started)
        # Heartbeat
        self._reported: _Activity | None = None
        self._last_heartbeat = clock.monotonic()
        # Unit timeout: the section of work that was seen last, and since when.
        self._section: tuple[int | None, float] = (None, 0.0)
        # Stall detection
        self._last_check = clock.monotonic()
        self._seconds_without_progress = 0.0
        self._seen: tuple[int, frozenset[str]] = (-1, frozenset())

    def start(self) -> None:
        """Start the thread."""
        self._last_check = self._last_heartbeat = self._clock.monotonic()
        self._thread.start()

    def end(self) -> None:
        """End the thread and remove the heartbeat, so that the worker does not count as silent."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(timeout=HEARTBEAT_CHECK_SECONDS)
        try:
            self._store.remove(self._layout.heartbeat(self._info.id))
        except PoolrlError as error:
            log.warning("%s", error)

    def report(self, state: State, iteration: int, doing: str = "") -> None:
        """Set what the worker does from now on.

        Args:
            state: as in a heartbeat.
            iteration: its number.
            doing: stem of the unit that is computed.
        """
        now = self._activity
        if (now.state, now.iteration, now.doing) != (state, iteration, doing):
            self._activity = _Activity(state, iteration, doing, self._clock.time())

    def check(self) -> bool:
        """Make one round: heartbeat, unit timeout, stall detection.

        Returns:
            Whether the pool has stalled; the worker was then asked to stop.
        """
        now = self._clock.monotonic()
        if self._reported != self._activity or now - self._last_heartbeat >= HEARTBEAT_SECONDS:
            self._last_heartbeat = now
            self._write_heartbeat()
        self._interrupt_overdue(now)
        if not self._has_stalled(now):
            return False
        self._interrupts.request_stop(Stopped(3, self._stall_reason()))
        return True

    def _loop(self) -> None:
        while not self._ended.wait(HEARTBEAT_CHECK_SECONDS):
            if self.check():
                return

    def _write_heartbeat(self) -> None:
        activity = self._activity
        heartbeat = Heartbeat(
            worker=self._info,
            state=activity.state,
            iteration=activity.iteration,
            doing=activity.doing,
            since=activity.since,
            beat=self._clock.time(),
            started=self._started,
        )
        try:
            if self._reported is None:
                self._store.make_folder(self._layout.workers, parents=False)
            self._store.replace(self._layout.heartbeat(self._info.id), encode(heartbeat))
        except PoolrlError as error:
            if self._reported is None:
                log.warning("no heartbeats: %s", error)
        self._reported = activity

    def _interrupt_overdue(self, now: float) -> None:
        """Interrupt a unit that takes longer than the timeout, if the iteration can be merged
        without it: this may be the only worker."""
        timeout, section = self._run.branch_timeout, self._interrupts.section
        if timeout is None or section is None or section != self._section[0]:
            self._section = (section, now)
            return
        activity = self._activity
        # No merge does without an update.
        if activity.state != "working" or activity.doing.startswith(("closing", "update")):
            return
        if now - self._section[1] <= timeout:
            return
        if self._enough_succeeded(self._layout.iteration(activity.iteration).folder):
            self._interrupts.interrupt(section, TooLong(f"not done after {timeout:g} s"))

    def _enough_succeeded(self, folder: Path) -> bool:
        """Whether as many branches of an iteration have succeeded as a merge without others
        needs."""
        least = self._run.min_deposits
        try:
            names = [n for n in self._store.names_in(folder) if IterationLayout.is_branch(n)]
            return len(names) >= least and sum(self._succeeded(folder / n) for n in names) >= least
        except PoolrlError:
            return False

    def _succeeded(self, path: Path) -> bool:
        data = self._store.read_if_there(path)
        try:
            return data is not None and decode(data, UnitRecord).status == "done"
        except (Unreadable, NewerSchema):  # who merges says so
            return False

    def _has_stalled(self, now: float) -> bool:
        interval = max(HEARTBEAT_CHECK_SECONDS, self._run.stall_timeout / STALL_CHECKS)
        elapsed = now - self._last_check
        if elapsed < interval:
            return False
        self._last_check = now
        if self._has_progressed():
            self._seconds_without_progress = 0.0
        else:
            # Not all of the time if this process itself was stopped.
            self._seconds_without_progress += min(elapsed, 2 * interval)
        return self._seconds_without_progress >= self._run.stall_timeout

    def _has_progressed(self) -> bool:
        """Whether a record, an attempt or a merge is new since the last check."""
        iteration = max(0, self._activity.iteration)
        try:
            names = self._store.names_in(self._layout.iteration(iteration).folder)
        except PoolrlError:
            return False
        seen = (iteration, frozenset(name for name in names if name.endswith(".json")))
        progressed, self._seen = seen != self._seen, seen
        return progressed

    def _stall_reason(self) -> str:
        iteration, _ = self._seen
        activity = self._activity
        seconds = self._clock.time() - activity.since
        own = f"{activity.state} {activity.doing}".strip() + f" for {seconds:.0f} s"
        folder = self._layout.iteration(iteration).folder
        taken = IterationLayout.taken(self._store.names_in(folder))
        others = f"; claimed and not deposited: {', '.join(sorted(taken)[:5])}" if taken else ""
        return (
            f"{self._layout.root}: stalled: nothing new in iteration {iteration} for "
            f"{self._run.stall_timeout:g} s, this worker {own}{others}"
        )
