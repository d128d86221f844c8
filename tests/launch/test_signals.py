"""Signals to a launcher, and a launcher that is killed: no unit half done, no orphan."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from poolrl.config.run_options import RunOptions
from poolrl.interrupts import SAME_REQUEST_SECONDS
from poolrl.pool.directory import make_pool
from poolrl.storage.layout import Layout
from tests.conftest import sleepy_options, tiny_spec
from tests.helpers.command_line import settings
from tests.helpers.processes import LONG, busy, workers_of
from tests.helpers.waiting import TIMEOUT_SECONDS, until


@contextlib.contextmanager
def running(
    root: Path, *arguments: str, before: Sequence[str] = ()
) -> Iterator[subprocess.Popen[bytes]]:
    """A run with two workers, in a process group of its own, which does not outlive the test."""
    command = [*before, sys.executable, "-m", "poolrl", "run", "--pool-directory", str(root)]
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
        said, _ = run.communicate(timeout=TIMEOUT_SECONDS)
        assert run.returncode == code, said.decode()
        assert f"stopped by {sent.name}; the same command goes on from here" in said.decode()
        assert "Traceback" not in said.decode()
        assert workers_of(root) == []
    assert not busy(root)
    logs = [path.read_text() for path in Layout(root).logs.iterdir()]
    assert any("stopped: SIGTERM" in log for log in logs)


def leases(root: Path) -> set[Path]:
    return set(root.glob("iterations/*/branch-*.lease"))


def test_a_unit_that_is_nearly_done_is_finished(tmp_path: Path) -> None:
    root = tmp_path / "pool"
    logs = [Layout(root).logs / f"worker-{index:03d}.log" for index in range(2)]
    with running(root, *sleepy_options(1.5, 3)) as run:
        # Both workers have finished a branch, and so know how long one takes; one begins another.
        until(lambda: all(log.exists() and "branch-" in log.read_text() for log in logs))
        known = leases(root)
        until(lambda: leases(root) - known)
        run.terminate()
        run.communicate(timeout=TIMEOUT_SECONDS)
        assert run.returncode == 75
    assert any("score" in log.read_text().splitlines()[-2] for log in logs)
    assert not busy(root)


def test_the_second_signal_ends_at_once(tmp_path: Path) -> None:
    root = tmp_path / "pool"
    with running(root, *settings(**LONG)) as run:
        until(lambda: len(workers_of(root)) == 2 and busy(root))
        for pid in workers_of(root):
            os.kill(pid, signal.SIGSTOP)  # so that they cannot follow the first one
        run.send_signal(signal.SIGINT)
        time.sleep(1.5 * SAME_REQUEST_SECONDS)
        assert run.poll() is None
        while run.poll() is None:  # one that comes soon after the first one is the same request
            run.send_signal(signal.SIGINT)
            time.sleep(0.1)
        said, _ = run.communicate(timeout=TIMEOUT_SECONDS)
        assert run.returncode == 130
        assert "stopped by" not in said.decode()  # printed when it has waited for its workers
        until(lambda: workers_of(root) == [])


def test_a_hang_up_that_is_ignored_stays_so(tmp_path: Path) -> None:
    root = tmp_path / "pool"
    with running(root, *settings(**LONG), before=["nohup"]) as run:
        until(lambda: busy(root))
        run.send_signal(signal.SIGHUP)
        run.send_signal(signal.SIGTERM)
        said, _ = run.communicate(timeout=TIMEOUT_SECONDS)
        assert run.returncode == 75, said.decode()
        assert "stopped by SIGTERM" in said.decode()


def test_a_launcher_that_is_killed_leaves_no_orphan(tmp_path: Path) -> None:
    root = tmp_path / "pool"
    with running(root, *settings(**LONG)) as run:
        until(lambda: len(workers_of(root)) == 2 and busy(root))
        run.kill()
        until(lambda: workers_of(root) == [])
    assert not busy(root)  # they went in good order
    logs = [path.read_text() for path in Layout(root).logs.iterdir()]
    assert all("the process that started this worker has ended" in log for log in logs)


def test_a_worker_that_is_started_by_hand_has_no_launcher_to_follow(tmp_path: Path) -> None:
    pool = make_pool(tmp_path / "pool", tiny_spec(), RunOptions(iterations=2))
    command = [sys.executable, "-m", "poolrl", "worker", "--pool-directory", str(pool.layout.root)]
    subprocess.run(command, stdin=subprocess.DEVNULL, check=True, timeout=TIMEOUT_SECONDS)


def test_a_run_in_which_nothing_moves_ends_with_its_workers_reason(tmp_path: Path) -> None:
    root = tmp_path / "pool"
    with running(root, "--stall-timeout", "2s", *settings(**LONG)) as run:
        said, _ = run.communicate(timeout=TIMEOUT_SECONDS)
        assert run.returncode == 3, said.decode()
        assert f"poolrl: {root}: stalled: nothing new in iteration 0 for 2 s" in said.decode()
        assert "Traceback" not in said.decode()
