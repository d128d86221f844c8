"""Submit pools as arrays, and read their results."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.conftest import sleepy_options
from tests.helpers.waiting import TIMEOUT_SECONDS, until
from tests.slurm.cluster import Cluster

PROJECT = Path(__file__).parent.parent.parent
SCRIPT = PROJECT / "scripts" / "run_pool.sh"

Locally = Callable[[list[str]], "Local"]
"""The type of the fixture ``local``."""

VARIABLES = {
    "POOLRL_HOME": str(PROJECT),
    "POOLRL_PYTHON": sys.executable,
    "PYTHONPATH": str(PROJECT),
}
"""Variables with which run_pool.sh uses the environment of the tests."""


def sleepy(iterations: int, unit_seconds: float = 1.0, branches: int = 4) -> list[str]:
    """Arguments of a pool whose units sleep, so that any number of workers run in parallel.

    Args:
        iterations: their number.
        unit_seconds: the duration of a unit.
        branches: their number.
    """
    options = sleepy_options(unit_seconds, branches)
    return [*options, "--iterations", str(iterations)]


def submit(slurm: Cluster, root: Path, arguments: list[str], *options: str) -> str:
    """Submit scripts/run_pool.sh from the folder above the pool's, where the outputs go too.

    Args:
        slurm: the cluster.
        root: the pool's directory.
        arguments: of `poolrl run`.
        options: of sbatch.

    Returns:
        The job's id.
    """
    command = [*options, str(SCRIPT), "--pool-directory", str(root), *arguments]
    return slurm.sbatch(*command, folder=root.parent, variables=VARIABLES)


class Local:
    """A `poolrl run` on this machine, for comparison."""

    def __init__(self, root: Path, arguments: list[str], workers: int = 4) -> None:
        # The kernel ends it with the process of the tests.
        command = ["setpriv", "--pdeathsig", "TERM", sys.executable, "-m", "poolrl", "run"]
        self._root = root
        self._process = subprocess.Popen(
            [*command, "--workers", str(workers), "--pool-directory", str(root), *arguments],
            env=os.environ | VARIABLES,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def root(self) -> Path:
        """Wait until it has ended without error; return the pool's directory."""
        output, _ = self._process.communicate(timeout=900)
        assert self._process.returncode == 0, output
        return self._root

    def end(self) -> None:
        """Stop it, if it still runs."""
        if self._process.poll() is None:
            self._process.terminate()
            self._process.communicate(timeout=TIMEOUT_SECONDS)


def said(root: Path, job: str, task: int) -> str:
    """The output of a task."""
    return (root.parent / f"slurm-{job}_{task}.out").read_text()


def merged(root: Path) -> int:
    """The newest merged iteration; -1 if there is none."""
    return max((int(p.parent.name) for p in root.glob("iterations/*/merge.json")), default=-1)


def wait_for_merge(root: Path, iteration: int) -> None:
    """Wait until an iteration is merged."""
    until(lambda: merged(root) >= iteration, f"iteration {iteration} of {root}")


def deposits(root: Path) -> list[dict[str, Any]]:
    """All records of units, in order."""
    paths = sorted(root.glob("iterations/*/*-[0-9][0-9][0-9].json"))
    return [json.loads(path.read_bytes()) for path in paths]


def deposits_by_worker(root: Path) -> str:
    """The number of deposits of each worker, as text."""
    counted = Counter(
        "{job} on {host}, {restarts} restarts".format(**deposit["worker"])
        for deposit in deposits(root)
    )
    return "; ".join(f"{number} by {who}" for who, number in sorted(counted.items()))


def workers_on(slurm: Cluster, node: str) -> list[int]:
    """The ids of poolrl's processes on a node."""
    return [pid for pid, line in slurm.members(node).items() if " -m poolrl " in line]
