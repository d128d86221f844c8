"""Exceptions, each with the exit code that it has on the command line.

0 done, 1 failed, 2 usage, 3 stalled (a deadline passed), 4 incompatible or corrupt pool, 75
preempted (run the same command again), 130 interrupted.
"""

from __future__ import annotations

import difflib
import signal
from collections.abc import Iterable


class PoolrlError(Exception):
    """A failure that one line explains; the command line prints it without a traceback."""

    exit_code = 1


class UsageError(PoolrlError):
    """The user's input is wrong: a key, a value, a path, an id, an agent file."""

    exit_code = 2


def did_you_mean(name: str, known: Iterable[str], otherwise: str = "", cutoff: float = 0.6) -> str:
    """The end of a message about an unknown name: "did you mean …?" with the most similar one.

    Args:
        name: that is unknown.
        known: names that would be right; of equally similar ones the first is meant.
        otherwise: what is returned if none is similar.
        cutoff: similarity from 0 to 1 (``difflib.SequenceMatcher.ratio``) below which a name is
            not similar.
    """
    close = difflib.get_close_matches(name, known, n=1, cutoff=cutoff)
    return f"did you mean {close[0]}?" if close else otherwise


class IncompatiblePool(PoolrlError):
    """The directory holds another pool, a corrupt one, or one of a newer schema."""

    exit_code = 4


class Stopped(BaseException):
    """The end of this process was requested, or a deadline passed.

    Like KeyboardInterrupt it is no Exception, so that only the outermost caller handles it.
    """

    def __init__(self, exit_code: int, reason: str) -> None:
        """
        Args:
            exit_code: 75 preempted, 130 interrupted, 3 stalled; of a command that prints, 0 where
                its reader has gone and 1 where standard output cannot be written.
            reason: the name of the signal, or what happened.
        """
        super().__init__(reason)
        self.exit_code = exit_code
        self.reason = reason

    @classmethod
    def by(cls, number: int) -> Stopped:
        """The error for a signal."""
        return cls(130 if number == signal.SIGINT else 75, signal.Signals(number).name)


class TooLong(BaseException):
    """A unit of work took longer than the timeout of a branch.

    It is no Exception, so that the code of a task does not catch it as a failure of its own.
    """


class Divergence(PoolrlError):
    """Training or evaluation met NaN or infinity.

    It follows from the specification and the champion alone, so every worker would meet it: the
    unit of work is deposited as failed instead of being tried again.
    """


def one_line(error: BaseException) -> str:
    """``Type: message`` of an error, with all whitespace collapsed to single spaces."""
    return " ".join(f"{type(error).__name__}: {error}".split())
