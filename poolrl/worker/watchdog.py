"""What a worker does besides its work: say that it lives, leave a unit that the others go on
without, and notice a pool in which nothing moves.

It does so in a thread, so that a unit that never ends is noticed too.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Literal

from poolrl.config.schema import RunOptions
from poolrl.errors import PoolrlError, Stopped, TooLong
from poolrl.interrupts import Stop
from poolrl.pool.timeouts import BEAT_SECONDS, TICK_SECONDS
from poolrl.records.records import Heartbeat, WorkerInfo, encode
from poolrl.storage import store
from poolrl.storage.layout import IterationLayout, Layout

log = logging.getLogger("poolrl.worker")

State = Literal["starting", "working", "merging", "waiting"]

LOOKS = 20
"""How often a pool is looked at in the time after which it counts as stalled."""


class Pulse:
    """The thread beside a worker."""

    def __init__(self, layout: Layout, info: WorkerInfo, stop: Stop, run: RunOptions) -> None:
        """
        Args:
            layout: of the pool.
            info: whose heartbeats they are.
            stop: where to interrupt the worker.
            run: how patient to be.
        """
        self._layout = layout
        self._info = info
        self._stop = stop
        self._run = run
        self._started = time.time()
        self._state: tuple[State, int, str, float] = ("starting", -1, "", self._started)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="pulse", daemon=True)
        self._told: tuple[State, int, str, float] | None = None
        self._seen: tuple[int, frozenset[str]] = (-1, frozenset())
        self._section: tuple[int | None, float] = (None, 0.0)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def end(self) -> None:
        """Take the heartbeat away: this worker leaves, and nobody need wonder where it is."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(timeout=TICK_SECONDS)
        try:
            store.remove(self._layout.heartbeat(self._info.id))
        except PoolrlError as error:
            log.warning("%s", error)

    def tell(self, state: State, iteration: int, doing: str = "") -> None:
        """Say what the worker does from now on."""
        if self._state[:3] != (state, iteration, doing):
            self._state = (state, iteration, doing, time.time())

    def _go_on(self) -> None:
        beaten = looked = time.monotonic()
        still = 0.0
        interval = max(TICK_SECONDS, self._run.stall_timeout / LOOKS)
        while not self._ended.wait(TICK_SECONDS):
            now = time.monotonic()
            if self._told != self._state or now - beaten >= BEAT_SECONDS:
                beaten = now
                self._beat()
            self._leave_overdue(now)
            if now - looked >= interval:
                # Not the whole of it where this process itself had been stopped.
                still = 0.0 if self._moved() else still + min(now - looked, 2 * interval)
                looked = now
                if still >= self._run.stall_timeout:
                    self._stop.request(Stopped(3, self._reason()))
                    return

    def _beat(self) -> None:
        state = self._state
        kind, iteration, doing, since = state
        beat = Heartbeat(
            worker=self._info,
            state=kind,
            iteration=iteration,
            doing=doing,
            since=since,
            beat=time.time(),
            started=self._started,
        )
        try:
            if self._told is None:
                store.make_folder(self._layout.workers, parents=False)
            store.replace(self._layout.heartbeat(self._info.id), encode(beat))
        except PoolrlError as error:
            if self._told is None:
                log.warning("no heartbeats: %s", error)
        self._told = state

    def _leave_overdue(self, now: float) -> None:
        """Have the worker leave a unit that takes longer than the timeout, if the iteration can go
        on without it: it may be the last worker there is."""
        timeout, section = self._run.branch_timeout, self._stop.section
        if timeout is None or section is None or section != self._section[0]:
            self._section = (section, now)
            return
        state, iteration, doing, _ = self._state
        if state != "working" or doing.startswith("closing") or now - self._section[1] <= timeout:
            return
        try:
            names = store.names_in(self._layout.iteration(iteration).folder)
        except PoolrlError:
            return
        if sum(IterationLayout.is_branch(name) for name in names) >= self._run.min_deposits:
            self._stop.interrupt(section, TooLong(f"not done after {timeout:g} s"))

    def _moved(self) -> bool:
        """Whether anything was deposited, tried or merged since the last look."""
        iteration = max(0, self._state[1])
        try:
            names = store.names_in(self._layout.iteration(iteration).folder)
        except PoolrlError:
            return False
        seen = (iteration, frozenset(name for name in names if name.endswith(".json")))
        moved, self._seen = seen != self._seen, seen
        return moved

    def _reason(self) -> str:
        iteration, _ = self._seen
        state, _, doing, since = self._state
        own = f"{state} {doing}".strip() + f" for {time.time() - since:.0f} s"
        taken = IterationLayout.taken(store.names_in(self._layout.iteration(iteration).folder))
        others = f"; claimed and not deposited: {', '.join(sorted(taken)[:5])}" if taken else ""
        return (
            f"{self._layout.root}: stalled: nothing new in iteration {iteration} for "
            f"{self._run.stall_timeout:g} s, this worker {own}{others}"
        )
