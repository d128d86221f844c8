"""`poolrl submit` and `poolrl cancel` on a real SLURM."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from poolrl.storage.layout import Layout
from poolrl.storage.store import Store
from poolrl.storage.submissions import submissions
from tests.faults.checker import check
from tests.helpers.waiting import until
from tests.slurm.cluster import Cluster
from tests.slurm.jobs import VARIABLES, deposits, merged, sleepy, wait_for_merge, workers_on

PROFILE = {"SBATCH_JOB_NAME": "mine", "SBATCH_NO_REQUEUE": "1", "SBATCH_OUTPUT": "elsewhere.out"}
"""What users set for submissions of their own; sbatch would take it instead of a script's lines."""


def poolrl(slurm: Cluster, command: str, *arguments: str) -> str:
    words = [sys.executable, "-m", "poolrl", command, *arguments]
    return slurm.command(*words, variables=VARIABLES | PROFILE)


def submit(slurm: Cluster, root: Path, arguments: list[str], *options: str) -> tuple[str, ...]:
    """Run `poolrl submit`; return the ids of the jobs."""
    poolrl(slurm, "submit", "--pool-directory", str(root), *arguments, *options)
    return submissions(Store(root))[-1].jobs


def log(root: Path, job: str, task: int) -> str:
    return (root / "logs" / f"slurm-{job}_{task}.out").read_text()


def queued(slurm: Cluster) -> str:
    return slurm.command("squeue", "--noheader")


def test_a_dry_run_prints_what_is_then_submitted(slurm: Cluster, tmp_path: Path) -> None:
    root = tmp_path / "a pool"
    options = ["--pool-directory", str(root), *sleepy(1, 0.1), "--time", "10", "--partition", "all"]
    options += ["--before", "export SAID_BEFORE='by the user'", "--sbatch-arg", "--mem=100M"]
    dry = poolrl(slurm, "submit", *options, "--dry-run")
    assert not root.exists()
    output = poolrl(slurm, "submit", *options)
    ((job,),) = [each.jobs for each in submissions(Store(root))]
    assert output.startswith(f"submitted job {job}: 4 workers for {root}\n")
    slurm.command("scontrol", "write", "batch_script", job, str(tmp_path / "copy"))
    assert (tmp_path / "copy").read_text().rstrip("\0") == dry
    tasks = slurm.wait(job, 4)
    assert {task.exit_code for task in tasks.values()} == {0}
    assert check(root, iterations=1) == []
    assert {deposit["worker"]["job"] for deposit in deposits(root)} <= {
        f"{job}_{task}" for task in range(4)
    }
    assert (root / "history.csv").exists()


def test_what_waits_at_the_end_of_a_pool_is_cancelled(slurm: Cluster, tmp_path: Path) -> None:
    root = tmp_path / "pool"
    options = ["--tasks", "40", "--array-limit", "2", "--chain", "3"]
    jobs = submit(slurm, root, sleepy(2, 0.3), *options)
    assert len(jobs) == 3
    wait_for_merge(root, 2)
    until(lambda: not queued(slurm), "an empty queue")
    assert check(root, iterations=2) == []
    started = list((root / "logs").iterdir())
    assert len(started) < 10
    closer = [d["worker"]["job"] for d in deposits(root) if d["kind"] == "closing"]
    (said,) = [log(root, *_task(job)) for job in closer]
    assert f"cancelled what still waited of jobs {' '.join(jobs)}" in said


def test_a_task_with_a_warning_of_its_time_limit_is_requeued(
    slurm: Cluster, tmp_path: Path
) -> None:
    root = tmp_path / "pool"
    (job,) = submit(slurm, root, sleepy(24, 0.5))
    wait_for_merge(root, 1)
    slurm.command("scancel", "--signal=USR1", "--batch", f"{job}_0")  # as SLURM does it
    until(lambda: f"requeued as job {job}_0" in log(root, job, 0), "a task that requeues itself")
    slurm.hurry(f"{job}_0")
    tasks = slurm.wait(job, 4)
    assert {task.exit_code for task in tasks.values()} == {0}
    assert tasks[0].restarts == 1
    assert "restarted once" in log(root, job, 0)
    assert check(root, iterations=24) == []


def test_cancel_ends_all_jobs_of_a_pool_and_no_others(slurm: Cluster, tmp_path: Path) -> None:
    root, other = tmp_path / "pool", tmp_path / "other"
    jobs = submit(slurm, root, sleepy(100), "--chain", "2")
    submit(slurm, other, sleepy(100))
    for each in (root, other):
        wait_for_merge(each, 0)
    for path in Layout(other).jobs.iterdir():  # as if the other pool's jobs were this pool's
        (Layout(root).jobs / path.name).write_bytes(path.read_bytes())
    poolrl(slurm, "cancel", str(root))
    tasks = slurm.wait(jobs[0], 4)
    assert {(task.state, task.exit_code) for task in tasks.values()} == {("CANCELLED", 75)}
    assert check(root) == []
    lines = queued(slurm).splitlines()
    assert len(lines) == 4
    assert sum(len(workers_on(slurm, node)) for node in slurm.nodes) == 4
    poolrl(slurm, "cancel", str(other))
    until(lambda: not queued(slurm), "an empty queue")


@pytest.mark.full
def test_a_chain_of_time_limited_arrays_ends_a_pool_that_needs_three(
    slurm: Cluster, tmp_path: Path
) -> None:
    root = tmp_path / "pool"
    # A worker has about a minute in an array, and an iteration takes two seconds or more.
    options = ["--time", "2", "--chain", "9", "--tasks", "4"]
    jobs = submit(slurm, root, sleepy(75), *options)
    until(lambda: merged(root) == 75, "the last merge", seconds=900)
    until(lambda: not queued(slurm), "an empty queue")
    assert check(root, iterations=75) == []
    used = {deposit["worker"]["job"].partition("_")[0] for deposit in deposits(root)}
    assert len(used) >= 3
    assert used == set(jobs[: len(used)])
    for job in sorted(used, key=int)[:-1]:
        assert {task.exit_code for task in slurm.tasks(job).values()} == {75}
        assert "stopped: SIGUSR1" in log(root, job, 0)
    print(f"{len(used)} of {len(jobs)} arrays were used")


def _task(job: str) -> tuple[str, int]:
    array, _, task = job.partition("_")
    return array, int(task)
