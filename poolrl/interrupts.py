"""Requests to end this process, from a signal or from one of its threads.

A signal may arrive between any two instructions, so its handler only records it. The request takes
effect where no work is lost by it: in a section of code that was declared interruptible, or where
the main loop checks.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from poolrl.errors import Stopped, TooLong

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP)

SAME_REQUEST_SECONDS = 1.0
"""Signals within this time of the first are the same request: SLURM, a launcher and a terminal may
each pass on what one person asked for."""

FINISH_SECONDS = 5.0
"""Work that should be done within this time is finished before the process ends."""

REACTION_SECONDS = 10.0
"""Timeout for a process to end after a request by one of its own threads; then it is killed."""


class InterruptHandler:
    """A request to end the process, recorded once and raised where it does no harm.

    The first request is recorded. Within ``interruptible`` it is raised at once, unless the work
    there should be done within ``FINISH_SECONDS``; elsewhere ``check`` raises it. A second signal
    ends the process immediately.

    Attributes:
        before_forced_exit: called at a second signal, before the process ends.
    """

    def __init__(self) -> None:
        self.before_forced_exit: Callable[[], None] = lambda: None
        self._error: Stopped | None = None
        self._installed = False
        self._requested_at = 0.0
        self._in_section = False
        self._sections = 0
        self._interruption: tuple[int, BaseException] | None = None
        self._expected_end: float | None = None
        self._limit_ends: float | None = None

    def install(self) -> None:
        """Install the signal handlers; call it from the main thread.

        SIGHUP stays ignored where it was, since that is what ``nohup`` means.
        """
        for number in SIGNALS:
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._on_signal)
        signal.signal(signal.SIGALRM, self._on_alarm)
        self._installed = True

    def request_stop(self, error: Stopped) -> None:
        """Request the end of the process from one of its daemon threads.

        Where the handlers are installed, this ends the process with the error's exit code if it has
        not reacted within ``REACTION_SECONDS``.
        """
        if self._error is None:
            self._error, self._requested_at = error, time.monotonic()
        if not self._installed:
            return
        os.kill(os.getpid(), signal.SIGALRM)
        time.sleep(REACTION_SECONDS)
        os._exit(error.exit_code)

    @property
    def section(self) -> int | None:
        """The number of the current interruptible section; ``None`` outside of one."""
        return self._sections if self._in_section else None

    def interrupt(self, section: int, error: BaseException) -> None:
        """Raise an error in an interruptible section, from another thread.

        It has no effect if the section is over, or if the handlers are not installed.

        Args:
            section: the number that ``section`` returned.
            error: what to raise there.
        """
        if self._installed:
            self._interruption = (section, error)
            os.kill(os.getpid(), signal.SIGALRM)

    def check(self) -> None:
        """Raise the recorded request, if there is one.

        Raises:
            Stopped: the end of the process was requested.
        """
        if self._error is not None:
            raise self._error

    @contextmanager
    def interruptible(self, expected: float | None = None) -> Iterator[None]:
        """A section that may be left at any instruction; its work is lost then.

        Args:
            expected: duration in seconds, if known.

        Raises:
            Stopped: the end of the process was requested, before or within.
        """
        self.check()
        self._expected_end = time.monotonic() + expected if expected is not None else None
        self._sections += 1
        self._in_section = True
        try:
            if self._error is not None:  # between the check and here
                raise self._error
            yield
        finally:
            self._in_section = False

    @contextmanager
    def limited(self, seconds: float) -> Iterator[None]:
        """A section that is left at any instruction when its time is over; requests to end the
        process do not interrupt it.

        Args:
            seconds: timeout; there is none where the handlers are not installed.

        Raises:
            TooLong: the time is over.
        """
        timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGALRM))
        timer.daemon = True
        self._limit_ends = time.monotonic() + seconds
        if self._installed:
            timer.start()
        try:
            yield
        finally:
            self._limit_ends = None
            timer.cancel()

    def sleep(self, seconds: float) -> None:
        """Sleep until the time is over or the end of the process is requested.

        Raises:
            Stopped: it was requested.
        """
        with self.interruptible():
            time.sleep(seconds)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._error is None:
            self._error, self._requested_at = Stopped.by(number), now
        elif now - self._requested_at > SAME_REQUEST_SECONDS:
            self.before_forced_exit()
            os._exit(self._error.exit_code)
        if not self._in_section:
            return
        if self._expected_end is not None and 0.0 <= self._expected_end - now <= FINISH_SECONDS:
            signal.setitimer(signal.ITIMER_REAL, FINISH_SECONDS)
            return
        raise self._error

    def _on_alarm(self, number: int, frame: FrameType | None) -> None:
        if self._limit_ends is not None and time.monotonic() >= self._limit_ends:
            self._limit_ends = None
            raise TooLong("not done in time")
        if not self._in_section:
            return
        if self._error is not None:
            raise self._error
        if self._interruption is not None and self._interruption[0] == self._sections:
            raise self._interruption[1]
