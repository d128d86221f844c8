"""Nodes that crash, are cut off or freeze while a pool runs on them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.faults.checker import check, same_history
from tests.helpers.waiting import until
from tests.slurm.cluster import Cluster, Task
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


def task_on(slurm: Cluster, job: str, node: str) -> int:
    """The number of the task on a node."""
    (number,) = [n for n, task in slurm.tasks(job).items() if task.node == node]
    assert number is not None
    return number


def requeued(slurm: Cluster, job: str, *numbers: int) -> None:
    """Wait until SLURM has requeued the tasks of lost nodes, and shorten their delay."""
    for number in numbers:
        until(lambda n=number: slurm.tasks(job)[n].restarts, f"the requeue of task {number}")
        slurm.hurry(f"{job}_{number}")


def finish(slurm: Cluster, job: str, root: Path, iterations: int) -> dict[int | None, Task]:
    """Wait for the end of an array of four, and check the pool."""
    tasks = slurm.wait(job, 4)
    assert {(task.state, task.exit_code) for task in tasks.values()} == {("COMPLETED", 0)}
    assert check(root, iterations=iterations) == []
    print(f"{iterations} iterations:", deposits_by_worker(root))
    return tasks


def test_a_pool_outlives_its_nodes(slurm: Cluster, tmp_path: Path, local: Locally) -> None:
    """One crashes, one is cut off and continues, one freezes and thaws."""
    root = tmp_path / "pool"
    arguments = sleepy(12)  # longer than SLURM takes to notice a lost node
    reference = local(arguments)
    job = submit(slurm, root, arguments, "--array=0-3")
    wait_for_merge(root, 0)
    until(lambda: all(workers_on(slurm, node) for node in slurm.nodes), "a worker on each node")
    dead, lost = task_on(slurm, job, "n1"), task_on(slurm, job, "n2")
    slurm.crash("n1")
    slurm.cut_off("n2")
    slurm.freeze("n3")
    wait_for_merge(root, 2)
    (twin,) = workers_on(slurm, "n2")
    slurm.thaw("n3")
    requeued(slurm, job, dead, lost)
    finish(slurm, job, root, 12)
    # The worker of the lost node ends too, like the one that replaced it.
    until(lambda: twin not in workers_on(slurm, "n2"), "the end of the cut-off worker")
    assert same_history(root, reference.root()) == []


@pytest.mark.full
def test_a_node_crashes_and_its_task_runs_elsewhere(
    slurm: Cluster, tmp_path: Path, local: Locally
) -> None:
    root = tmp_path / "pool"
    arguments = sleepy(30)
    reference = local(arguments)
    job = submit(slurm, root, arguments, "--array=0-3")
    wait_for_merge(root, 1)
    dead = task_on(slurm, job, "n1")
    slurm.crash("n1")
    start = time.monotonic()
    until(lambda: slurm.node_state("n1").startswith("DOWN"), "n1 DOWN")
    down = time.monotonic() - start
    until(lambda: slurm.tasks(job)[dead].state == "RUNNING", "its task elsewhere")
    print(f"DOWN after {down:.0f} s, its task elsewhere after {time.monotonic() - start:.0f} s")
    tasks = finish(slurm, job, root, 30)  # without `hurry`
    assert tasks[dead].restarts == 1
    assert tasks[dead].node != "n1"
    requeued_ones = [d for d in deposits(root) if d["worker"]["restarts"] == 1]
    assert {d["worker"]["job"] for d in requeued_ones} == {f"{job}_{dead}"}
    assert {d["worker"]["host"] for d in requeued_ones} == {tasks[dead].node}
    assert same_history(root, reference.root()) == []


@pytest.mark.full
def test_both_halves_of_a_split_brain_deposit(
    slurm: Cluster, tmp_path: Path, local: Locally
) -> None:
    root = tmp_path / "pool"
    arguments = sleepy(30)
    reference = local(arguments)
    job = submit(slurm, root, arguments, "--array=0-3")
    wait_for_merge(root, 1)
    lost = task_on(slurm, job, "n2")
    slurm.cut_off("n2")
    tasks = finish(slurm, job, root, 30)
    assert tasks[lost].restarts == 1
    until(lambda: not workers_on(slurm, "n2"), "the end of the cut-off worker")
    by_lost = [d for d in deposits(root) if d["worker"]["job"] == f"{job}_{lost}"]
    last = {
        restarts: max(d["iteration"] for d in by_lost if d["worker"]["restarts"] == restarts)
        for restarts in (0, 1)
    }
    first_requeued = min(d["iteration"] for d in by_lost if d["worker"]["restarts"] == 1)
    assert last[0] > first_requeued, "the two never worked at the same time"
    print(f"the first at work until iteration {last[0]}, the second from {first_requeued} on")
    assert "the pool ended" in said(root, job, lost)
    assert same_history(root, reference.root()) == []


@pytest.mark.full
def test_a_node_freezes_for_longer_than_slurm_waits_and_thaws(
    slurm: Cluster, tmp_path: Path, local: Locally
) -> None:
    root = tmp_path / "pool"
    arguments = sleepy(30)
    reference = local(arguments)
    job = submit(slurm, root, arguments, "--array=0-3")
    wait_for_merge(root, 1)
    frozen = task_on(slurm, job, "n3")
    slurm.freeze("n3")
    until(lambda: slurm.tasks(job)[frozen].restarts, "the frozen node's task taken away")
    at = merged(root)
    print(f"taken away at iteration {at}")
    slurm.thaw("n3")
    finish(slurm, job, root, 30)
    assert at > 2, "the others waited for the frozen one"
    until(lambda: not workers_on(slurm, "n3"), "the end of the old worker")
    assert same_history(root, reference.root()) == []
