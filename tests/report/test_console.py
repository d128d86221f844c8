"""Bars on a terminal, lines elsewhere, whatever the environment says of colours."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from poolrl.config.run_options import RunOptions
from poolrl.pool.directory import Pool, make_pool
from poolrl.pool.stop_criteria import StopCriteria
from poolrl.worker.loop import Worker
from tests.conftest import tiny_spec
from tests.helpers.command_line import settings
from tests.helpers.processes import said_by, start
from tests.helpers.waiting import TIMEOUT_SECONDS

FORCED = [{"FORCE_COLOR": "1"}, {"FORCE_COLOR": "3", "TERM": "xterm"}, {"TTY_COMPATIBLE": "1"}]
FORCED += [{"FORCE_COLOR": "1", "TERM": "dumb"}, {"TTY_INTERACTIVE": "1", "FORCE_COLOR": "1"}]

RUN = [sys.executable, "-m", "poolrl", "run", "--pool-directory", "pool", "--workers", "1"]
RUN += ["--iterations", "2", *settings()]


def run(folder: Path, command: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_SECONDS,
    )


@pytest.mark.parametrize("variables", FORCED, ids=str)
def test_a_file_gets_lines(tmp_path: Path, variables: dict[str, str]) -> None:
    done = run(tmp_path, RUN, **variables)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    starts = [line.split(":")[0] for line in done.stdout.splitlines()]
    lines = [start for start in starts if start.startswith("iteration")]
    assert lines == ["iteration 0/2", "iteration 1/2", "iteration 2/2"]


@pytest.mark.parametrize(("term", "is_drawn"), [("xterm", True), ("dumb", False)])
def test_a_terminal_gets_a_bar_if_it_can(tmp_path: Path, term: str, is_drawn: bool) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        RUN, cwd=tmp_path, env=os.environ | {"TERM": term}, stdout=theirs, start_new_session=True
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while data := os.read(ours, 10_000):
                shown += data
        except OSError:  # EIO: the other side is closed
            pass
    os.close(ours)
    assert process.returncode == 0
    assert (b"\x1b[" in shown) == is_drawn
    assert (b"iteration 2/2: champion's score" in shown) == (not is_drawn)
    assert b"result: mean return" in shown


def test_a_watch_prints_one_status_after_another_into_a_file(tiny_pool: Pool) -> None:
    command = [sys.executable, "-m", "poolrl", "status", str(tiny_pool.layout.root), "--watch"]
    with subprocess.Popen(
        command,
        env=os.environ | {"TTY_COMPATIBLE": "1"},
        stdout=subprocess.PIPE,
        text=True,
    ) as watch:
        assert watch.stdout is not None
        assert watch.stdout.readline().count("new")
        said_by(start(tiny_pool, 3))
        rest = watch.stdout.read()
    assert watch.returncode == 0
    assert "result: mean return" in rest


def test_verify_draws_no_bar_into_a_file(tmp_path: Path) -> None:
    pool = make_pool(tmp_path / "pool", tiny_spec(), RunOptions())
    Worker(pool, StopCriteria(1)).run()
    command = [sys.executable, "-m", "poolrl", "verify", "pool"]
    done = run(tmp_path, command, FORCE_COLOR="1", TTY_COMPATIBLE="1")
    assert (done.returncode, done.stderr) == (0, "")
