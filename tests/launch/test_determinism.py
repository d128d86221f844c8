"""The real learner on the real task: the champions do not depend on who works, nor on deaths."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from poolrl.monitoring.history import History
from poolrl.pool.directory import open_pool
from tests.helpers.waiting import TIMEOUT_SECONDS, until

ITERATIONS = 2
SMALL = ["--pool-count", "4", "--iterate-episodes", "8", "--evaluate-episodes", "4"]
SMALL += ["--iterations", str(ITERATIONS), "--seed", "3"]
SMALL += ["--set", "task.max_episode_steps=100", "--set", "pool.closing_episodes=4"]


def run(directory: Path, workers: int, *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "poolrl", "run", "--pool-directory", str(directory)]
    return subprocess.Popen([*command, *SMALL, "--workers", str(workers), *options])


def champions(directory: Path) -> list[str]:
    history = History(open_pool(directory))
    history.refresh()
    assert len(history.merges) == ITERATIONS + 1
    assert history.merges[-1].champion.kind == "branch"
    return [merge.champion.sha256 for merge in history.merges]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    directory = tmp_path_factory.mktemp("one") / "pool"
    assert run(directory, 1).wait(timeout=TIMEOUT_SECONDS) == 0
    return champions(directory)


@pytest.mark.parametrize("workers", [2, 3])
def test_any_number_of_workers(tmp_path: Path, workers: int, undisturbed: list[str]) -> None:
    assert run(tmp_path / "pool", workers).wait(timeout=TIMEOUT_SECONDS) == 0
    assert champions(tmp_path / "pool") == undisturbed


def test_any_number_of_threads(tmp_path: Path, undisturbed: list[str]) -> None:
    assert run(tmp_path / "pool", 2, "--threads", "4").wait(timeout=TIMEOUT_SECONDS) == 0
    assert champions(tmp_path / "pool") == undisturbed


def test_a_worker_that_is_killed_on_the_way(tmp_path: Path, undisturbed: list[str]) -> None:
    pool = tmp_path / "pool"
    running = run(pool, 2)
    leases = pool / "iterations" / "000001"
    found = until(
        lambda: [pid for lease in leases.glob("branch-*.lease") if (pid := holder(lease))]
    )
    os.kill(found[0], signal.SIGKILL)
    assert running.wait(timeout=TIMEOUT_SECONDS) == 0
    assert champions(pool) == undisturbed


def holder(lease: Path) -> int | None:
    """The process that a lease names; ``None`` where it has just been given back."""
    try:
        found = re.search(r"^pid=(\d+)$", lease.read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) if found else None
