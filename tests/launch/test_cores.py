"""Layouts of workers and threads on the cores of a machine."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from poolrl.config.loading import load
from poolrl.config.merging import MergeSpec
from poolrl.config.run_options import RunOptions
from poolrl.config.schema import Spec
from poolrl.job_environment import JobEnvironment
from poolrl.launch.cores import CoreLayout, advice, core_layout, simulations, task_threads


def spec(**keys: Any) -> Spec:
    return load(None, {key.replace("__", "."): value for key, value in keys.items()})[0]


WIDE = spec(pool__count=10, pool__iterate_steps=4096, learner__segment_steps=64)
ONE = replace(WIDE, pool=replace(WIDE.pool, count=1))


@pytest.mark.parametrize(
    ("layout", "text"),
    [((1, 1), "1 worker"), ((1, 4), "1 worker of 4 threads"), ((10, 1), "10 workers")],
)
def test_layouts_as_text(layout: tuple[int, int], text: str) -> None:
    assert str(CoreLayout(*layout)) == text


@pytest.mark.parametrize(
    ("branches", "cores", "expected"),
    [(10, 2, (2, 1)), (10, 20, (10, 2)), (1, 10, (1, 10)), (10, 15, (10, 1)), (3, 8, (3, 2))],
)
def test_cores_go_to_branches_first(branches: int, cores: int, expected: tuple[int, int]) -> None:
    pool = replace(WIDE, pool=replace(WIDE.pool, count=branches))
    assert core_layout(pool, cores) == CoreLayout(*expected)


def test_what_is_asked_for_overrules() -> None:
    assert core_layout(WIDE, 8, workers=2) == CoreLayout(2, 4)
    assert core_layout(WIDE, 8, threads=3) == CoreLayout(8, 3)
    assert core_layout(WIDE, 2, workers=4) == CoreLayout(4, 1)
    assert core_layout(WIDE, 2, workers=99) == CoreLayout(10, 1)


@pytest.mark.parametrize(
    ("cores", "expected"), [(2, (2, 1)), (5, (5, 1)), (10, (5, 2)), (20, (5, 4))]
)
def test_fewer_branches_have_more_threads(cores: int, expected: tuple[int, int]) -> None:
    pool = replace(WIDE, pool=replace(WIDE.pool, count=20, later_count=5))
    assert core_layout(pool, cores) == CoreLayout(cores, 1)
    assert core_layout(pool, cores, later=True) == CoreLayout(*expected)
    assert core_layout(pool, cores, workers=2, later=True) == CoreLayout(2, cores // 2)
    assert core_layout(pool, cores, threads=3, later=True).threads == 3


def test_no_more_threads_than_simulations() -> None:
    assert simulations(WIDE) == 64
    assert core_layout(ONE, 100).threads == 64
    narrow = replace(ONE, task=replace(ONE.task, max_simulations=4))
    assert core_layout(narrow, 100).threads == 4
    episodes = spec(
        pool__count=1, pool__iterate_episodes=12, pool__evaluate_episodes=3,
        learner__episodes_per_update=8,
    )  # fmt: skip
    assert core_layout(episodes, 100).threads == 8
    together = replace(episodes, merge=MergeSpec(rule="update"), branches={})
    assert simulations(together) == 12
    steps = replace(together, pool=replace(together.pool, iterate_steps=4096))
    assert simulations(steps) == 8
    assert core_layout(spec(pool__count=1, task__id="CartPole-v1"), 100).threads == 1


def test_a_worker_that_is_alone_has_the_cores_of_its_task() -> None:
    at = JobEnvironment(launcher="SLURM", host="node", job="1_0", cores=4)
    by_hand = JobEnvironment(launcher="", host="here")
    assert task_threads(WIDE, RunOptions(), at) == 4
    assert task_threads(WIDE, RunOptions(threads=2), at) == 2
    assert task_threads(WIDE, RunOptions(), by_hand) == 1
    assert task_threads(WIDE, RunOptions(threads=2), by_hand) == 2


def test_branches_that_share_experience_are_one_line_of_training() -> None:
    assert advice(replace(WIDE, merge=MergeSpec(rule="update"), branches={}), 2) is None


def test_it_says_where_branches_take_turns() -> None:
    assert advice(WIDE, 10) is None
    assert advice(ONE, 1) is None
    text = advice(WIDE, 2)
    assert text is not None
    assert text.startswith("10 branches take turns on 2 cores")
    assert "one core" in (advice(WIDE, 1) or "")
