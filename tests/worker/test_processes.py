"""The whole loop with real processes: any number of workers, and workers that are killed."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from poolrl.config.run_options import RunOptions
from poolrl.monitoring.history import History
from poolrl.pool.directory import Pool, make_pool
from tests.conftest import tiny_spec
from tests.helpers.pools import champions
from tests.helpers.processes import ITERATIONS, doomed, leftovers, run, start
from tests.helpers.waiting import TIMEOUT_SECONDS, until


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    pool = run(tmp_path_factory.mktemp("undisturbed") / "pool", workers=1)
    assert len(champions(pool)) == ITERATIONS + 1
    assert leftovers(pool) == []
    return champions(pool)


@pytest.mark.parametrize("workers", [2, 3, 5])
def test_any_number_of_workers_gives_the_same_champions(
    tmp_path: Path, workers: int, undisturbed: list[str]
) -> None:
    pool = run(tmp_path / "pool", workers)
    assert champions(pool) == undisturbed
    assert leftovers(pool) == []
    history = History(pool)
    history.refresh()
    # initial, then three branches and the parent an iteration, then the closing evaluation
    assert len(history.units) == 1 + 4 * ITERATIONS + 1
    assert history.closing is not None


@pytest.mark.parametrize(
    "point",
    ["in a unit", "between agent and record", "before the merge", "while removing losers"],
)
def test_a_killed_workers_unit_is_taken_over(
    tmp_path: Path, point: str, undisturbed: list[str]
) -> None:
    pool = make_pool(tmp_path / "pool", tiny_spec(), RunOptions())
    victim = doomed(pool, point, count=3)
    victim.communicate(timeout=TIMEOUT_SECONDS)
    assert victim.returncode == -signal.SIGKILL
    assert len(champions_so_far(pool)) < len(undisturbed)
    survivor = start(pool)
    _, said = survivor.communicate(timeout=TIMEOUT_SECONDS)
    assert survivor.returncode == 0, said.decode()
    assert champions(pool) == undisturbed


def champions_so_far(pool: Pool) -> list[int]:
    return [
        iteration
        for iteration in pool.deposit_store().iterations()
        if pool.layout.iteration(iteration).merge.exists()
    ]


def test_workers_are_killed_while_another_lives(tmp_path: Path) -> None:
    spec = tiny_spec(task__max_episode_steps=1500)  # so that every worker gets something to do
    calm = run(tmp_path / "calm", 1, spec)
    pool = make_pool(tmp_path / "pool", spec, RunOptions())
    victims = [doomed(pool, "in a unit", 1), doomed(pool, "between agent and record", 1)]
    survivor = start(pool)
    _, said = survivor.communicate(timeout=TIMEOUT_SECONDS)
    assert survivor.returncode == 0, said.decode()
    for victim in victims:
        victim.communicate(timeout=TIMEOUT_SECONDS)
        assert victim.returncode == -signal.SIGKILL
    assert champions(pool) == champions(calm)


def test_a_finished_pool_is_extended_and_a_finished_one_left_alone(
    tmp_path: Path, undisturbed: list[str]
) -> None:
    pool = make_pool(tmp_path / "pool", tiny_spec(), RunOptions())
    for iterations in (2, 2, ITERATIONS):
        worker = start(pool, iterations)
        worker.communicate(timeout=TIMEOUT_SECONDS)
        assert worker.returncode == 0
    assert champions(pool) == undisturbed


def test_a_worker_that_is_asked_to_stop_leaves_its_claim(tmp_path: Path) -> None:
    # Episodes so long that the signal finds the worker inside a branch.
    spec = tiny_spec(task__max_episode_steps=2_000_000)
    pool = make_pool(tmp_path / "pool", spec, RunOptions())
    worker = start(pool)
    lease = pool.layout.iteration(0).folder / "initial-000.lease"
    until(lease.exists)
    time.sleep(0.2)
    worker.terminate()
    worker.communicate(timeout=TIMEOUT_SECONDS)
    assert worker.returncode == 75
    assert not lease.exists()
    assert os.listdir(lease.parent) == []
