"""Run real pools on file systems that fail, and check how the pools end."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from poolrl.config.run_options import RunOptions
from poolrl.config.schema import Spec
from poolrl.monitoring.history import History
from poolrl.pool.directory import make_pool, open_pool
from poolrl.pool.stop_criteria import StopCriteria
from poolrl.worker.loop import Worker
from tests.conftest import tiny_spec
from tests.faults.checker import check
from tests.helpers.command_line import settings
from tests.helpers.pools import champions, snapshot
from tests.helpers.waiting import TIMEOUT_SECONDS

STEPS = 3000
"""Steps per episode: a unit takes about 0.1 s."""

ITERATIONS = 6
LEASE = 0.5
POOL = "pool"

MIDWAY_TRIES = 5
"""Runs of `midway` until one is not complete before its fault."""


@dataclass
class Case:
    """A fault and its effect on a pool.

    Attributes:
        fault: what was done to the file system, and when.
        command: the user's command.
        printed: the last line that it printed.
        code: its exit code.
        left: the contents of the pool after the fault.
        ended: how the pool ended when the command was run again.
    """

    fault: str
    command: str
    printed: str
    code: int
    left: str
    ended: str


def keys() -> dict[str, object]:
    return {"task__max_episode_steps": STEPS, "pool__lease_duration": LEASE}


def spec() -> Spec:
    return tiny_spec(**keys())


@functools.cache
def undisturbed() -> tuple[str, ...]:
    """SHA-256 of every iteration's champion in a run without faults."""
    with tempfile.TemporaryDirectory() as directory:
        pool = make_pool(Path(directory) / POOL, spec(), RunOptions())
        Worker(pool, StopCriteria(ITERATIONS)).run()
        return tuple(champions(pool))


def run_command(iterations: int = ITERATIONS) -> list[str]:
    """``poolrl run`` of a pool in the current directory."""
    command = [sys.executable, "-m", "poolrl", "run", "--pool-directory", POOL]
    return [*command, "--workers", "2", "--iterations", str(iterations), *settings(**keys())]


SHOWN = f"poolrl run --pool-directory {POOL} …"


def run(directory: Path, prefix: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run the command of `run_command` in a directory, after a prefix such as ``unshare``."""
    return subprocess.run(
        [*prefix, *run_command()],
        cwd=directory,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )


def environment() -> dict[str, str]:
    """Variables with which Python imports poolrl and the tests from any directory."""
    root = str(Path(__file__).parents[2])
    return os.environ | {"PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}


def deposits(root: Path) -> dict[str, bytes]:
    """The files of a pool that must not be lost: records and merges."""
    return {
        name: data
        for name, data in snapshot(root).items()
        if re.fullmatch(r"iterations/\d+/(\w+-\d+|merge)\.json", name)
    }


def check_refusal(code: int, said: str) -> str:
    """The command failed with one line on stderr; return it."""
    lines = said.strip().splitlines()
    assert len(lines) == 1, said
    assert lines[0].startswith("poolrl: "), said
    assert code not in (0, 75, 130), (code, said)
    return lines[0]


def check_ended(root: Path, before: dict[str, bytes]) -> None:
    """The pool is finished, as without faults, and still has the given deposits."""
    assert tuple(champions(open_pool(root))) == undisturbed()
    after = deposits(root)
    assert before.items() <= after.items()
    read = History(open_pool(root))
    read.refresh()
    assert read.closing is not None
    assert read.closing.iteration == ITERATIONS
    assert not list(root.rglob("*.corrupt-*"))
    assert check(root, iterations=ITERATIONS) == []


def finish(directory: Path, before: dict[str, bytes]) -> str:
    """Run the same command again and check the pool; return the result in words."""
    done = run(directory)
    assert done.returncode == 0, done.stderr
    check_ended(directory / POOL, before)
    return "same command: exit 0, all records still there, champion as undisturbed"


def midway(
    directory: Path, fault: str, cause: Callable[[], None], repair: Callable[[], None]
) -> Case:
    """Cause a fault of a file system while a pool runs on it, and repair it after the run.

    Every deposit that exists when the run has ended must exist at the end. A run that was complete
    before the fault was caused is checked and repeated with a new pool.

    Args:
        directory: where the file system is mounted.
        fault: its name.
        cause: causes it.
        repair: repairs the file system.
    """
    undisturbed()
    for _ in range(MIDWAY_TRIES):
        seconds, code, said = _disturbed(directory, cause)
        if code != 0:
            break
        repair()
        check_ended(directory / POOL, {})
        shutil.rmtree(directory / POOL)
    line = check_refusal(code, said)
    repair()
    for log in (directory / POOL / "logs").iterdir():
        assert "Traceback" not in log.read_text(errors="replace"), log.read_text()
    left = deposits(directory / POOL)
    merges = sum(name.endswith("merge.json") for name in left)
    ended = finish(directory, left)
    return Case(
        fault,
        f"{SHOWN} (ended {seconds:.0f} s later)",
        line,
        code,
        f"{len(left) - merges} records, {merges} merges",
        ended,
    )


def _disturbed(directory: Path, cause: Callable[[], None]) -> tuple[float, int, str]:
    """Run the command and cause the fault in iteration 2.

    Returns:
        The seconds from the fault to the run's end, its exit code and its messages.
    """
    process = subprocess.Popen(
        run_command(),
        cwd=directory,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for((directory / POOL / "iterations" / "000002").exists, process)
        cause()
        began = time.monotonic()
        _, said = process.communicate(timeout=TIMEOUT_SECONDS)
        return time.monotonic() - began, process.returncode, said
    finally:
        process.kill()
        process.communicate()


def wait_for(
    condition: Callable[[], object], process: subprocess.Popen[str] | subprocess.Popen[bytes]
) -> None:
    """Wait until a condition is true that a process makes true."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not condition():
        # The process may make it true and end between the two calls.
        assert process.poll() is None or condition(), process.communicate()
        assert time.monotonic() < deadline, f"not within {TIMEOUT_SECONDS:g} s"
        time.sleep(0.005)


def fill(directory: Path) -> Path:
    """Fill a file system; return the file that fills it."""
    filler = directory / "filler"
    with contextlib.suppress(OSError), open(filler, "ab", buffering=0) as file:
        for size in (1 << 16, 1 << 12):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))
    assert os.statvfs(directory).f_bavail * os.statvfs(directory).f_frsize < 4096
    return filler


def refused(directory: Path, fault: str, prefix: tuple[str, ...] = ()) -> Case:
    """Run the command where no pool can be made."""
    before = sorted(directory.rglob("*"))
    done = run(directory, prefix)
    line = check_refusal(done.returncode, done.stderr)
    assert sorted(directory.rglob("*")) == before
    return Case(fault, SHOWN, line, done.returncode, "nothing", "–")
