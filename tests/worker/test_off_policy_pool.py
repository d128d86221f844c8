"""Pools of MPO: the same champions with any number of workers and threads, and after kills."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from poolrl.config.loading import load
from poolrl.config.run_options import RunOptions
from poolrl.config.schema import Spec
from poolrl.pool.directory import Pool, make_pool
from poolrl.pool.stop_criteria import StopCriteria
from poolrl.records.work_units import Unit
from poolrl.worker.loop import Worker
from tests.faults.checker import check, same_history
from tests.helpers.forks import serve, serve_with_kills
from tests.helpers.rules import COMMON

ITERATIONS = 3

KEYS = {key: value for key, value in COMMON.items() if not key.startswith("learner.")} | {
    "learner.name": "mpo",
    "learner.batch_size": 8,
    "learner.batches": 2,
    "learner.update_interval": 8,
    "learner.warmup_steps": 8,
    "learner.replay_start": 8,
    "learner.normalize_returns": True,
    "learner.muscles": 2,
}

RULES: dict[str, dict[str, object]] = {
    "best": {},
    "mean": {"merge.rule": "mean", "merge.step": 1.5, "merge.momentum": 0.5},
}

every_rule = pytest.mark.parametrize("rule", RULES)


def spec_of(rule: str) -> Spec:
    return load(None, KEYS | RULES[rule])[0]


def finished(root: Path, rule: str, **options: Any) -> Pool:
    pool = make_pool(root, spec_of(rule), RunOptions(ITERATIONS, **options))
    Worker(pool, StopCriteria(ITERATIONS), run=pool.run).run()
    return pool


@pytest.fixture(scope="module")
def undisturbed(memory_folder: Path) -> Callable[[str], Path]:
    """The pool of a rule that one worker with one thread has finished."""

    @cache
    def of(rule: str) -> Path:
        pool = finished(memory_folder / f"mpo {rule} alone", rule)
        record = pool.deposit_store().record(Unit(2, "branch", 0))
        assert record is not None
        assert record.status == "done", record.reason
        assert record.training is not None
        assert record.training.updates > 0
        assert check(pool.layout.root, iterations=ITERATIONS) == []
        return pool.layout.root

    return of


@every_rule
@pytest.mark.parametrize("workers", [2, 3])
def test_any_number_of_workers(
    memory_folder: Path, undisturbed: Callable[[str], Path], rule: str, workers: int
) -> None:
    root = memory_folder / f"mpo {rule} by {workers}"
    make_pool(root, spec_of(rule), RunOptions())
    serve(root, ITERATIONS, workers)
    assert same_history(undisturbed(rule), root) == []


def test_threads_and_replays_on_disk(
    memory_folder: Path, undisturbed: Callable[[str], Path]
) -> None:
    folder = memory_folder / "replays"
    folder.mkdir()
    root = memory_folder / "mpo with threads"
    pool = finished(root, "best", threads=3, replay_folder=str(folder))
    assert same_history(undisturbed("best"), pool.layout.root) == []
    assert list(folder.iterdir()) == []


@every_rule
def test_workers_that_are_killed(
    memory_folder: Path, undisturbed: Callable[[str], Path], rule: str
) -> None:
    root = memory_folder / f"mpo {rule} with kills"
    make_pool(root, spec_of(rule), RunOptions())
    assert serve_with_kills(root, ITERATIONS, 3, 8, seed=0) > 0
    assert same_history(undisturbed(rule), root) == []
    assert check(root, iterations=ITERATIONS) == []
