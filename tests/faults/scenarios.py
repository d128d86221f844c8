"""Faults of file systems, made to happen to real pools, and what was seen."""

from __future__ import annotations

import contextlib
import functools
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from poolrl.config.schema import RunOptions, Spec
from poolrl.monitoring.history import History
from poolrl.pool.directory import make_pool, open_pool
from poolrl.pool.stop_criteria import Ending
from poolrl.records.work_units import Unit
from poolrl.storage.deposits import Archive
from poolrl.worker.loop import Worker
from tests.cli.test_errors import settings
from tests.conftest import tiny_spec
from tests.faults.checker import check
from tests.faults.file_systems import Ext4
from tests.pool.test_directory import snapshot
from tests.worker.test_processes import champions

STEPS = 3000
"""Of an episode: a unit takes some 0.1 s."""

ITERATIONS = 6
LEASE = 0.5
PATIENCE = 120.0
POOL = "pool"


@dataclass
class Case:
    """A fault, and what became of the pool.

    Attributes:
        fault: what was done to the file system, and when.
        command: what the user had started.
        printed: the last line that it printed.
        code: its exit code.
        left: what was in the pool then.
        ended: how the pool ended.
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
    """SHA-256 of every iteration's champion where nothing goes wrong."""
    with tempfile.TemporaryDirectory() as place:
        pool = make_pool(Path(place) / POOL, spec(), RunOptions())
        Worker(pool, Ending(ITERATIONS)).run()
        return tuple(champions(pool))


def run_command(iterations: int = ITERATIONS) -> list[str]:
    """``poolrl run`` of a pool in the current directory."""
    command = [sys.executable, "-m", "poolrl", "run", "--pool-directory", POOL]
    return [*command, "--workers", "2", "--iterations", str(iterations), *settings(**keys())]


SHOWN = f"poolrl run --pool-directory {POOL} …"


def run(place: Path, prefix: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*prefix, *run_command()],
        cwd=place,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def environment() -> dict[str, str]:
    """So that modules are found from any directory."""
    root = str(Path(__file__).parents[2])
    return os.environ | {"PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}


def deposits(root: Path) -> dict[str, bytes]:
    """Everything in a pool that must not be lost: records and merges."""
    return {
        name: data
        for name, data in snapshot(root).items()
        if re.fullmatch(r"iterations/\d+/(\w+-\d+|merge)\.json", name)
    }


def check_refusal(code: int, said: str) -> str:
    """One clear line; which one."""
    lines = said.strip().splitlines()
    assert len(lines) == 1, said
    assert lines[0].startswith("poolrl: "), said
    assert code not in (0, 75, 130), (code, said)
    return lines[0]


def check_ended(root: Path, before: dict[str, bytes]) -> None:
    """The pool is at its end, as if nothing had happened, and with all that it had before."""
    assert tuple(champions(open_pool(root))) == undisturbed()
    after = deposits(root)
    assert before.items() <= after.items()
    read = History(open_pool(root))
    read.refresh()
    assert read.closing is not None
    assert read.closing.iteration == ITERATIONS
    assert not list(root.rglob("*.corrupt-*"))
    assert check(root, iterations=ITERATIONS) == []


def finish(place: Path, before: dict[str, bytes]) -> str:
    """The same command again ends as it should; in a word."""
    done = run(place)
    assert done.returncode == 0, done.stderr
    check_ended(place / POOL, before)
    return "same command: exit 0, all records still there, champion as undisturbed"


# Faults while a pool runs


def midway(place: Path, fault: str, cause: Callable[[], None], repair: Callable[[], None]) -> Case:
    """Let something happen to a file system while a pool runs on it; later it is mended.

    Args:
        place: the file system.
        fault: its name.
        cause: makes it happen.
        repair: mends it.

    What was there when the run ended must be there at the end.
    """
    undisturbed()
    process = subprocess.Popen(
        run_command(),
        cwd=place,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for((place / POOL / "iterations" / "000002").exists, process)
        cause()
        began = time.monotonic()
        _, said = process.communicate(timeout=PATIENCE)
        seconds = time.monotonic() - began
    finally:
        process.kill()
        process.communicate()
    line = check_refusal(process.returncode, said)
    repair()
    for log in (place / POOL / "logs").iterdir():
        assert "Traceback" not in log.read_text(errors="replace"), log.read_text()
    left = deposits(place / POOL)
    merges = sum(name.endswith("merge.json") for name in left)
    ended = finish(place, left)
    return Case(
        fault,
        f"{SHOWN} (ended {seconds:.0f} s later)",
        line,
        process.returncode,
        f"{len(left) - merges} records, {merges} merges",
        ended,
    )


def wait_for(
    condition: Callable[[], object], process: subprocess.Popen[str] | subprocess.Popen[bytes]
) -> None:
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)


def fill(place: Path) -> Path:
    """Use up every block that is free; the file that has them."""
    filler = place / "filler"
    with contextlib.suppress(OSError), open(filler, "ab", buffering=0) as file:
        for size in (1 << 16, 1 << 12):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))
    assert os.statvfs(place).f_bavail * os.statvfs(place).f_frsize < 4096
    return filler


