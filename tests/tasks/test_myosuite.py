"""MyoSuite, in an environment of its own: it wants an older Gymnasium than the other tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from poolrl.monitoring.history import History
from poolrl.pool.directory import open_pool
from tests.helpers.command_line import settings

PROJECT = Path(__file__).parents[2]


def python(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(directory / "venv" / "bin" / "python"), *arguments]
    return subprocess.run(
        command, cwd=directory, capture_output=True, text=True, timeout=1800, check=False
    )


@pytest.mark.full
def test_a_pool_trains_muscles(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    pins = [line for line in (PROJECT / "constraints.txt").read_text().split() if "torch=" in line]
    install = ("-m", "pip", "install", "--quiet", *pins, f"{PROJECT}[myo]")
    installed = python(tmp_path, *install)
    if installed.returncode:
        pytest.skip(f"cannot install: {installed.stderr.strip().splitlines()[-1:]}")
    overrides = settings(task__id="myoElbowPose1D6MRandom-v0", task__max_episode_steps=20)
    arguments = ["--pool-directory", "pool", "--iterations", "2", "--workers", "1", *overrides]
    said = python(tmp_path, "-m", "poolrl", "run", *arguments)
    assert said.returncode == 0, said.stderr
    history = History(open_pool(tmp_path / "pool"))
    history.refresh()
    assert len(history.merges) == 3
    assert all(unit.status == "done" for unit in history.units)
