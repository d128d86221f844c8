"""What can go wrong, and the exit code that says so to a shell.

0 done, 1 failed, 2 usage, 3 stalled (a deadline passed), 4 incompatible or corrupt pool, 75
preempted (run the same command again), 130 interrupted.
"""

from __future__ import annotations

import signal


class PoolrlError(Exception):
    """A failure that one line explains; the command line prints it without a traceback."""

    exit_code = 1


class UsageError(PoolrlError):
    """The user's input is wrong: a key, a value, a path, an id, an agent file."""

    exit_code = 2


class IncompatiblePool(PoolrlError):
    """The directory holds another pool, a corrupt one, or one of a newer schema."""

    exit_code = 4


class Stopped(BaseException):
    """Somebody asked this process to end, or a deadline did. Like KeyboardInterrupt no Exception,
    so that nothing but the outermost caller takes it for a failure."""

    def __init__(self, exit_code: int, reason: str) -> None:
        """
        Args:
            exit_code: 75 preempted, 130 interrupted, 3 stalled.
            reason: who asked, in a few words.
        """
        super().__init__(reason)
        self.exit_code = exit_code
        self.reason = reason

    @classmethod
    def by(cls, number: int) -> Stopped:
        """By a signal."""
        return cls(130 if number == signal.SIGINT else 75, signal.Signals(number).name)


class TooLong(BaseException):
    """A unit of work took longer than an iteration waits for it. No Exception, so that no task's
    own code takes it for its failure."""


class Divergence(PoolrlError):
    """Training or evaluation met NaN or infinity.

    It follows from the specification and the champion alone, so every worker would meet it: the
    unit of work is deposited as failed instead of being tried again.
    """
