"""Commands and workers that run a task which does what users' code does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.command_line import poolrl
from tests.helpers.waiting import until

LIMIT = 60.0

BASE = """\
import ctypes, multiprocessing, os, signal, subprocess, sys, time
import gymnasium, numpy as np
from gymnasium.spaces import Box
from poolrl.tasks import StepResult, Task

class World(gymnasium.Env):
    observation_space = action_space = Box(-1, 1, (1,), np.float32)
    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}
    def step(self, action):
        return np.zeros(1, np.float32), 0.0, False, False, {}

"""

SMALL = ["--pool-count", "1", "--iterate-episodes", "2", "--iterations", "1"]
SMALL += ["--evaluate-episodes", "2", "--set", "pool.closing_episodes=2"]
SMALL += ["--set", "task.max_episode_steps=4", "--pool-directory", "pool"]


def write(folder: Path, code: str) -> str:
    """Write a file with a task ``Mine``; return its id, relative to the folder."""
    (folder / "mine.py").write_text(BASE + code)
    return "mine.py:Mine"


NOISY = """\
import atexit
print("import")
ctypes.CDLL(None).printf(b"buffered by C ")
atexit.register(print, "at exit")

class Mine(World):
    def __init__(self):
        print("constructor")
        self.late = Late()
    def reset(self, seed=None, options=None):
        sys.__stdout__.write("reset")
        os.write(1, b"raw")
        return super().reset(seed=seed)
    def step(self, action):
        ctypes.CDLL(None).puts(b"step")
        return super().step(action)
    def close(self):
        subprocess.run(["echo", "closed"])

class Late:
    def __del__(self):
        print("deleted")

class Own(Task):
    def __init__(self, num_simulations, *, max_episode_steps=5):
        print("own")
        sys.stdout = sys.stderr
        self.num_simulations, self.max_episode_steps = num_simulations, max_episode_steps
        self.observation_space = self.action_space = Box(-1, 1, (1,), np.float64)
        self.late = Late()
    def reset(self, ids, generators): ...
    def observe(self): return np.zeros((self.num_simulations, 1))
    def step(self, action, ids=None): ...
"""


def test_results_are_all_that_is_in_standard_output(tmp_path: Path) -> None:
    task = write(tmp_path, NOISY)
    ran = poolrl("run", "--task", task, *SMALL, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    said = poolrl("evaluate", "pool", "--task", task, "--json", "--episodes", "2", cwd=tmp_path)
    assert json.loads(said.stdout)["episodes"] == 2, said.stderr
    for words in (
        "import",
        "buffered by C",
        "reset",
        "raw",
        "step",
        "closed",
        "deleted",
        "at exit",
    ):
        assert words in said.stderr
    said = poolrl("tasks", "mine.py:Own", "--json", cwd=tmp_path)
    assert json.loads(said.stdout)["max_episode_steps"] == 5
    assert "own" in said.stderr
    said = poolrl("tasks", task, "--json", cwd=tmp_path)  # it has no time limit
    assert json.loads(said.stdout)["max_episode_steps"] is None, said.stderr
    said = poolrl("verify", "pool", "--task", task, "--all", cwd=tmp_path)
    assert said.stdout == "2 merges and 4 records checked, 4 units computed again\n"
    assert "closed" in said.stderr
    submission = ["--dry-run", "--task", task, *SMALL]
    said = poolrl("submit", *submission, cwd=tmp_path)
    assert said.stdout.startswith("#!/usr/bin/env bash\n"), said.stderr
    assert "constructor" not in said.stdout
    assert "closed" in said.stderr


MOVING = """\
os.makedirs("scratch", exist_ok=True)
os.chdir("scratch")
open("import.txt", "w").close()

class Mine(World):
    def __init__(self):
        open("import.txt").close()
        os.makedirs("deep", exist_ok=True)
        os.chdir("deep")
    def reset(self, seed=None, options=None):
        assert os.path.basename(os.getcwd()) == "deep"
        os.chdir("..")
        open("import.txt").close()
        os.chdir("deep")
        return super().reset(seed=seed)
"""


@pytest.mark.parametrize(
    "how", [pytest.param(["--workers", "1"], marks=pytest.mark.full), ["--one-worker"]]
)
def test_a_task_may_change_the_directory(tmp_path: Path, how: list[str]) -> None:
    task = write(tmp_path, MOVING)
    ran = poolrl("run", "--task", task, *SMALL, *how, cwd=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert (tmp_path / "pool" / "history.csv").exists()
    assert not list(tmp_path.glob("scratch/**/pool"))
    said = poolrl("evaluate", "pool", "--task", task, "--json", "--episodes", "2", cwd=tmp_path)
    assert json.loads(said.stdout)["episodes"] == 2
    joined = ["--task", task, "--iterations", "2", "--pool-directory", "pool"]
    said = poolrl("worker", *joined, cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    assert not list(tmp_path.glob("scratch/**/pool"))


SPAWNING = """\
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

@dataclass
class Pair:
    one: int
    other: int

def add(pair):
    assert type(pair) is Pair
    return pair.one + pair.other

print("import by", __name__.rpartition(".")[2], flush=True)

class Mine(World):
    def __init__(self, method):
        context = multiprocessing.get_context(method)
        self.pool = ProcessPoolExecutor(1, context)
        assert list(self.pool.map(add, [Pair(1, 2)])) == [3]
    def close(self):
        self.pool.shutdown()
