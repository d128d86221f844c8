"""What scripts/run_pool.sh starts, and where it finds the project; tests/slurm has the rest."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
SCRIPT = ROOT / "scripts" / "run_pool.sh"


def bash(script: Path, *arguments: str, folder: Path, **variables: str) -> tuple[int, list[str]]:
    """Its exit code, and the lines that it printed."""
    kept = ("SLURM", "POOLRL")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(kept)} | variables
    done = subprocess.run(
        ["bash", str(script), *arguments],
        check=False,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.returncode, done.stdout.splitlines()


@pytest.fixture
def echo(tmp_path: Path) -> str:
    """A Python that says what it was to do."""
    path = tmp_path / "echo"
    path.write_text('#!/bin/sh\necho "$@"\n')
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def spooled(tmp_path: Path) -> Path:
    """The copy that slurmd runs."""
    copy = tmp_path / "spool" / "job00001" / "slurm_script"
    copy.parent.mkdir(parents=True)
    return Path(shutil.copy(SCRIPT, copy))


def test_by_hand_it_is_poolrl_run(tmp_path: Path, echo: str) -> None:
    said = bash(SCRIPT, "--seed", "3", folder=tmp_path, POOLRL_PYTHON=echo)
    assert said == (0, ["-P -m poolrl run --seed 3"])


def test_cdpath_leads_to_no_other_folder(tmp_path: Path) -> None:
    project, other = tmp_path / "project", tmp_path / "other"
    shutil.copytree(SCRIPT.parent, project / "scripts")
    for folder in (project / "poolrl", other / "scripts"):
        folder.mkdir(parents=True)
    for name in ("setup.cfg", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, project)
    for path in (str(other), "."):
        job = {"CDPATH": path, "SLURM_JOB_ID": "9"}
        code, (line,) = bash(Path("scripts/run_pool.sh"), folder=project, **job)
        assert code == 2
        assert line.startswith(f"run_pool.sh: poolrl is not set up in {project}, or its")


def test_in_an_array_it_is_one_worker(spooled: Path, tmp_path: Path, echo: str) -> None:
    task = {"SLURM_JOB_ID": "9", "SLURM_ARRAY_TASK_ID": "0", "SLURM_SUBMIT_DIR": str(ROOT)}
    said = bash(spooled, "--seed", "3", folder=tmp_path, POOLRL_PYTHON=echo, **task)
    assert said == (0, ["-P -m poolrl run --one-worker --seed 3"])


def test_an_environment_of_ones_own_needs_no_set_up(tmp_path: Path) -> None:
    assert bash(SCRIPT, "--setup-only", folder=tmp_path, POOLRL_PYTHON=sys.executable) == (0, [])


def test_a_copy_elsewhere_needs_to_be_told_where_the_project_is(
    spooled: Path, tmp_path: Path, echo: str
) -> None:
    job = {"SLURM_JOB_ID": "9", "SLURM_SUBMIT_DIR": str(tmp_path), "POOLRL_PYTHON": echo}
    code, (line,) = bash(spooled, folder=tmp_path, **job)
    assert code == 2
    assert line == (
        f"run_pool.sh: {tmp_path} is not poolrl's folder: submit from there, or set POOLRL_HOME "
        "to it"
    )
    assert bash(spooled, folder=tmp_path, POOLRL_HOME=str(ROOT), **job) == (0, ["-P -m poolrl run"])
