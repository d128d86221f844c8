"""Local workers: started, restarted, stopped."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from poolrl.config.run_options import RunOptions
from poolrl.launch.local import RESTARTS, LocalWorkers, usable_cores
from poolrl.pool.directory import Pool, make_pool
from tests.conftest import tiny_spec
from tests.helpers.waiting import until


@pytest.fixture
def endless(tmp_path: Path) -> Pool:
    """A pool that outlives the test."""
    return make_pool(tmp_path / "pool", tiny_spec(task__max_episode_steps=2000), RunOptions())


def local_workers(pool: Pool, iterations: int) -> LocalWorkers:
    arguments = ["--pool-directory", str(pool.layout.root), "--iterations", str(iterations)]
    return LocalWorkers(arguments, pool.layout.logs, pool.store)


def test_cores_are_those_that_this_process_may_use() -> None:
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)


def test_a_launcher_may_have_given_fewer_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    may = usable_cores()
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "1")
    assert usable_cores() == 1
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "4096")
    assert usable_cores() == may


def test_workers_end_with_their_pool(tiny_pool: Pool) -> None:
    workers = local_workers(tiny_pool, 2)
    workers.start(2)
    until(lambda: not workers.supervise())
    assert workers.failure() is None
    assert tiny_pool.layout.iteration(2).merge.exists()


def test_a_killed_worker_is_restarted_but_not_for_ever(endless: Pool) -> None:
    workers = local_workers(endless, 10**6)
    workers.start(1)
    killed = set()
    for _ in range(RESTARTS + 1):
        until(lambda: workers.supervise() and set(workers.process_ids()) - killed)
        (alive,) = workers.process_ids()
        killed.add(alive)
        os.kill(alive, signal.SIGKILL)
    until(lambda: not workers.supervise())
    assert len(killed) == RESTARTS + 1
    assert workers.failure() is not None


def test_progress_of_the_pool_renews_the_restarts(endless: Pool) -> None:
    workers = local_workers(endless, 10**6)
    workers.start(1)
    killed = set()
    for progress in range(RESTARTS + 2):
        until(lambda now=progress: workers.supervise(now) and set(workers.process_ids()) - killed)
        (alive,) = workers.process_ids()
        killed.add(alive)
        os.kill(alive, signal.SIGKILL)
    until(lambda: workers.supervise(RESTARTS + 1) and workers.process_ids())
    workers.stop()


def test_workers_that_are_killed_are_gone_at_once(endless: Pool) -> None:
    workers = local_workers(endless, 10**6)
    workers.start(2)
    until(endless.layout.iteration(1).merge.exists)
    workers.kill()
    until(lambda: not workers.process_ids())


def test_stopped_workers_are_gone(endless: Pool) -> None:
    workers = local_workers(endless, 10**6)
    workers.start(2)
    until(endless.layout.iteration(1).merge.exists)
    workers.stop()
    assert workers.process_ids() == []
    assert list(endless.layout.root.rglob("*.lease")) == []


def test_a_worker_that_cannot_work_says_why(tmp_path: Path) -> None:
    pool = make_pool(tmp_path / "pool", tiny_spec(task__id="Nowhere-v0"), RunOptions())
    workers = local_workers(pool, 1)
    workers.start(1)
    until(lambda: not workers.supervise())
    failure = workers.failure()
    assert failure is not None
    assert failure[0] == 2
    assert "Nowhere-v0" in failure[1]
