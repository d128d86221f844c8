"""Threads of a worker, for what splits into parts that do not depend on each other.

How many there are never changes a result: what is split, and in which order parts are summed,
follows from the specification. NumPy and ``mujoco.batch`` release the interpreter's lock in loops
over large arrays, so that threads of one process do most of their work side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from functools import cache
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

_THREADS: ContextVar[int] = ContextVar("threads", default=1)


@contextmanager
def use_threads(count: int) -> Iterator[None]:
    """Let what is called within use this many threads, the caller's among them.

    It is a context rather than an argument, so that tasks of users' own need not pass it on.
    """
    token = _THREADS.set(count)
    try:
        yield
    finally:
        _THREADS.reset(token)


def thread_count(parts: int) -> int:
    """Number of threads for so many parts, at most one each."""
    return max(1, min(_THREADS.get(), parts))


def in_threads(function: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Call a function with each item, in the threads of ``use_threads``.

    Consecutive items are one thread's, about equally many each.

    Args:
        function: may be called from several threads at the same time, with different items.
        items: in the order of the results.

    Raises:
        Exception: what the function raises; of several, that of the first item.
    """
    threads = thread_count(len(items))
    if threads == 1:
        return [function(item) for item in items]

    def call(number: int) -> list[R]:
        first, end = (len(items) * k // threads for k in (number, number + 1))
        return [function(item) for item in items[first:end]]

    # NumPy's handling of overflows is part of the context.
    others = [
        _executor(threads - 1).submit(copy_context().run, call, number)
        for number in range(1, threads)
    ]
    results = call(0)
    for other in others:
        results += other.result()
    return results


@cache
def _executor(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="poolrl")
