from __future__ import annotations

import numpy as np
import pytest
from costs import (
    Costs,
    amdahl,
    iteration_seconds,
    layout_of,
    makespan,
    median_rates,
    of_run,
    rates_of,
    training_seconds,
    with_threads,
)
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from timing import Layout, Timing, read_timings, write_timings

from poolrl.config.loading import load
from poolrl.launch.cores import core_layout, simulations
from tests.helpers.benchmark_runs import run_of, units

SECONDS = st.floats(0.001, 100)


# List scheduling


def test_with_a_core_a_branch_the_parent_waits_for_a_free_one() -> None:
    branches = [5.0] * 9 + [3.0]
    assert makespan(branches, [1.0], [], 10) == 5.0
    assert makespan(branches, [3.0], [], 10) == 6.0
    assert makespan(branches, [3.0], [], 11) == 5.0


def test_candidates_wait_for_the_parent_and_an_update_does_not() -> None:
    branches = [5.0, 5.0]
    assert makespan(branches, [2.0], [4.0], 2) == 11.0
    assert makespan(branches, [2.0], [4.0], 2, overlaps=True) == 9.0
    assert makespan(branches, [2.0], [4.0] * 3, 2) == 15.0
    assert makespan(branches, [2.0], [4.0], 1, overlaps=True) == 16.0


@given(
    st.lists(SECONDS, min_size=1, max_size=12),
    st.lists(SECONDS, max_size=1),
    st.lists(SECONDS, max_size=4),
    st.integers(1, 15),
    st.booleans(),
)
def test_a_schedule_is_between_its_bounds(
    branches: list[float], parent: list[float], second: list[float], workers: int, overlaps: bool
) -> None:
    seconds = makespan(branches, parent, second, workers, overlaps=overlaps)
    work = sum(branches) + sum(parent) + sum(second)
    longest = max(branches) + max(second, default=0.0)
    assert max(work / workers, longest) <= seconds * (1 + 1e-9)
    assert seconds <= work * (1 + 1e-9)
    assert makespan(branches, parent, second, 1, overlaps=overlaps) == pytest.approx(work)
    # Graham (1966): list scheduling is at most that far from the best, in each stage.
    stages = max([*branches, *parent]) + max(second, default=0.0)
    assert seconds <= (work / workers + stages) * (1 + 1e-9)


# Threads


@given(SECONDS, st.floats(0, 1), st.integers(1, 20))
def test_amdahl_is_exact_where_it_holds(total: float, serial: float, threads: int) -> None:
    def seconds(threads: int) -> float:
        return total * (serial + (1 - serial) / threads)

    assert amdahl(seconds(1), seconds(2), threads) == pytest.approx(seconds(threads))


def test_threads_neither_cost_time_nor_do_more_than_their_share() -> None:
    assert amdahl(1.0, 1.3, 10) == 1.0
    assert amdahl(1.0, 0.4, 10) == pytest.approx(0.1)


def test_the_overhead_has_no_threads() -> None:
    one = rates_of({"branch": units(10, 100, 50, training=10, evaluation=4, pool=1, merge=2)}, 2)
    two = rates_of({"branch": units(10, 100, 50, training=6, evaluation=4, pool=3, merge=5)}, 2)
    ten = with_threads(one, two, 10)
    assert ten.step["branch", "training"] == pytest.approx((2 + 8 / 10) / 1000)
    assert ten.step["branch", "evaluation"] == pytest.approx(4 / 500)
    assert (ten.unit, ten.merge) == (one.unit, one.merge) == ({"branch": 0.1}, 1.0)


@given(st.integers(1, 30), st.integers(1, 12), st.integers(1, 16))
def test_a_layout_is_that_of_a_run(cores: int, branches: int, episodes: int) -> None:
    keys = {
        "task.id": "HalfCheetah-v5",
        "pool.count": branches,
        "pool.iterate_episodes": episodes,
        "pool.evaluate_episodes": episodes,
    }
    spec, _ = load(None, keys | {"learner.episodes_per_update": episodes})
    assert layout_of(cores, branches, simulations(spec)) == tuple(core_layout(spec, cores))


# Costs


KINDS = {
    "branch": units(10, 1000, 100, training=10, evaluation=1, pool=0.5, merge=0.2),
    "candidate": units(3, 0, 100, evaluation=0.3, pool=0.15, merge=0.06),
    "parent": units(1, 0, 100, evaluation=0.1, pool=0.05),
}


def test_an_iteration_is_the_sum_of_its_stages_and_its_merge() -> None:
    rates = rates_of(KINDS, 1)
    assert iteration_seconds(KINDS, rates, 1, overlaps=False) == pytest.approx(12.36)
    # Ten branches side by side, then the parent, then three candidates, then the merge.
    expected = 1.15 + 0.15 + 0.17 + 0.2
    assert iteration_seconds(KINDS, rates, 10, overlaps=False) == pytest.approx(expected)
    assert training_seconds(KINDS, rates) == pytest.approx(10)


