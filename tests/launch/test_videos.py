"""Videos of champions beside a run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from poolrl.config.run_options import RunOptions
from poolrl.launch import videos
from poolrl.launch.videos import VideoProcess
from poolrl.pool.directory import make_pool
from tests.conftest import tiny_spec
from tests.helpers.command_line import in_process, poolrl, settings
from tests.helpers.pools import snapshot
from tests.helpers.processes import LONG, processes_with
from tests.helpers.waiting import TIMEOUT_SECONDS, until

RUN = ("run", "--pool-directory", "pool", "--workers", "1")


def followers_of(root: Path) -> list[int]:
    """Ids of the processes that make videos of a pool."""
    return processes_with(f"render {root} --follow")


def test_a_run_leaves_videos_which_nothing_else_touches(tmp_path: Path, draws: None) -> None:
    options = ["--iterations", "2", "--video-every", "2"]
    keys = settings(task__id="Swimmer-v5", task__max_episode_steps=3)
    said = poolrl(*RUN, *options, *keys, cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    assert "warning" not in said.stdout
    made = sorted(path.name for path in (tmp_path / "pool" / "videos").iterdir())
    # Iteration 0 is left out where the pool is faster than its video.
    assert made in (["iteration-000002.mp4"], ["iteration-000000.mp4", "iteration-000002.mp4"])
    before = snapshot(tmp_path)
    assert in_process("verify", "pool", cwd=tmp_path).returncode == 0
    assert in_process("prune", "pool", cwd=tmp_path).stdout == "removed nothing\n"
    # The pool has ended, and nothing new is due.
    followed = poolrl("render", "pool", "--follow", cwd=tmp_path)
    assert (followed.returncode, followed.stderr) == (0, "")
    assert snapshot(tmp_path) == before


def test_a_failure_is_one_warning_and_the_pool_goes_on(tmp_path: Path) -> None:
    options = ["--iterations", "3", "--video-every", "1"]
    said = poolrl(*RUN, *options, *settings(), cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    (warning,) = (line for line in said.stdout.splitlines() if "warning" in line)
    assert warning.startswith("warning: no more videos: task.id: Plateau-v0 cannot be drawn")
    assert "ended after iteration 3" in said.stdout


def test_it_ends_with_the_launcher(tmp_path: Path) -> None:
    root = tmp_path / "pool"
    command = [sys.executable, "-m", "poolrl", *RUN[:2], str(root), "--video-every", "1"]
    with subprocess.Popen(
        [*command, "--workers", "1", *settings(**LONG)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as run:
        until(lambda: followers_of(root))
        (follower,) = followers_of(root)
        until(lambda: os.getpriority(os.PRIO_PROCESS, follower) == 19)
        run.kill()
    until(lambda: not followers_of(root))


def test_a_signal_ends_it_too(tmp_path: Path) -> None:
    root = tmp_path / "pool"
    command = [sys.executable, "-m", "poolrl", *RUN[:2], str(root), "--video-every", "1"]
    with subprocess.Popen(
        [*command, "--workers", "1", *settings(**LONG)], stdout=subprocess.PIPE, text=True
    ) as run:
        until(lambda: followers_of(root))
        run.send_signal(signal.SIGTERM)
        printed, _ = run.communicate(timeout=TIMEOUT_SECONDS)
        assert run.returncode == 75
        assert "warning" not in printed
    assert not followers_of(root)


def test_a_log_that_cannot_be_written_is_a_warning(tmp_path: Path) -> None:
    pool = make_pool(tmp_path / "pool", tiny_spec(), RunOptions())
    (pool.layout.logs / "videos.log").mkdir()
    process = VideoProcess(pool, 1, [])
    process.start()
    assert "videos.log: " in (process.warning() or "")
    assert process.warning() is None
    process.finish(lambda seconds: pytest.fail("there is no process"))
    process.stop()


def test_a_process_that_does_not_end_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = make_pool(tmp_path / "pool", tiny_spec(), RunOptions())
    deaf = "import signal, sys\nsignal.signal(15, signal.SIG_IGN)\nprint('deaf', flush=True)\n"
    program = [sys.executable, "-c", f"{deaf}while True: signal.pause()"]
    monkeypatch.setattr(videos, "python_command", lambda module: program)
    monkeypatch.setattr(videos, "STOP_SECONDS", 0.1)
    monkeypatch.setattr(videos, "FINISH_SECONDS", 0.1)
    process = VideoProcess(pool, 1, [])
    process.start()
    until(lambda: (pool.layout.logs / "videos.log").read_text() == "deaf\n")
    process.finish(lambda seconds: None)
    process.stop()
    assert process._process is not None
    assert process._process.returncode == -signal.SIGKILL
