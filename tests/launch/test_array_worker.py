"""Workers without a launcher, all with the same command, as the tasks of an array are."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from poolrl.config.run_options import RunOptions
from poolrl.launch.requeue import AT_LIMIT
from poolrl.pool.directory import make_pool
from tests.conftest import tiny_spec
from tests.faults.checker import check
from tests.helpers.command_line import in_process, settings
from tests.helpers.processes import LONG, busy
from tests.helpers.waiting import TIMEOUT_SECONDS, until

ONE = ("run", "--one-worker")


def start(
    root: Path, *arguments: str, task: int | None = None, command: Sequence[str] = ONE
) -> subprocess.Popen[str]:
    variables = {name: value for name, value in os.environ.items() if "SLURM" not in name}
    if task is not None:
        variables |= {
            "SLURM_JOB_ID": str(100 + task),
            "SLURM_ARRAY_JOB_ID": "100",
            "SLURM_ARRAY_TASK_ID": str(task),
            "SLURM_ARRAY_TASK_MIN": "1",
            "SLURM_RESTART_COUNT": "2",
        }
    return subprocess.Popen(
        [sys.executable, "-m", "poolrl", *command, "--pool-directory", str(root), *arguments],
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(worker: subprocess.Popen[str], code: int = 0) -> str:
    """Wait until a worker ends; what it printed to stdout."""
    output, errors = worker.communicate(timeout=TIMEOUT_SECONDS)
    assert worker.returncode == code, output + errors
    assert errors == ""
    return output


def branches(output: str) -> list[int]:
    """The branches of iteration 1, in the order in which a worker did them."""
    return [int(b) for b in re.findall(r"iteration 1 branch-(\d+): score", output)]


def test_several_make_one_pool_and_one_leaves_its_result(tmp_path: Path) -> None:
    root = tmp_path / "pool"
    workers = [start(root, *settings(), "--iterations", "4") for _ in range(5)]
    outputs = [ended(worker) for worker in workers]
    assert check(root, iterations=4) == []
    assert sum("result: mean return" in output for output in outputs) == 1
    assert (root / "history.csv").exists()
    assert (root / "history.png").exists()


def test_one_that_comes_when_the_pool_has_ended_leaves_at_once(tmp_path: Path) -> None:
    root = tmp_path / "pool"
    ended(start(root, *settings(), "--iterations", "1"))
    (root / "history.csv").unlink()
    output = ended(start(root, *settings(), "--iterations", "1"))
    assert "the pool ended: 1 iteration is done" in output
    assert "score" not in output
    assert not (root / "history.csv").exists()


def test_a_task_begins_with_the_branch_of_its_number(tmp_path: Path) -> None:
    root = tmp_path / "pool"
    output = ended(start(root, *settings(), "--iterations", "1", task=3))
    assert branches(output) == [2, 0, 1]
    assert "SLURM 100_3, restarted 2 times" in output
    record = (root / "iterations" / "000001" / "branch-000.json").read_text()
    assert '"job":"100_3","restarts":2' in record


def test_so_does_a_worker_of_a_pool_that_is_there(tmp_path: Path) -> None:
    pool = make_pool(tmp_path / "pool", tiny_spec(), RunOptions(iterations=1))
    worker = start(pool.layout.root, task=2, command=["worker"])
    _, logged = worker.communicate(timeout=TIMEOUT_SECONDS)
    assert worker.returncode == 0, logged
    assert branches(logged) == [1, 2, 0]


def test_a_signal_gives_the_unit_back(tmp_path: Path) -> None:
    root = tmp_path / "pool"
    worker = start(root, *settings(**LONG), "--iterations", "1")
    until(lambda: busy(root))
    worker.send_signal(signal.SIGCONT)  # as SLURM does before
    worker.terminate()
    assert ended(worker, 75).splitlines()[-1].endswith("INFO stopped: SIGTERM")
    assert not busy(root)


def test_one_of_a_submission_makes_no_other_pool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(AT_LIMIT, "requeue")
    root = tmp_path / "moved"
    said = in_process(*ONE, "--pool-directory", root, *settings(), cwd=tmp_path)
    assert (said.returncode, said.stderr) == (2, f"poolrl: {root}: no such directory\n")
    assert not root.exists()


def test_it_starts_no_workers_and_so_takes_no_number_of_them(tmp_path: Path) -> None:
    worker = start(tmp_path / "pool", "--workers", "2")
    _, errors = worker.communicate(timeout=TIMEOUT_SECONDS)
    assert worker.returncode == 2
    assert "--one-worker and --workers: give one of them" in errors
    assert not (tmp_path / "pool").exists()
