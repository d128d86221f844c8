"""Tasks that SLURM cancels, requeues or ends at their time limit."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.faults.checker import check, same_history
from tests.helpers.waiting import until
from tests.slurm.cluster import Cluster
from tests.slurm.jobs import (
    Locally,
    deposits,
    deposits_by_worker,
    merged,
    said,
    sleepy,
    submit,
    wait_for_merge,
    workers_on,
)


def running(slurm: Cluster) -> int:
    """The number of workers on all nodes."""
    return sum(len(workers_on(slurm, node)) for node in slurm.nodes)


def leases(root: Path) -> list[Path]:
    return [p for p in root.glob("iterations/*/*.lease") if not p.with_suffix(".json").exists()]


def test_tasks_that_are_cancelled_or_requeued_are_done_without(
    slurm: Cluster, tmp_path: Path, local: Locally
) -> None:
    root = tmp_path / "pool"
    arguments = sleepy(5)
    reference = local(arguments)
    job = submit(slurm, root, arguments, "--array=0-3")
    wait_for_merge(root, 0)
    until(lambda: len([p for p in leases(root) if "branch" in p.name]) == 4, "four at work")
    slurm.command("scancel", f"{job}_1")
    slurm.command("scancel", "--signal=USR1", "--batch", f"{job}_2")
    slurm.command("scontrol", "requeue", f"{job}_3")
    slurm.hurry(f"{job}_3")
    tasks = slurm.wait(job, 4)
    assert {number: (task.state, task.exit_code) for number, task in tasks.items()} == {
        0: ("COMPLETED", 0),
        1: ("CANCELLED", 75),
        2: ("FAILED", 75),
        3: ("COMPLETED", 0),
    }
    assert tasks[3].restarts == 1
    assert said(root, job, 1).splitlines()[-1].endswith("INFO stopped: SIGTERM")
    assert said(root, job, 2).splitlines()[-1].endswith("INFO stopped: SIGUSR1")
    assert "INFO stopped: SIGTERM" in said(root, job, 3)
    assert f"SLURM {job}_3, task 4 of 4, restarted once" in said(root, job, 3)
    assert "Traceback" not in "".join(said(root, job, task) for task in range(4))
    assert running(slurm) == 0
    assert {(d["worker"]["job"], d["worker"]["restarts"]) for d in deposits(root)} >= {
        (f"{job}_0", 0),
        (f"{job}_3", 1),
    }
    assert check(root, iterations=5) == []
    assert same_history(root, reference.root()) == []


@pytest.mark.full
def test_a_cancelled_array_leaves_nothing_behind_and_another_continues(
    slurm: Cluster, tmp_path: Path, local: Locally
) -> None:
    root = tmp_path / "pool"
    arguments = sleepy(3, 0.5)
    reference = local(arguments)
    first = submit(slurm, root, arguments, "--array=0-3")
    wait_for_merge(root, 1)
    slurm.command("scancel", first)
    tasks = slurm.wait(first, 4)
    assert {(task.state, task.exit_code) for task in tasks.values()} == {("CANCELLED", 75)}
    assert running(slurm) == 0
    assert leases(root) == []
    assert list((root / "workers").iterdir()) == []
    assert merged(root) < 3
    second = submit(slurm, root, arguments, "--array=0-3")
    assert {task.exit_code for task in slurm.wait(second, 4).values()} == {0}
    assert check(root, iterations=3) == []
    assert same_history(root, reference.root()) == []


@pytest.mark.full
@pytest.mark.parametrize("warned", [True, False])
def test_at_the_time_limit_claims_are_given_back(
    slurm: Cluster, tmp_path: Path, warned: bool
) -> None:
    root = tmp_path / "pool"
    arguments = sleepy(100)
    # SLURM checks limits twice a minute: the signal may come half a minute early.
    minutes = 2 if warned else 1
    signal = "--signal=B:USR1@30" if warned else "--signal=B:USR1@0"
    start = time.monotonic()
    job = submit(slurm, root, arguments, "--array=0-3", f"--time={minutes}", signal)
    tasks = slurm.wait(job, 4, seconds=60 * minutes + 300)
    took = time.monotonic() - start
    name = "SIGUSR1" if warned else "SIGTERM"
    for number, task in tasks.items():
        assert number is not None
        assert said(root, job, number).splitlines()[-1].endswith(f"INFO stopped: {name}")
        assert task.exit_code == 75
        assert task.state == ("FAILED" if warned else "TIMEOUT")
    assert took < 120 if warned else took > 55
    assert running(slurm) == 0
    assert leases(root) == []
    so_far = merged(root)
    print(
        f"{name} after {took:.0f} s of {60 * minutes}: {so_far} iterations merged",
        deposits_by_worker(root),
    )
    again = submit(slurm, root, [*arguments[:-1], str(so_far + 2)], "--array=0-3")
    assert {task.exit_code for task in slurm.wait(again, 4).values()} == {0}
    assert check(root, iterations=so_far + 2) == []