def test_units_with_more_steps_take_longer() -> None:
    rates = rates_of(KINDS, 1)
    longer = dict(KINDS) | {"branch": replace(KINDS["branch"], training=tuple([1000] * 9 + [3000]))}
    expected = 3.15 + 0.17 + 0.2  # the parent is evaluated beside the longest branch
    assert iteration_seconds(longer, rates, 10, overlaps=False) == pytest.approx(expected)


def test_the_median_of_repeats_is_taken_number_by_number() -> None:
    repeats = [
        rates_of({"branch": units(1, 1, 1, training=a, evaluation=b, pool=1, merge=1)}, 1)
        for a, b in ((1, 9), (2, 7), (8, 8))
    ]
    step = median_rates(repeats).step
    assert (step["branch", "training"], step["branch", "evaluation"]) == (2, 8)


def timing_of(layout: Layout, wall: float, factor: float = 1.0, repeat: int = 0) -> Timing:
    """Two iterations like ``KINDS``; training and evaluation take so many times as long."""
    kinds = {
        kind: replace(
            each,
            count=2 * each.count,
            seconds={
                phase: (2 * w * (1 if phase in ("pool", "merge") else factor), 2 * c)
                for phase, (w, c) in each.seconds.items()
            },
        )
        for kind, each in KINDS.items()
    }
    return Timing(
        *("task", "arm", *layout, repeat, 10, 8, False, "", 2, wall, kinds, {}, 0.0),
    )


def test_a_layout_that_was_timed_takes_what_was_measured() -> None:
    run = run_of([KINDS] * 3)
    costs = Costs([timing_of(Layout(1, 1), 25.0), timing_of(Layout(2, 1), 14.0)])
    assert costs.check(Layout(1, 1)) == pytest.approx(2 * 12.36 / 25)
    np.testing.assert_allclose(costs.seconds(run, Layout(1, 1)), [12.5, 25.0, 37.5])
    np.testing.assert_allclose(costs.seconds(run, Layout(2, 1)), [7.0, 14.0, 21.0])
    np.testing.assert_allclose(costs.seconds(run, Layout(10, 1)), np.arange(1, 4) * 1.67)
    assert costs.check(Layout(10, 1)) is None


def test_one_process_has_threads_and_is_charged_for_training_alone() -> None:
    branch = {"branch": units(1, 1000, 100, training=10, evaluation=1, pool=0.5)}
    run = run_of([branch] * 2, branches=1)
    timings = [
        replace(timing_of(Layout(1, threads), 1.0), branches=1, iterations=1, units=branch)
        for threads in (1, 2)
    ]
    half = {"branch": replace(branch["branch"], seconds={"training": (6.0, 6.0)})}
    timings[1] = replace(timings[1], units=half)
    costs = Costs(timings)
    np.testing.assert_allclose(costs.seconds(run, Layout(1, 1)), [10, 20])
    np.testing.assert_allclose(costs.seconds(run, Layout(1, 2)), [6, 12])
    np.testing.assert_allclose(costs.seconds(run, Layout(1, 8)), [3, 6])
    assert costs.fastest_layout(run, 8) == (1, 8)


def test_without_timed_runs_the_cpu_seconds_of_the_run_are_taken() -> None:
    kinds = {"branch": units(10, 1000, training=(99, 10), pool=(9, 1))}
    run = run_of([kinds] * 2)
    assert of_run(run).step["branch", "training"] == pytest.approx(10 / 10_000)
    costs = Costs([], run)
    np.testing.assert_allclose(costs.seconds(run, Layout(1, 1)), [11, 22])
    np.testing.assert_allclose(costs.seconds(run, Layout(10, 1)), [1.1, 2.2])
    assert costs.seconds(run, Layout(10, 2)) is None


def test_fewer_branches_than_workers_have_more_threads() -> None:
    kinds = {"branch": units(10, 1000, training=10)}
    few = {"branch": units(2, 1000, training=2)}
    run = run_of([kinds, few])
    branch = {"branch": units(1, 1000, training=8)}
    alike = [
        replace(timing_of(Layout(1, threads), 1.0), iterations=1, units=units_)
        for threads, units_ in ((1, branch), (2, {"branch": units(1, 1000, training=6)}))
    ]
    assert Costs([], run).seconds(run, Layout(10, 1)) is None  # what threads gain is not known
    costs = Costs([], run, alike)
    # Half of it is serial, so that five threads take 0.6 of the time.
    np.testing.assert_allclose(costs.seconds(run, Layout(10, 1)), [1.0, 1.6])
    np.testing.assert_allclose(costs.seconds(run, Layout(1, 1)), [10.0, 12.0])


def test_timings_are_read_as_they_were_written(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("timings") / "timing.json"
    assert read_timings(path) == []
    timings = [timing_of(Layout(1, 1), 25.0), timing_of(Layout(2, 1), 14.0, repeat=1)]
    write_timings(path, timings)
    assert read_timings(path) == timings
    (first, second) = timings[0].by_iteration()
    assert first["branch"].training_steps == second["branch"].training_steps == [1000] * 10
    assert first["candidate"].evaluation_steps == [100] * 3
