"""What this process shares with the code of others that runs in it, and needs unchanged.

A task, and the packages that it imports, may change the working directory, print to standard
output, replace ``sys.stdout``, or ignore the signals by which this process learns of its children.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from poolrl import output

_PATH = getattr(os, "O_PATH", os.O_RDONLY)  # needs no permission to read the directory

OWN_SIGNALS = (signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ)
"""Signals whose handlers are restored: without the first, exit codes of workers are lost; the
others would end this process where it expects an error. ``interrupts`` holds on to requests to end
the process."""


class ProcessState:
    """Lends the state of this process to the code of others.

    Its working directory is theirs while they run, and only then: a directory that they have
    changed to is the working directory again the next time, as they expect it. Constructors start
    where the import of their file ended, so that one can be called twice.
    """

    def __init__(self) -> None:
        self._depth = 0
        # Open directories: ours in a section; where others have changed to and from where; where
        # an import has changed to and from where.
        self._ours: int | None = None
        self._theirs: tuple[int, int] | None = None
        self._start: tuple[int, int] | None = None

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Run the code of others; sections may be nested."""
        if self._depth or threading.current_thread() is not threading.main_thread():
            yield
            return
        output.reserve()
        handlers = {number: signal.getsignal(number) for number in OWN_SIGNALS}
        streams = sys.stdout, sys.stderr
        self._depth += 1
        self._ours = ours = self._enter()
        try:
            yield
        finally:
            self._depth -= 1  # first: a signal may interrupt the rest
            self._ours = None
            self._leave(ours)
            sys.stdout, sys.stderr = streams
            for number, handler in handlers.items():
                if handler is not None and signal.getsignal(number) != handler:
                    signal.signal(number, handler)

    def imported(self) -> None:
        """Note, at the end of an import, where constructors start; within a section."""
        if self._ours is None:
            return
        for directory in self._start or ():
            os.close(directory)
        here = _working_directory()
        self._start = None if here is None else (here, os.dup(self._ours))

    def before_constructor(self) -> None:
        """Change to where constructors start; within a section."""
        if self._ours is None:
            return
        directory = self._ours
        if self._start is not None and _is_same(self._ours, self._start[1]):
            directory = self._start[0]
        with contextlib.suppress(OSError):
            os.fchdir(directory)

    def _enter(self) -> int | None:
        """Change to their directory; return the open directory to come back to."""
        ours = _working_directory()
        if ours is not None and self._theirs is not None and _is_same(ours, self._theirs[1]):
            with contextlib.suppress(OSError):
                os.fchdir(self._theirs[0])
        return ours

    def _leave(self, ours: int | None) -> None:
        """Come back to a directory."""
        if ours is None:
            return
        theirs = _working_directory()
        old, self._theirs = self._theirs, None
        for directory in old or ():
            os.close(directory)
        if theirs is None or _is_same(theirs, ours):
            os.close(ours)
            if theirs is not None:
                os.close(theirs)
            return
        with contextlib.suppress(OSError):
            os.fchdir(ours)
        self._theirs = theirs, ours


PROCESS_STATE = ProcessState()
"""Of this process."""


def _working_directory() -> int | None:
    try:
        return os.open(os.curdir, _PATH)
    except OSError:
        return None


def _is_same(one: int, other: int) -> bool:
    return os.path.samestat(os.fstat(one), os.fstat(other))
