"""Run pools in which leases are left that nobody gives back."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from poolrl.config.run_options import RunOptions
from poolrl.pool.directory import make_pool
from tests.faults import refuse
from tests.faults.scenarios import (
    ITERATIONS,
    LEASE,
    POOL,
    SHOWN,
    Case,
    check_ended,
    deposits,
    environment,
    run,
    spec,
    undisturbed,
    wait_for,
)

NO_EXCHANGE = "exchange=EINVAL"  # as on NFS


@contextlib.contextmanager
def dead_elsewhere(directory: Path) -> Iterator[Path]:
    """Yield the lease of a worker on another host that was killed while it worked on a branch."""
    pool = make_pool(directory / POOL, spec(), RunOptions(iterations=ITERATIONS))
    command = [sys.executable, "-m", "poolrl", "worker", "--pool-directory", POOL]
    victim = subprocess.Popen(
        ["unshare", "--uts", "sh", "-c", 'hostname elsewhere; exec "$@"', "sh", *command],
        cwd=directory,
        env=environment(),
        stderr=subprocess.DEVNULL,
    )
    try:
        while True:
            wait_for(lambda: list(pool.layout.iterations.rglob("branch-*.lease")), victim)
            victim.send_signal(signal.SIGSTOP)
            wait_for(lambda: stopped(victim.pid), victim)
            found = list(pool.layout.iterations.rglob("branch-*.lease"))
            if found and "elsewhere" in found[0].read_text():
                break
            victim.send_signal(signal.SIGCONT)
    finally:
        victim.kill()
        victim.wait()
    yield found[0]


def stopped(pid: int) -> bool:
    """Whether a process is stopped by a signal."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def empty_markers(directory: Path) -> list[Path]:
    """Make empty leases, as workers leave that are killed, or have no space, before they write
    them: of every unit of two iterations, their merges and the closing evaluation."""
    pool = make_pool(directory / POOL, spec(), RunOptions(iterations=ITERATIONS))
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


def despite_leases(directory: Path, fault: str, prefix: tuple[str, ...] = ()) -> Case:
    """Run the command on a pool with leases that nobody removes."""
    before = deposits(directory / POOL)
    undisturbed()
    began = time.monotonic()
    done = run(directory, prefix)
    seconds = time.monotonic() - began
    assert done.returncode == 0, done.stderr
    check_ended(directory / POOL, before)
    line = next(line for line in done.stdout.splitlines() if line.startswith("ended"))
    return Case(
        fault,
        f"{SHOWN} (lease of {LEASE:g} s; took {seconds:.0f} s)",
        line.split(";")[0],
        done.returncode,
        "–",
        "all records still there, champion as undisturbed",
    )


def empty(folder: Path, *, exchange: bool) -> Case:
    """Run a pool with empty leases, with or without renameat2(RENAME_EXCHANGE)."""
    markers = empty_markers(folder)
    case = despite_leases(
        folder,
        f"{len(markers)} lease markers left empty{suffix(exchange)}",
        () if exchange else refuse.prefix(NO_EXCHANGE),
    )
    if not exchange:
        assert all(marker.read_bytes() == b"" for marker in markers if marker.exists())
    return case


def dead(folder: Path, *, exchange: bool) -> Case:
    """Run a pool with the lease of a killed worker on another host."""
    with dead_elsewhere(folder) as marker:
        held = marker.read_text()
        case = despite_leases(
            folder,
            f"lease of a worker on another host that was killed{suffix(exchange)}",
            () if exchange else refuse.prefix(NO_EXCHANGE),
        )
        assert marker.exists() is not exchange
        assert exchange or marker.read_text() == held  # it was never taken over
    return case


def suffix(exchange: bool) -> str:
    """Of a fault's name."""
    return "" if exchange else ", exchange rename refused"
