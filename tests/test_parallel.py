"""Threads of a worker: the order of results, their errors, and the context of the caller."""

from __future__ import annotations

import threading
import warnings

import numpy as np
import pytest

from poolrl.parallel import in_threads, thread_count, use_threads


@pytest.mark.parametrize("threads", [1, 2, 3, 7, 40])
@pytest.mark.parametrize("items", [0, 1, 2, 5, 23])
def test_results_are_in_the_order_of_the_items(threads: int, items: int) -> None:
    with use_threads(threads):
        assert in_threads(lambda x: 2 * x, range(items)) == [2 * x for x in range(items)]


def test_items_are_computed_at_the_same_time() -> None:
    barrier = threading.Barrier(3, timeout=30)
    with use_threads(3):
        in_threads(lambda _: barrier.wait(), range(3))


def test_outside_there_is_one_thread() -> None:
    with use_threads(4):
        assert thread_count(9) == 4
    assert thread_count(9) == 1
    names = set(in_threads(lambda _: threading.current_thread().name, range(5)))
    assert names == {threading.current_thread().name}


def test_the_first_error_is_raised() -> None:
    def fail(number: int) -> None:
        if number in (2, 4):
            raise ValueError(number)

    with use_threads(5), pytest.raises(ValueError, match="2"):
        in_threads(fail, range(5))


def test_overflow_is_handled_as_by_the_caller() -> None:
    large = np.full(4, 1e38, np.float32)
    with use_threads(4), np.errstate(over="ignore"), warnings.catch_warnings():
        warnings.simplefilter("error")
        results = in_threads(lambda _: large * large, range(4))
    assert np.isinf(results).all()
