"""Start, watch and end worker processes."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from poolrl.config.run_options import RunOptions
from poolrl.config.schema import Spec
from poolrl.pool.directory import Pool, make_pool
from poolrl.records.work_units import Unit
from tests.conftest import tiny_spec
from tests.helpers.waiting import TIMEOUT_SECONDS

Started = subprocess.Popen[bytes]

ITERATIONS = 4
"""Of the pools that `run` makes and of the workers that `start` and `odd` start."""

LONG = {"task.max_episode_steps": 5_000_000}
"""Keys of a pool whose units take minutes."""


def start(pool: Pool, iterations: int = ITERATIONS, *options: str) -> Started:
    """Start a worker; its messages go to a pipe."""
    command = [sys.executable, "-m", "poolrl", "worker", "--iterations", str(iterations)]
    return subprocess.Popen(
        [*command, "--pool-directory", str(pool.layout.root), *options], stderr=subprocess.PIPE
    )


def odd(pool: Pool, behaviour: str, point: str, count: int = 1, *options: str) -> Started:
    """Start a worker that behaves oddly at a point.

    Args:
        pool: its pool.
        behaviour: what it does; a key of BEHAVIOURS in tests/worker/odd_worker.py.
        point: where; a key of POINTS there.
        count: from which time on that it reaches the point.
        options: of `poolrl worker`.
    """
    script = Path(__file__).parents[1] / "worker" / "odd_worker.py"
    command = [sys.executable, str(script), behaviour, point, str(count), str(pool.layout.root)]
    command += ["--iterations", str(ITERATIONS), *options]
    return subprocess.Popen(command, stderr=subprocess.PIPE)


def doomed(pool: Pool, point: str, count: int) -> Started:
    """Start a worker that kills itself the `count`-th time that it reaches a point."""
    return odd(pool, "die", point, count)


def run(root: Path, workers: int, spec: Spec | None = None) -> Pool:
    """Make a pool and let workers finish it."""
    pool = make_pool(root, spec or tiny_spec(), RunOptions())
    for worker in [start(pool) for _ in range(workers)]:
        said_by(worker)
    return pool


@contextlib.contextmanager
def ended(*workers: Started) -> Iterator[None]:
    """Kill the workers when the block ends."""
    try:
        yield
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()


def said_by(worker: Started, code: int = 0) -> str:
    """Wait until a worker ends with an exit code; what it printed to stderr."""
    _, said = worker.communicate(timeout=TIMEOUT_SECONDS)
    assert worker.returncode == code, said.decode()
    return said.decode()


def leftovers(pool: Pool) -> list[str]:
    """The names of temporary files and leases in a pool."""
    return [
        path.name
        for path in pool.layout.root.rglob("*")
        if path.name.startswith(".tmp") or path.suffix == ".lease"
    ]


def at_work_on(pool: Pool, unit: Unit) -> Callable[[], bool]:
    """A condition: whether a worker has claimed a unit."""
    return pool.layout.iteration(unit.iteration).lease(unit).exists


def busy(root: Path) -> bool:
    """Whether any unit of a pool is claimed."""
    return bool(list(root.glob("iterations/*/*.lease")))


def workers_of(root: Path) -> list[int]:
    """Process ids of the workers on a pool."""
    return processes_with(f"worker --pool-directory {root} ")


def processes_with(words: str) -> list[int]:
    """Ids of the processes with these words in their command line, from the output of `ps`."""
    listing = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pid=,stat=,args="], capture_output=True, text=True, check=True
    )
    lines = (line.split(None, 2) for line in listing.stdout.splitlines())
    return [
        int(pid)
        for pid, state, arguments in lines
        if words in arguments and not state.startswith("Z")
    ]