"""


@pytest.mark.parametrize("method", ["spawn", pytest.param("forkserver", marks=pytest.mark.full)])
def test_a_task_may_have_child_processes(tmp_path: Path, method: str) -> None:
    task = write(tmp_path, SPAWNING)
    arguments = ["--task", task, "--task-arg", f"method={method}", *SMALL]
    ran = poolrl("run", *arguments, "--one-worker", cwd=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    script = Path(sys.executable).with_name("poolrl")
    if script.exists():
        more = [str(script), "run", *arguments, "--workers", "1", "--iterations", "2"]
        subprocess.run(more, cwd=tmp_path, check=True, capture_output=True)


CHANGING = (
    SPAWNING
    + """\
class Changed(Mine):
    def __init__(self, method):
        with open(__file__, "a") as file:
            file.write("\\nopen('changed code ran', 'w').close()\\n")
        super().__init__(method)
"""
)


def test_a_child_runs_only_what_was_permitted(tmp_path: Path) -> None:
    write(tmp_path, CHANGING)
    arguments = ["--task", "mine.py:Changed", "--task-arg", "method=spawn", *SMALL]
    ran = poolrl("run", *arguments, cwd=tmp_path)
    assert ran.returncode == 2
    assert "has changed since it was permitted to run" in ran.stderr
    assert not (tmp_path / "changed code ran").exists()


HOLDING = """\
if os.environ.get("DEAF"):
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, lambda *_: None)

class Mine(World):
    def __init__(self, seconds=0.01, fails=0, hangs=0):
        self.seconds, self.fails, self.hangs = seconds, fails, hangs
        self.broken, self.steps = False, 0
        self.child = subprocess.Popen(["sleep", "300"], stdin=-3, stdout=-3, stderr=-3)
        with open("pids", "a") as file:
            file.write(f"{self.child.pid}\\n")
    def reset(self, seed=None, options=None):
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        return super().reset(seed=seed)
    def step(self, action):
        if self.fails and "worker" in sys.argv:
            raise OSError("the simulator has crashed")
        assert not self.broken
        self.steps += 1
        breaks = os.environ.get("BREAKS") and "worker" in sys.argv and self.steps == 7
        if breaks and not os.path.exists("broken"):
            open("broken", "w").close()
            self.broken = True
            raise MemoryError
        time.sleep(self.seconds)
        return super().step(action)
    def close(self):
        self.child.kill()
        self.child.wait()
        if self.hangs and "worker" in sys.argv:
            time.sleep(300)
"""


def started(folder: Path) -> list[int]:
    path = folder / "pids"
    return [int(pid) for pid in path.read_text().split()] if path.exists() else []


def left(folder: Path) -> list[int]:
    """The simulators that were started and still run; they are ended."""
    found = []
    for pid in started(folder):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
        found.append(pid)
    return found


def start(folder: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "poolrl", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | environment,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
@pytest.mark.parametrize("how", [["--workers", "1"], ["--one-worker"]])
def test_a_stop_reaches_a_task_with_handlers_and_closes_it(
    tmp_path: Path, number: signal.Signals, how: list[str]
) -> None:
    task = write(tmp_path, HOLDING)
    options = [*SMALL, "--set", "task.max_episode_steps=100000", *how]
    run = start(tmp_path, "run", "--task", task, *options, DEAF="yes")
    until(lambda: list(tmp_path.glob("pool/iterations/*/*.lease")))
    run.send_signal(number)
    said, _ = run.communicate(timeout=LIMIT)
    assert run.returncode == (130 if number == signal.SIGINT else 75), said
    assert started(tmp_path)
    assert left(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_so_does_one_in_the_check(tmp_path: Path, number: signal.Signals) -> None:
    task = write(tmp_path, HOLDING)
    run = start(tmp_path, "run", "--task", task, "--task-arg", "seconds=9", *SMALL, DEAF="yes")
    until(lambda: len(started(tmp_path)) >= 4)  # that with its own limit, and those of the check
    run.send_signal(number)
    said, _ = run.communicate(timeout=LIMIT)
    assert run.returncode == (130 if number == signal.SIGINT else 75), said
    assert left(tmp_path) == []
    assert not (tmp_path / "pool").exists()


@pytest.mark.parametrize("odd", ["fails", "hangs"])
def test_workers_that_fail_or_whose_task_hangs_close_it(tmp_path: Path, odd: str) -> None:
    task = write(tmp_path, HOLDING)
    options = ["--workers", "1", "--task-arg", f"{odd}=1"]
    run = start(tmp_path, "run", "--task", task, *SMALL, *options)
    said, _ = run.communicate(timeout=LIMIT)
    assert run.returncode == (2 if odd == "fails" else 0), said
    assert left(tmp_path) == []
    log = (tmp_path / "pool" / "logs" / "worker-000.log").read_text()
    assert ("the task was not closed within 5 s" in log) == (odd == "hangs")


def test_what_failed_is_not_used_again(tmp_path: Path) -> None:
    task = write(tmp_path, HOLDING)
    options = [*SMALL, "--pool-count", "2", "--workers", "1"]
    run = start(tmp_path, "run", "--task", task, *options, BREAKS="yes")
    said, _ = run.communicate(timeout=LIMIT)
    assert run.returncode == 0, said
    assert (tmp_path / "broken").exists()
    assert list(tmp_path.glob("pool/iterations/*/*.attempt-*.json"))
    assert left(tmp_path) == []
