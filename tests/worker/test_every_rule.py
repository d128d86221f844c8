"""Every merge rule gives the same champions with any workers and threads, and after kills."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from poolrl.config.run_options import RunOptions
from poolrl.pool.directory import make_pool
from tests.faults.checker import check, same_history
from tests.faults.situations import SITUATIONS
from tests.helpers import rules
from tests.helpers.forks import serve, serve_with_kills
from tests.helpers.rules import ITERATIONS, finished, merges, spec_of

KILLS = 12

RULES = rules.RULES | rules.NETWORK_RULES

every_rule = pytest.mark.parametrize("rule", RULES)


@pytest.fixture(scope="module")
def undisturbed(memory_folder: Path) -> Callable[[str], Path]:
    """The pool of a rule that one worker with one thread has finished."""

    @cache
    def of(rule: str) -> Path:
        pool = finished(memory_folder / f"{rule} alone", rule)
        assert {merged.rule for merged in merges(pool)} == RULES[rule].merges | {"initial"}
        assert check(pool.layout.root, iterations=ITERATIONS) == []
        return pool.layout.root

    return of


@every_rule
@pytest.mark.parametrize("workers", [pytest.param(2, marks=pytest.mark.full), 3])
def test_any_number_of_workers(
    memory_folder: Path, undisturbed: Callable[[str], Path], rule: str, workers: int
) -> None:
    root = memory_folder / f"{rule} by {workers}"
    make_pool(root, spec_of(rule), RunOptions())
    serve(root, ITERATIONS, workers)
    assert same_history(undisturbed(rule), root) == []
    records = [json.loads(path.read_text()) for path in root.glob("iterations/*/*-???.json")]
    assert len({record["worker"]["id"] for record in records}) > 1


@every_rule
@pytest.mark.parametrize("threads", [pytest.param(2, marks=pytest.mark.full), 4])
def test_any_number_of_threads(
    memory_folder: Path, undisturbed: Callable[[str], Path], rule: str, threads: int
) -> None:
    pool = finished(memory_folder / f"{rule} with {threads}", rule, threads=threads)
    assert same_history(undisturbed(rule), pool.layout.root) == []


def compare_with_kills(folder: Path, reference: Path, rule: str, kills: int, seed: int) -> None:
    """Kill workers at random instants, and compare with a pool that was left alone."""
    root = folder / f"{rule} with kills {seed}"
    make_pool(root, spec_of(rule), RunOptions())
    assert serve_with_kills(root, ITERATIONS, 3, kills, seed) > 0  # a fast machine ends early
    assert same_history(reference, root) == []
    assert check(root, iterations=ITERATIONS) == []


@every_rule
def test_workers_that_are_killed(
    memory_folder: Path, undisturbed: Callable[[str], Path], rule: str
) -> None:
    compare_with_kills(memory_folder, undisturbed(rule), rule, KILLS, seed=0)


@pytest.mark.full
@every_rule
@pytest.mark.parametrize("seed", range(1, 6))
def test_workers_that_are_killed_at_many_instants(
    memory_folder: Path, undisturbed: Callable[[str], Path], rule: str, seed: int
) -> None:
    compare_with_kills(memory_folder, undisturbed(rule), rule, 4 * KILLS, seed)


@every_rule
def test_the_fault_harness_has_its_files(rule: str) -> None:
    assert RULES[rule].situation in SITUATIONS
