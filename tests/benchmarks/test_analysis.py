from __future__ import annotations

import numpy as np
import pytest
from analysis import (
    final_score,
    geometric_interval,
    median_curve,
    own_cost,
    ratio_interval,
    score_at,
    time_to_target,
    worst_to_median,
)
from hypothesis import given
from hypothesis import strategies as st
from timing import Timing

from tests.helpers.benchmark_runs import run_of, units

TIMES = st.lists(st.floats(0.01, 1000), min_size=1, max_size=6)


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def test_a_run_that_does_not_reach_the_target_is_censored() -> None:
    seconds = np.array([1.0, 3.0, 6.0])
    assert time_to_target(seconds, 1) == (3.0, True)
    assert time_to_target(seconds, None) == (6.0, False)


@given(TIMES, TIMES)
def test_a_ratio_is_the_geometric_mean_over_all_pairs(a: list[float], b: list[float]) -> None:
    found = ratio_interval(a, b, np.random.default_rng(0))
    pairs = np.array([x / y for x in a for y in b])
    assert found.value == pytest.approx(np.exp(np.log(pairs).mean()))
    assert pairs.min() * (1 - 1e-9) <= found.low <= found.high <= pairs.max() * (1 + 1e-9)
    if len(a) == len(b) == 1:
        assert found.low == found.high == pytest.approx(found.value)


def test_an_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        a, b = np.exp(generator.normal(0.5, 0.3, 10)), np.exp(generator.normal(0, 0.3, 10))
        found = ratio_interval(list(a), list(b), generator)
        covered += found.low <= np.exp(0.5) <= found.high
    assert 170 <= covered <= 199  # percentile intervals of ten seeds are a little narrow


def test_both_arms_are_resampled(generator: np.random.Generator) -> None:
    spread, fixed = [1.0, 4.0], [1.0, 1.0]
    assert ratio_interval(spread, fixed, generator)[1:] == pytest.approx((1.0, 4.0))
    assert ratio_interval(fixed, spread, generator)[1:] == pytest.approx((0.25, 1.0))
    assert geometric_interval(spread, generator) == pytest.approx((2.0, 1.0, 4.0))


def test_collapse_is_how_far_the_worst_is_below_the_median() -> None:
    assert worst_to_median([100, 95, 110, 40, 101]) == pytest.approx(0.6)
    assert worst_to_median([-100, -120, -90]) == pytest.approx(0.2)
    assert worst_to_median([3.0]) == 0


def test_the_final_score_is_the_last_that_was_measured() -> None:
    branch = {"branch": units(1, 1, training=1)}
    assert final_score(run_of([branch] * 3, [1.0, 2.0, None])) == 2.0
    assert final_score(run_of([branch] * 3)) is None


def test_the_score_at_a_time_is_the_last_one_by_then() -> None:
    run = run_of([{"branch": units(1, 1, training=1)}] * 4, [1.0, None, 3.0, 4.0])
    seconds = np.array([1.0, 2.0, 3.0, 4.0])
    found = [score_at(run, seconds, at) for at in (0.5, 1, 2.5, 3, 9)]
    assert found == [None, 1.0, 1.0, 3.0, 4.0]


def test_the_pools_own_cost_is_a_share_of_the_workers_time() -> None:
    work = {"branch": units(2, 1, 1, training=6, evaluation=2, pool=0.5)}
    overhead = {"claim": (0.5, 0.1), "merge": (0.5, 0.1), "waiting": (1.0, 0.0)}
    timing = Timing("t", "a", 1, 1, 0, 2, 1, False, "", 1, 10.0, work, overhead, 0.0)
    assert own_cost([timing, timing]) == pytest.approx((0.1, 0.1))
    assert own_cost([]) == (0, 0)


def test_a_median_curve_ends_with_the_shortest_run() -> None:
    curves = [
        (np.array([0.0, 2.0]), np.array([0.0, 2.0])),
        (np.array([0.0, 4.0]), np.array([8.0, 8.0])),
        (np.array([1.0, 3.0]), np.array([1.0, 1.0])),
    ]
    grid, median = median_curve(curves, 3)
    np.testing.assert_allclose(grid, [1, 1.5, 2])
    np.testing.assert_allclose(median, [1, 1.5, 2])
