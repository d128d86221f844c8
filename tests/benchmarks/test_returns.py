"""Returns at equal steps: what is computed for more cores than there are."""

from __future__ import annotations

import pytest
from returns import share_of_one
from run_data import Units
from timing import Timing


def timing_of(threads: int, seconds: float) -> Timing:
    """One process that trained 1,000 steps in so many seconds."""
    units = Units(1, (1000,), (10,), {"training": (seconds, seconds), "pool": (9.0, 9.0)})
    return Timing(
        *("task", "one", 1, threads, 0, 1, 64, False, "", 1, 1.0, {"branch": units}, {}, 0.0),
    )


def test_ten_cores_take_their_share_of_what_threads_gain() -> None:
    timings = [timing_of(1, 10.0), timing_of(2, 6.0)]  # a fifth of it is serial
    assert share_of_one(timings, 1) == 1
    assert share_of_one(timings, 2) == pytest.approx(0.6)
    assert share_of_one(timings, 10) == pytest.approx(0.2 + 0.8 / 10)


def test_what_was_not_timed_is_not_known() -> None:
    assert share_of_one([], 10) is None
    assert share_of_one([timing_of(1, 10.0)], 10) is None
