from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from run_data import data_path, read_run, read_runs, write_run
from scoring import counting, first_of_two, score_run, spread, target_position

from tests.helpers.benchmark_runs import run_of, units


@given(st.lists(st.booleans(), max_size=30))
def test_the_first_of_two_is_found_with_few_questions(at_target: list[bool]) -> None:
    asked = []

    def reached(index: int) -> bool:
        asked.append(index)
        return at_target[index]

    pairs = (i for i in range(len(at_target) - 1) if at_target[i] and at_target[i + 1])
    expected = next(pairs, None)
    assert first_of_two(len(at_target), reached) == expected
    lone = sum(at_target)
    assert len(asked) <= len(at_target) // 2 + 2 * lone
    if expected is not None:
        assert max(asked) <= expected + 1


@given(st.integers(0, 500), st.integers(2, 60))
def test_what_is_spread_has_both_ends(number: int, most: int) -> None:
    found = spread(number, most)
    assert len(found) == min(number, most)
    assert found == sorted(set(found))
    assert number == 0 or (found[0], found[-1]) == (0, number - 1)


def test_a_champion_counts_if_it_is_new_and_late_enough() -> None:
    branch = {"branch": units(10, 100, training=3.0, waiting=9.0)}
    run = run_of([branch] * 7)
    assert counting(run) == [0, 1, 2, 3, 4, 5, 6]
    assert counting(replace(run, score_every=3.0)) == [0, 1, 2, 3, 4, 5, 6]
    assert counting(replace(run, score_every=7.0)) == [2, 5]
    kept = list(run.iterations)
    kept[3] = replace(kept[3], champion=kept[2].champion)
    assert counting(replace(run, iterations=tuple(kept))) == [0, 1, 2, 4, 5, 6]
    assert counting(replace(run, score_every=7.0, iterations=tuple(kept))) == [2, 5]


def test_one_process_pays_for_its_training_alone() -> None:
    branch = {
        "branch": units(1, 100, 50, training=3.0, evaluation=5.0, pool=1.0),
        "parent": units(1, 0, 50, evaluation=5.0),
    }
    run = run_of([branch])
    assert run.charged(run.iterations[0]) == pytest.approx(14.0)
    run = replace(run, branches=1)
    assert run.charged(run.iterations[0]) == pytest.approx(3.0)


@given(st.lists(st.floats(0, 20), max_size=130))
def test_the_scores_that_are_measured_decide(values: list[float]) -> None:
    branch = {"branch": units(10, 100, training=3.0)}
    run = run_of([branch] * len(values))
    measured: dict[int, float] = {}

    def score(position: int) -> float:
        measured[position] = values[position]
        return values[position]

    score_run(run, score)
    known = tuple(
        replace(iteration, score=measured.get(position))
        for position, iteration in enumerate(run.iterations)
    )
    everything = tuple(
        replace(iteration, score=value)
        for iteration, value in zip(run.iterations, values, strict=True)
    )
    decided = target_position(replace(run, iterations=known))
    assert decided == target_position(replace(run, iterations=everything))
    assert target_position(replace(run, iterations=everything, target=None)) is None


def test_a_file_gives_back_its_run(tmp_path: Path) -> None:
    kinds = {"branch": units(2, 100, training=(3.5, 3.25)), "parent": units(1, 0, 7, evaluation=1)}
    run = run_of([kinds, kinds], [1.5, None], arm="update, size", target=None)
    path = data_path(tmp_path, run.task, run.arm, run.seed)
    assert path.name == "task-update-size-0.json"
    write_run(path, run)
    assert read_run(path) == run
    assert len(path.read_text().splitlines()) == 4
    write_run(data_path(tmp_path, "another", "arm", 3), replace(run, task="another", iterations=()))
    assert [each.task for each in read_runs(tmp_path)] == ["another", "task"]
