"""The set-up scripts in a fresh copy of the project; they install for real, so only with --full."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.helpers.waiting import until

ROOT = Path(__file__).parent.parent.parent

SHIPPED = ["setup.cfg", "pyproject.toml", "constraints.txt", "README.md", "LICENSE"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of what a clone has and a set-up needs."""
    for name in SHIPPED:
        shutil.copy(ROOT / name, tmp_path)
    for name in ("poolrl", "scripts"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def set_up(project: Path) -> subprocess.Popen[bytes]:
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    command = [project / "scripts/run_pool.sh", "--setup-only"]
    return subprocess.Popen(command, env=environment, start_new_session=True)


@pytest.mark.full
def test_ten_may_set_up_at_once_and_a_cut_off_one_is_done_again(project: Path) -> None:
    cut_off = set_up(project)
    until((project / ".venv" / "bin").exists, seconds=60)
    time.sleep(3)
    os.killpg(cut_off.pid, signal.SIGKILL)
    cut_off.wait()
    marker = project / ".venv" / ".complete"
    assert not marker.exists()

    racers = [set_up(project) for _ in range(10)]
    assert [racer.wait(timeout=900) for racer in racers] == [0] * 10
    assert marker.exists()
    subprocess.run([project / ".venv/bin/poolrl", "--version"], check=True)

    made = marker.stat().st_mtime
    start = time.monotonic()
    assert set_up(project).wait(timeout=10) == 0
    assert time.monotonic() - start < 2
    assert marker.stat().st_mtime == made
