"""Requests to end this process, from a signal or from one of its threads.

A signal may arrive between any two instructions, so its handler only records it. The request takes
effect where no work is lost by it: in a section of code that was declared interruptible, or where
the main loop checks.

Simulators and their packages install signal handlers of their own. One that replaced these here
would keep Ctrl-C and the signals of a cluster from the process, so they are recorded and not
installed; in child processes of a fork they are.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from poolrl.errors import Stopped, TooLong

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP)

WAKE_UP: signal.Signals = getattr(signal, "SIGRTMAX", signal.SIGALRM)
"""Sent by a thread to make the main thread look at its request. SIGALRM is left to tasks, whose
timeouts are often made of it."""

SAME_REQUEST_SECONDS = 1.0
"""Signals within this time of the first are the same request: SLURM, a launcher and a terminal may
each pass on what one person asked for."""

FINISH_SECONDS = 5.0
"""Work that should be done within this time is finished before the process ends."""

REACTION_SECONDS = 10.0
"""Timeout for a process to end after a request by one of its own threads; then it is killed."""
REPEAT_SECONDS = 0.1
"""Interval of the interruptions of a section whose time is over."""

_Handler = Callable[[int, FrameType | None], Any] | int | None

_set_handler = signal.signal


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
        self._handlers: dict[int, _Handler] = {}
        # What others believe to be installed for the same signals.
        self._others: dict[int, _Handler] = {}
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
        self._handlers = {number: self._on_signal for number in SIGNALS}
        self._handlers[WAKE_UP] = self._on_wake_up
        if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
            del self._handlers[signal.SIGHUP]
        self._others = {number: signal.getsignal(number) for number in self._handlers}
        self.reinstall()
        signal.signal = self._signal  # type: ignore[assignment]
        os.register_at_fork(
            # A signal that reaches the child before its own handlers are installed would be lost.
            before=lambda: self._mask(signal.SIG_BLOCK),
            after_in_parent=lambda: self._mask(signal.SIG_UNBLOCK),
            after_in_child=self._uninstall,
        )
        self._installed = True

    def reinstall(self) -> None:
        """Install the handlers again, in place of those of a library that does not use Python's
        ``signal.signal``, and unblock their signals. Sections do so at their start and end."""
        for number, handler in self._handlers.items():
            _set_handler(number, handler)
        if self._handlers:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, self._handlers)

    def _signal(self, number: int, handler: Any, /) -> Any:
        """Replace ``signal.signal``: handlers of others for the signals of this one have no effect.

        Args and raises as ``signal.signal``.

        Returns:
            The handler that the caller has reason to expect.
        """
        previous = _set_handler(number, handler)  # raises what it raises
        if number not in self._handlers:
            return previous
        _set_handler(number, self._handlers[number])
        previous, self._others[number] = self._others[number], handler
        return previous

    def _mask(self, how: signal.Sigmasks) -> None:
        if signal.getsignal(WAKE_UP) == self._on_wake_up:
            signal.pthread_sigmask(how, self._handlers)

    def _uninstall(self) -> None:
        """In the child process of a fork: leave the signals to others, so that it can be ended as
        any process."""
        if signal.getsignal(WAKE_UP) != self._on_wake_up:  # another one was installed since
            return
        signal.signal = _set_handler
        for number, handler in self._handlers.items():
            if signal.getsignal(number) == handler:
                _set_handler(number, self._others[number] or signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self._handlers)
        self._handlers.clear()
        self._installed = False

    def request_stop(self, error: Stopped) -> None:
        """Request the end of the process from one of its daemon threads.

        Where the handlers are installed, this ends the process with the error's exit code if it has
        not reacted within ``REACTION_SECONDS``.
        """
        if self._error is None:
            self._error, self._requested_at = error, time.monotonic()
        if not self._installed:
            return
        os.kill(os.getpid(), WAKE_UP)
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
            os.kill(os.getpid(), WAKE_UP)

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
        self.reinstall()
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
            self.reinstall()

    @contextmanager
    def limited(self, seconds: float) -> Iterator[None]:
        """A section that is left at any instruction when its time is over; requests to end the
        process do not interrupt it.

        What goes on after an error, to close one thing after another, is interrupted again and
        again.

        Args:
            seconds: timeout; there is none where the handlers are not installed.

        Raises:
            TooLong: the time is over.
        """
        over = threading.Event()

        def wake_up() -> None:
            pause = seconds
            while not over.wait(pause):
                os.kill(os.getpid(), WAKE_UP)
                pause = REPEAT_SECONDS

        self._limit_ends = time.monotonic() + seconds
        if self._installed:
            threading.Thread(target=wake_up, daemon=True).start()
        try:
            yield
        finally:
            self._limit_ends = None
            over.set()

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
            # From now on SIGALRM is no longer the task's.
            self._handlers[signal.SIGALRM] = self._on_wake_up
            self._others[signal.SIGALRM] = _set_handler(signal.SIGALRM, self._on_wake_up)
            signal.setitimer(signal.ITIMER_REAL, FINISH_SECONDS)
            return
        self._in_section = False  # once: what was interrupted cleans up
        raise self._error

    def _on_wake_up(self, number: int, frame: FrameType | None) -> None:
        if self._limit_ends is not None and time.monotonic() >= self._limit_ends:
            raise TooLong("not done in time")
        if not self._in_section:
            return
        if self._error is not None:
            raise self._error
        if self._interruption is not None and self._interruption[0] == self._sections:
            raise self._interruption[1]


@contextmanager
def stoppable() -> Iterator[None]:
    """A section, usually a whole command, that a signal leaves by an exception, so that what it has
    made is closed.

    Raises:
        Stopped: the end of the process was requested.
    """
    interrupts = InterruptHandler()
    interrupts.install()
    with interrupts.interruptible():
        yield
