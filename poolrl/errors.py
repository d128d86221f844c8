"""What can go wrong, and the exit code that says so to a shell.

0 done, 1 failed, 2 usage, 4 incompatible or corrupt pool, 75 preempted (run the same command
again), 130 interrupted.
"""

from __future__ import annotations


class PoolrlError(Exception):
    """A failure that one line explains; the command line prints it without a traceback."""

    exit_code = 1


class UsageError(PoolrlError):
    """The user's input is wrong: a key, a value, a path, an id, an agent file."""

    exit_code = 2


class IncompatiblePool(PoolrlError):
    """The directory holds another pool, a corrupt one, or one of a newer schema."""

    exit_code = 4


class Preempted(BaseException):
    """A signal asked us to end; the same command goes on. Like KeyboardInterrupt no Exception, so
    that nothing but the outermost caller takes it for a failure."""

    exit_code = 75


class Divergence(PoolrlError):
    """Training or evaluation met NaN or infinity.

    It follows from the specification and the champion alone, so every worker would meet it: the
    unit of work is deposited as failed instead of being tried again.
    """
