"""How a process is asked to end: by a signal, by a thread of its own, and where it may act on it.

A signal may arrive between any two instructions, so its handler only notes it; what it asks for
happens where nothing is lost by it: in a stretch of work that was declared interruptible, or where
the loop checks.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from poolrl.errors import Stopped

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP)

SAME_SECONDS = 1.0
"""Signals within this time of the first are the same request: SLURM, a launcher and a terminal may
each pass on what one person asked for."""

FINISH_SECONDS = 5.0
"""Work that should be done within this time is finished before a process ends."""

PATIENCE_SECONDS = 10.0
"""How long a process that has been asked to end from within may take before it is ended."""


class Stop:
    """A request to end, made once and acted on where it does no harm.

    The first request is noted. Inside ``interruptible`` it is raised at once, unless what is being
    done there should be finished within ``FINISH_SECONDS``; elsewhere ``check`` raises it. A
    second signal ends the process there and then.
    """

    def __init__(self) -> None:
        self._error: Stopped | None = None
        self._listening = False
        self._asked = 0.0
        self._open = False
        self._sections = 0
        self._interruption: tuple[int, BaseException] | None = None
        self._until: float | None = None
        self.last_words: Callable[[], None] = lambda: None
        """What to do at a second signal before the process ends."""

    def listen(self) -> None:
        """Take the signals of this process, from its main thread. A hang-up stays ignored where it
        was, since that is what ``nohup`` means."""
        for number in SIGNALS:
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._on_signal)
        signal.signal(signal.SIGALRM, self._on_alarm)
        self._listening = True

    def request(self, error: Stopped) -> None:
        """Ask for the end from a daemon thread of this process, and see that it comes: a process
        that listens is ended if it has not reacted within ``PATIENCE_SECONDS``."""
        if self._error is None:
            self._error, self._asked = error, time.monotonic()
        if not self._listening:
            return
        os.kill(os.getpid(), signal.SIGALRM)
        time.sleep(PATIENCE_SECONDS)
        os._exit(error.exit_code)

    @property
    def section(self) -> int | None:
        """The number of the stretch of work that may be left just now; ``None`` outside of one."""
        return self._sections if self._open else None

    def interrupt(self, section: int, error: BaseException) -> None:
        """Raise an error in a stretch of work, from another thread; without effect where it is
        over, or where this process does not listen."""
        if self._listening:
            self._interruption = (section, error)
            os.kill(os.getpid(), signal.SIGALRM)

    def check(self) -> None:
        """Raise what was asked for.

        Raises:
            Stopped: somebody asked for the end.
        """
        if self._error is not None:
            raise self._error

    @contextmanager
    def interruptible(self, expected: float | None = None) -> Iterator[None]:
        """A stretch of work that may be left at any instant, everything in it being lost.

        Args:
            expected: seconds that it should take, where that is known.

        Raises:
            Stopped: somebody asked for the end, before or within.
        """
        self.check()
        self._until = time.monotonic() + expected if expected is not None else None
        self._sections += 1
        self._open = True
        try:
            if self._error is not None:  # between the check and here
                raise self._error
            yield
        finally:
            self._open = False

    def sleep(self, seconds: float) -> None:
        """Sleep, unless somebody asks for the end.

        Raises:
            Stopped: somebody did.
        """
        with self.interruptible():
            time.sleep(seconds)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._error is None:
            self._error, self._asked = Stopped.by(number), now
        elif now - self._asked > SAME_SECONDS:
            self.last_words()
            os._exit(self._error.exit_code)
        if not self._open:
            return
        if self._until is not None and 0.0 <= self._until - now <= FINISH_SECONDS:
            signal.setitimer(signal.ITIMER_REAL, FINISH_SECONDS)
            return
        raise self._error

    def _on_alarm(self, number: int, frame: FrameType | None) -> None:
        if not self._open:
            return
        if self._error is not None:
            raise self._error
        if self._interruption is not None and self._interruption[0] == self._sections:
            raise self._interruption[1]
