"""Threads that step the simulations of a batch; any number of them gives the same bits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_THREADS: ContextVar[int] = ContextVar("threads", default=1)


@contextmanager
def use_threads(count: int) -> Iterator[None]:
    """Let batches that are made within use this many threads.

    It is a context rather than an argument, so that tasks of users' own need not pass it on.
    """
    token = _THREADS.set(count)
    try:
        yield
    finally:
        _THREADS.reset(token)


def batch_threads(num_simulations: int) -> int:
    """Number of threads for a batch of so many simulations, at most one each."""
    return max(1, min(_THREADS.get(), num_simulations))