def refused(place: Path, fault: str, prefix: tuple[str, ...] = ()) -> Case:
    """Try to make a pool where none can be."""
    before = sorted(place.rglob("*"))
    done = run(place, prefix)
    line = check_refusal(done.returncode, done.stderr)
    assert sorted(place.rglob("*")) == before
    return Case(fault, SHOWN, line, done.returncode, "nothing", "–")


# Power cuts

WORKER = """\
import os, sys
if sys.argv[3] == "careless":
    os.fsync = lambda descriptor: None
sys.argv = ["poolrl", "worker", "--pool-directory", sys.argv[1], "--iterations", sys.argv[2]]
from poolrl.cli.main import main
main()
"""


@dataclass
class Cut:
    """What a power cut has done.

    Attributes:
        after: how many deposits had been logged when it was decided on.
        logged: the units that workers had said were deposited.
        lost: those of them, and merges that others built on, that were gone afterwards.
    """

    after: int
    logged: set[Unit]
    lost: list[str]


def power_cut(system: Ext4, logs: Path, seed: int, *, careless: bool = False) -> Cut:
    """Cut the power at a random instant of a pool's life, and start the machine again.

    Args:
        system: has nothing on it yet.
        logs: a folder elsewhere, that survives.
        seed: of the instant.
        careless: whether the workers leave out every fsync, to see that this is noticed.
    """
    root = system.point / POOL
    make_pool(root, spec(), RunOptions())
    if careless:
        os.sync()
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
        wait_for(lambda: told(files).count(": score") >= after, workers[0])
        time.sleep(instant.uniform(0.0, 0.2))
        system.cut()
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    pattern = re.compile(r"iteration (\d+) ([a-z]+)-(\d+): score")
    logged = {Unit(int(i), kind, int(n)) for i, kind, n in pattern.findall(told(files))}
    system.mount_again()
    return Cut(after, logged, lost(root, logged))


def told(files: list[Path]) -> str:
    return "".join(path.read_text() for path in files)


def lost(root: Path, logged: set[Unit]) -> list[str]:
    """What should be in a pool and is not, or not whole."""
    pool = open_pool(root)
    archive = Archive(pool)
    missing = []
    for unit in sorted(logged, key=lambda unit: (unit.iteration, unit.stem)):
        record = archive.deposit(unit)
        if record is None:
            missing.append(f"{unit.iteration} {unit.stem}")
    last = max((unit.iteration - (unit.kind != "closing") for unit in logged), default=-1)
    for iteration in range(last + 1):
        layout = pool.layout.iteration(iteration)
        if layout.merge.exists():
            archive.champion(archive.merge(iteration))
        else:
            missing.append(f"{iteration} merge")
    return missing


# Leases that never yield


@contextlib.contextmanager
def dead_elsewhere(place: Path) -> Iterator[Path]:
    """The lease of a worker on another host that was killed in the midst of a branch."""
    pool = make_pool(place / POOL, spec(), RunOptions(iterations=ITERATIONS))
    command = [sys.executable, "-m", "poolrl", "worker", "--pool-directory", POOL]
    victim = subprocess.Popen(
        ["unshare", "--uts", "sh", "-c", 'hostname elsewhere; exec "$@"', "sh", *command],
        cwd=place,
        env=environment(),
        stderr=subprocess.DEVNULL,
    )
    try:
        while True:
            wait_for(lambda: list(pool.layout.iterations.rglob("branch-*.lease")), victim)
            victim.send_signal(signal.SIGSTOP)
            time.sleep(0.02)
            found = list(pool.layout.iterations.rglob("branch-*.lease"))
            if found and "elsewhere" in found[0].read_text():
                break
            victim.send_signal(signal.SIGCONT)
    finally:
        victim.kill()
        victim.wait()
    yield found[0]


def empty_markers(place: Path) -> list[Path]:
    """What is left of leases whose makers were killed, or had no room, before they wrote them: for
    every unit of two iterations, their merges and the end."""
    pool = make_pool(place / POOL, spec(), RunOptions(iterations=ITERATIONS))
    markers = []
    for iteration, stems in (
        (0, ["initial-000", "merge"]),
        (1, ["branch-000", "branch-001", "branch-002", "parent-000", "merge"]),
        (ITERATIONS, ["closing-000"]),
    ):
        folder = pool.layout.iteration(iteration).folder
        folder.mkdir(exist_ok=True)
        markers += [folder / f"{stem}.lease" for stem in stems]
    for marker in markers:
        marker.touch()
    return markers


def despite_leases(place: Path, fault: str, prefix: tuple[str, ...] = ()) -> Case:
    """Run a pool in which some leases will not be given back."""
    before = deposits(place / POOL)
    undisturbed()
    began = time.monotonic()
    done = run(place, prefix)
    seconds = time.monotonic() - began
    assert done.returncode == 0, done.stderr
    check_ended(place / POOL, before)
    line = next(line for line in done.stdout.splitlines() if line.startswith("ended"))
    return Case(
        fault,
        f"{SHOWN} (lease of {LEASE:g} s; took {seconds:.0f} s)",
        line.split(";")[0],
        done.returncode,
        "–",
        "all records still there, champion as undisturbed",
    )
