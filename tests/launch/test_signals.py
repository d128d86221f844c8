"""Signals to a launcher, and a launcher that is killed: no unit half done, no orphan."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from poolrl.config.schema import RunOptions
from poolrl.pool.directory import make_pool
from poolrl.storage.layout import Layout
from tests.conftest import TINY, as_options, tiny_spec
from tests.waiting import until

LONG = {"task.max_episode_steps": 5_000_000}
"""Units of minutes."""

WAKE_SECONDS = 60.0


def settings(**changed: object) -> list[str]:
    return as_options(TINY | changed)


@contextlib.contextmanager
def running(root: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A run with two workers, in a process group of its own, which does not outlive the test."""
    command = [sys.executable, "-m", "poolrl", "run", "--pool-directory", str(root)]
    command += ["--workers", "2", "--iterations", "100000", *arguments]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    try:
        yield process
    finally:
        for pid in [process.pid, *workers_of(root)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.communicate()


def workers_of(root: Path) -> list[int]:
    """Process ids of the workers on a pool, by what `ps` tells."""
    listing = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pid=,stat=,args="], capture_output=True, text=True, check=True
    )
    lines = (line.split(None, 2) for line in listing.stdout.splitlines())
    return [
        int(pid)
        for pid, state, arguments in lines
        if f"worker --pool-directory {root} " in arguments and not state.startswith("Z")
    ]


def busy(root: Path) -> bool:
    """Whether a unit has been claimed."""
    return bool(list(root.glob("iterations/*/*.lease")))


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (signal.SIGINT, 130),
        (signal.SIGTERM, 75),
        (signal.SIGUSR1, 75),
        (signal.SIGUSR2, 75),
        (signal.SIGHUP, 75),
    ],
)
def test_the_first_signal_leaves_the_units(tmp_path: Path, sent: signal.Signals, code: int) -> None:
    root = tmp_path / "pool"
    with running(root, *settings(**LONG)) as run:
        until(lambda: busy(root))
        run.send_signal(sent)
        run.send_signal(sent)  # handlers are idempotent: this is the same request
        said, _ = run.communicate(timeout=WAKE_SECONDS)
        assert run.returncode == code, said.decode()
        assert f"stopped by {sent.name}; the same command goes on from here" in said.decode()
        assert "Traceback" not in said.decode()
        assert workers_of(root) == []
    assert not busy(root)
    logs = [path.read_text() for path in Layout(root).logs.iterdir()]
    assert any("stopped: SIGTERM" in log for log in logs)


def test_a_unit_that_is_nearly_done_is_finished(tmp_path: Path) -> None:
    root = tmp_path / "pool"
    # Units of about a second: the worker that the signal meets knows that from its first one.
    with running(root, *settings(**{"task.max_episode_steps": 20_000})) as run:
        until((root / "iterations" / "000002").exists)
        until(lambda: busy(root))
        run.terminate()
        run.communicate(timeout=WAKE_SECONDS)
        assert run.returncode == 75
    logs = [path.read_text().splitlines() for path in Layout(root).logs.iterdir()]
    assert any("score" in lines[-2] for lines in logs)
    assert not busy(root)


def test_the_second_signal_ends_at_once(tmp_path: Path) -> None:
    root = tmp_path / "pool"
    with running(root, *settings(**LONG)) as run:
        until(lambda: len(workers_of(root)) == 2 and busy(root))
        for pid in workers_of(root):
            os.kill(pid, signal.SIGSTOP)  # so that they cannot follow the first one
        run.send_signal(signal.SIGINT)
        time.sleep(1.5)
        assert run.poll() is None
        run.send_signal(signal.SIGINT)
        run.communicate(timeout=2)
        assert run.returncode == 130
        until(lambda: workers_of(root) == [], seconds=5)


def test_a_launcher_that_is_killed_leaves_no_orphan(tmp_path: Path) -> None:
    root = tmp_path / "pool"
    with running(root, *settings(**LONG)) as run:
        until(lambda: len(workers_of(root)) == 2 and busy(root))
        run.kill()
        until(lambda: workers_of(root) == [], seconds=10)
    assert not busy(root)  # they went in good order
    logs = [path.read_text() for path in Layout(root).logs.iterdir()]
    assert all("whoever started this worker is gone" in log for log in logs)


def test_a_worker_that_is_started_by_hand_has_no_launcher_to_follow(tmp_path: Path) -> None:
    pool = make_pool(tmp_path / "pool", tiny_spec(), RunOptions(iterations=2))
    command = [sys.executable, "-m", "poolrl", "worker", "--pool-directory", str(pool.layout.root)]
    subprocess.run(command, stdin=subprocess.DEVNULL, check=True, timeout=WAKE_SECONDS)


def test_a_run_in_which_nothing_moves_ends_with_its_workers_reason(tmp_path: Path) -> None:
    root = tmp_path / "pool"
    with running(root, "--stall-timeout", "2s", *settings(**LONG)) as run:
        said, _ = run.communicate(timeout=WAKE_SECONDS)
        assert run.returncode == 3, said.decode()
        assert f"poolrl: {root}: stalled: nothing new in iteration 0 for 2 s" in said.decode()
        assert "Traceback" not in said.decode()
