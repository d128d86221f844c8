"""Cut the power under a pool, and find what it lost."""

from __future__ import annotations

import random
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from poolrl.config.run_options import RunOptions
from poolrl.errors import IncompatiblePool
from poolrl.pool.directory import make_pool, open_pool
from poolrl.records.work_units import Unit
from tests.faults.file_systems import Ext4
from tests.faults.scenarios import ITERATIONS, POOL, environment, spec, wait_for

WORKER = """\
import os, sys
if sys.argv[3] == "careless":
    os.fsync = lambda descriptor: None
from poolrl.cli.main import main
sys.exit(main(["worker", "--pool-directory", sys.argv[1], "--iterations", sys.argv[2]]))
"""


@dataclass
class Cut:
    """The effect of a power cut.

    Attributes:
        after: the number of logged deposits after which it was caused.
        logged: the units that the workers had logged as deposited.
        lost: those of them, and merges that later units depend on, that are missing or damaged.
        committed: whether the kernel committed the journal meanwhile, because a worker or another
            process asked for it.
    """

    after: int
    logged: set[Unit]
    lost: list[str]
    committed: bool


def power_cut(system: Ext4, logs: Path, seed: int, *, careless: bool = False) -> Cut:
    """Cut the power at a random instant of a pool's run, and mount the file system again.

    Args:
        system: an empty file system.
        logs: a folder on another file system, for the workers' logs.
        seed: of the instant.
        careless: whether the workers omit every fsync; then deposits should be lost.
    """
    root = system.point / POOL
    make_pool(root, spec(), RunOptions())
    if careless:
        system.sync()  # the cut must not lose the pool's own files
    num_commits = system.num_commits()
    instant = random.Random(seed)
    after = instant.randint(1, 4 * ITERATIONS)  # of 4 units an iteration, and two more
    arguments = [str(root), str(ITERATIONS), "careless" if careless else "careful"]
    files = [logs / f"worker-{index}.log" for index in range(2)]
    workers = []
    for path in files:
        with open(path, "wb") as log:
            workers.append(
                subprocess.Popen(
                    [sys.executable, "-c", WORKER, *arguments], env=environment(), stderr=log
                )
            )
    try:
        wait_for(lambda: text_of(files).count(": score") >= after, workers[0])
        time.sleep(instant.uniform(0.0, 0.2))
        committed = system.num_commits() != num_commits
        system.cut()
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    pattern = re.compile(r"iteration (\d+) ([a-z]+)-(\d+): score")
    logged = {Unit(int(i), kind, int(n)) for i, kind, n in pattern.findall(text_of(files))}
    system.mount_again()
    return Cut(after, logged, lost(root, logged), committed)


def text_of(files: list[Path]) -> str:
    """The contents of files, one after the other."""
    return "".join(path.read_text() for path in files)


def lost(root: Path, logged: set[Unit]) -> list[str]:
    """The logged units, and the merges before them, that are missing or damaged in a pool."""
    pool = open_pool(root)
    deposit_store = pool.deposit_store()
    missing = []
    for unit in sorted(logged, key=lambda unit: (unit.iteration, unit.stem)):
        record = deposit_store.deposit(unit)
        if record is None:
            missing.append(f"{unit.iteration} {unit.stem}")
    last = max((unit.iteration - (unit.kind != "closing") for unit in logged), default=-1)
    for iteration in range(last + 1):
        try:
            deposit_store.champion(deposit_store.merge(iteration).champion)
        except IncompatiblePool as error:
            missing.append(f"{iteration} merge: {error}")
    return missing
