"""Measure the cost of killing one of five workers in every iteration.

    python -m tests.faults.kills --iterations 6 --directory D

Units sleep instead of computing, so that five workers run in parallel on any machine. Each run is
`poolrl run --workers 5`, which restarts killed workers. In the second run a seeded generator
chooses the worker that is killed and the time within the iteration. Prints both durations and their
ratio.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.conftest import TINY, sleepy_options
from tests.faults.checker import check, same_history
from tests.helpers.processes import workers_of

WORKERS = 5
LEASE_SECONDS = TINY["pool.lease_duration"]


def settings(branches: int, iteration_seconds: float) -> list[str]:
    """Options of a pool whose undisturbed iterations take some seconds."""
    return sleepy_options(iteration_seconds * WORKERS / branches, branches)


def run(root: Path, arguments: list[str], iterations: int, killer: random.Random | None) -> float:
    """Run a pool.

    Args:
        root: its directory.
        arguments: of `poolrl run`.
        iterations: their number.
        killer: the generator that chooses the workers to kill; ``None`` for an undisturbed run.

    Returns:
        The seconds from the first merge to the last one.
    """
    command = [sys.executable, "-m", "poolrl", "run", "--pool-directory", str(root)]
    command += ["--workers", str(WORKERS), "--iterations", str(iterations), *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    began, length = wait_for_merge(root, 0, process), 10.0
    merged = began
    for iteration in range(1, iterations + 1):
        if killer is not None:
            time.sleep(killer.uniform(0.0, 0.9 * length))
            os.kill(killer.choice(workers_of(root)), signal.SIGKILL)
        merged = wait_for_merge(root, iteration, process)
    said, _ = process.communicate()
    if process.returncode != 0:
        raise SystemExit(said.decode())
    return merged - began


def wait_for_merge(root: Path, iteration: int, process: subprocess.Popen[bytes]) -> float:
    """Wait for the merge of an iteration; return the time on the monotonic clock."""
    path = root / "iterations" / f"{iteration:06d}" / "merge.json"
    while not path.exists():
        if process.poll() not in (None, 0):
            raise SystemExit(f"the run ended with {process.returncode}")
        time.sleep(0.02)
    return time.monotonic()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--iterations", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=10.0, help="of an undisturbed iteration")
    parser.add_argument("--branches", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--directory", type=Path, required=True)
    given = parser.parse_args()
    directory = given.directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    arguments = settings(given.branches, given.seconds)
    calm = run(directory / "calm", arguments, given.iterations, None)
    killed = run(directory / "killed", arguments, given.iterations, random.Random(given.seed))
    broken = check(directory / "killed", iterations=given.iterations)
    broken += same_history(directory / "killed", directory / "calm")
    print(
        f"{given.iterations} iterations of {given.branches} branches, {WORKERS} workers, lease "
        f"{LEASE_SECONDS:g} s: undisturbed {calm / given.iterations:.1f} s an iteration; with one "
        f"worker killed in each {killed / given.iterations:.1f} s, {killed / calm:.2f} times as "
        f"long; broken: {len(broken)}",
        *broken,
        sep="\n",
    )
    sys.exit(bool(broken))


if __name__ == "__main__":
    main()
