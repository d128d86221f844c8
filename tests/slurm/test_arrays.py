"""Arrays of workers on a real SLURM: the same champions as on one machine."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.faults.checker import check, same_history
from tests.slurm.cluster import Cluster
from tests.slurm.jobs import (
    PROJECT,
    Locally,
    deposits,
    deposits_by_worker,
    said,
    sleepy,
    submit,
    wait_for_merge,
    workers_on,
)

SWIMMER = ["--set", "task.max_episode_steps=60", "--iterate-episodes", "2"]
SWIMMER += ["--evaluate-episodes", "2", "--set", "pool.closing_episodes=2", "--iterations", "2"]
"""Ten short branches of the swimmer."""


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(SWIMMER, id="small"),
        pytest.param(["--iterations", "5"], id="default", marks=pytest.mark.full),
    ],
)
def test_an_array_finds_the_champion_that_a_run_finds(
    slurm: Cluster, tmp_path: Path, local: Locally, arguments: list[str]
) -> None:
    root = tmp_path / "array" / "pool"
    root.parent.mkdir()
    reference = local(arguments)
    job = submit(slurm, root, arguments, "--array=0-9")
    tasks = slurm.wait(job, 10, seconds=900)
    assert {task.exit_code for task in tasks.values()} == {0}, said(root, job, 0)
    assert {task.node for task in tasks.values()} == set(slurm.nodes)
    assert same_history(root, reference.root()) == []
    assert check(root, iterations=int(arguments[-1])) == []
    print(deposits_by_worker(root))
    workers = [deposit["worker"] for deposit in deposits(root)]
    assert {worker["job"] for worker in workers} <= {f"{job}_{task}" for task in range(10)}
    assert {(worker["host"], worker["job"]) for worker in workers} <= {
        (task.node, f"{job}_{number}") for number, task in tasks.items()
    }
    outputs = [said(root, job, task) for task in range(10)]
    assert sum("result: mean return" in output for output in outputs) == 1
    assert (root / "history.csv").exists()
    assert (root / "history.png").exists()


def test_four_at_a_time_serve_ten_branches(slurm: Cluster, tmp_path: Path) -> None:
    root = tmp_path / "pool"
    job = submit(slurm, root, sleepy(1, 0.3, branches=10), "--array=0-9%4")
    tasks = slurm.wait(job, 10)
    assert {task.exit_code for task in tasks.values()} == {0}
    assert check(root, iterations=1) == []
    served = {deposit["worker"]["job"] for deposit in deposits(root)}
    assert served <= {f"{job}_{task}" for task in range(4)}
    for task in range(4, 10):  # these start after the end
        assert "the pool ended" in said(root, job, task)
        assert "score" not in said(root, job, task)


def test_each_task_is_one_worker_and_those_beyond_the_last_branch_help(
    slurm: Cluster, tmp_path: Path
) -> None:
    root = tmp_path / "pool"
    job = submit(slurm, root, sleepy(3, branches=3), "--array=2-12:2")  # six tasks
    wait_for_merge(root, 1)
    assert sum(len(workers_on(slurm, node)) for node in slurm.nodes) == 6
    tasks = slurm.wait(job, 6)
    assert {task.exit_code for task in tasks.values()} == {0}
    assert check(root, iterations=3) == []
    numbers = {int(deposit["worker"]["job"].partition("_")[2]) for deposit in deposits(root)}
    assert numbers <= {2, 4, 6, 8, 10, 12}
    assert numbers & {8, 10, 12}  # three workers take the branches and a fourth the parent


def test_a_task_installs_nothing_and_names_what_is_missing(slurm: Cluster, tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(PROJECT / "scripts", project / "scripts")
    (project / "poolrl").mkdir()
    for name in ("setup.cfg", "pyproject.toml", "constraints.txt"):
        shutil.copy(PROJECT / name, project)
    script = "scripts/run_pool.sh"
    bare = slurm.sbatch("--array=0", script, folder=project)
    elsewhere = slurm.sbatch("--array=0", f"{project}/{script}", folder=tmp_path)
    wrong = slurm.sbatch(
        "--array=0", script, folder=project, variables={"POOLRL_HOME": str(tmp_path)}
    )
    for job in (bare, elsewhere, wrong):
        assert slurm.wait(job, 1)[0].exit_code == 2
    (line,) = said(project / "pool", bare, 0).splitlines()
    assert line == (
        f"run_pool.sh: poolrl is not set up in {project}, or its requirements have changed: run "
        "scripts/run_pool.sh --setup-only there, where you submit from"
    )
    (line,) = said(tmp_path / "pool", elsewhere, 0).splitlines()
    assert line.startswith(f"run_pool.sh: {tmp_path} is not poolrl's folder: submit from there")
    (line,) = said(project / "pool", wrong, 0).splitlines()
    assert line == f"run_pool.sh: POOLRL_HOME: {tmp_path} is not poolrl's folder"
    assert not (project / ".venv").exists()


def test_without_an_array_it_is_a_run_within_the_cores_of_its_job(
    slurm: Cluster, tmp_path: Path
) -> None:
    """Its environment is the one that was made on the submit host."""
    project = tmp_path / "project"
    shutil.copytree(PROJECT / "scripts", project / "scripts")
    (project / "poolrl").symlink_to(PROJECT / "poolrl")
    for name in ("setup.cfg", "pyproject.toml", "constraints.txt"):
        shutil.copy(PROJECT / name, project)
    python = project / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    wanted = slurm.command("bash", "-c", "PROJECT=$PWD; . scripts/setup.sh; wanted", folder=project)
    (project / ".venv" / ".complete").write_text(wanted)
    job = slurm.sbatch(
        "--output=said",
        "scripts/run_pool.sh",
        *["--pool-directory", "pool", *sleepy(1, 0.1)],
        folder=project,
        variables={"PYTHONPATH": str(PROJECT)},
    )
    output = project / "said"
    assert slurm.wait(job, 1)[None].exit_code == 0, output.read_text()
    assert re.search("seed 0, 1 worker$", output.read_text(), re.MULTILINE)
    assert check(project / "pool", iterations=1) == []
