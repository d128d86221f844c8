"""The events that a run writes for TensorBoard."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from poolrl.monitoring.history import History
from poolrl.pool.directory import open_pool
from tests.helpers.command_line import poolrl, settings
from tests.helpers.event_files import accumulate, expected, read

RUN = ("run", "--pool-directory", "pool", "--workers", "1", "--tensorboard")


def check(root: Path) -> None:
    history = History(open_pool(root))
    history.refresh()
    counts = read(accumulate(root / "tensorboard"))
    assert counts == expected(history)
    assert set(counts.values()) == {1}


def test_a_run_leaves_its_events(tmp_path: Path) -> None:
    said = poolrl(*RUN, "--iterations", "2", *settings(), cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    assert said.stdout.endswith("events:  pool/tensorboard\n")
    check(tmp_path / "pool")
    # The option is one of the pool's last run; no worker writes.
    said = poolrl(*RUN[:3], "--iterations", "4", cwd=tmp_path)
    assert "events:" in said.stdout
    check(tmp_path / "pool")
    said = poolrl(*RUN[:3], "--iterations", "5", "--no-tensorboard", cwd=tmp_path)
    assert "events:" not in said.stdout


def test_a_failure_is_one_warning_and_the_pool_goes_on(tmp_path: Path) -> None:
    said = poolrl(*RUN, "--iterations", "1", *settings(), cwd=tmp_path)
    assert said.returncode == 0
    (event_file,) = (tmp_path / "pool/tensorboard").glob("*tfevents*")
    event_file.unlink()
    event_file.mkdir()
    said = poolrl(*RUN[:3], "--iterations", "3", cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    (warning,) = (line for line in said.stdout.splitlines() if "no more events" in line)
    assert warning.startswith("warning: no more events for TensorBoard: pool/tensorboard/events.")
    assert "ended after iteration 3" in said.stdout


@pytest.mark.full
def test_twenty_kills_of_the_launcher(tmp_path: Path) -> None:
    generator = random.Random(2)
    command = [sys.executable, "-m", "poolrl", *RUN, "--iterations", "400", *settings()]
    for _ in range(20):
        with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL) as run:
            time.sleep(generator.uniform(1.5, 4.0))
            run.kill()
    said = poolrl(*RUN[:3], "--iterations", "401", "--workers", "1", cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    check(tmp_path / "pool")
