"""File-system calls of a pool below its directory, counted with strace.

    python benchmarks/file_operations.py [--output results/benchmarks/file_operations.md] [--quick]

A task that costs nothing (Plateau-v0, a learner without torch), with 10, 100 and 1,000 branches,
served by one worker, and by four; and ten branches with units of about a second. Counted are calls
by a path in the folder of the last iteration, or by a descriptor of a file there, for each of its
units. What belongs to the pool as a whole (heartbeats) depends on time and not on branches, and is
given per worker and minute.
"""

from __future__ import annotations

import report  # isort: skip  (before NumPy is loaded)

import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import click
from pool import FREE

from poolrl.config.loading import load
from poolrl.config.run_options import RunOptions
from poolrl.pool.directory import make_pool

KINDS = {
    "look up the folder": (),
    "look up a file": ("newfstatat", "lstat", "stat", "statx", "access", "readlink", "mkdir"),
    "open": ("openat",),
    "read": ("read", "pread64"),
    "list": ("getdents64",),
    "create": ("create",),
    "write": ("write", "ftruncate"),
    "fsync": ("fsync",),
    "link": ("link", "linkat"),
    "rename": ("rename", "renameat", "renameat2"),
    "remove": ("unlink", "unlinkat"),
    "touch": ("utimensat", "utime"),
}
LOCAL = ("close", "fcntl", "ioctl", "lseek", "fstat", "mmap", "dup")
"""Calls on open files that need no file server."""

CALL = re.compile(r"(\w+)\((.*)$")
PART = re.compile(r"^(\d+) +(?:<\.\.\. \w+ resumed>)?(.*?)( <unfinished \.\.\.>)?$")


def calls_in(trace: Path) -> Iterator[tuple[str, str]]:
    """Name and arguments of every call, put together where another thread's came between."""
    started: dict[str, str] = {}
    with open(trace, errors="replace") as lines:
        for line in lines:
            part = PART.match(line.rstrip("\n"))
            if part is None:
                continue
            text = started.pop(part[1], "") + part[2]
            if part[3]:
                started[part[1]] = text
            elif (call := CALL.match(text)) is not None:
                yield call[1], call[2]


LONG_STEPS = 30_000
"""Of an episode, for units of about a second."""


@dataclass
class Count:
    """Calls by kind, and names that were listed."""

    calls: Counter[str] = field(default_factory=Counter)
    names: int = 0


def count(trace: Path, folder: str) -> Count:
    """Count the calls that a trace shows below a folder."""
    found = Count()
    kinds = {call: kind for kind, calls in KINDS.items() for call in calls}
    for call, rest in calls_in(trace):
        if folder not in rest or call in LOCAL or re.match(r'\d+<[^>]*>, ""', rest):
            continue
        kind = kinds.get(call, call)
        if call == "openat" and "O_CREAT" in rest:
            kind = "create"
        elif kind == "look up a file" and f'{folder}"' in rest:
            kind = "look up the folder"
        elif kind == "list":
            entries = re.search(r"(\d+) entries", rest)
            found.names += int(entries[1]) if entries else 0
        found.calls[kind] += 1
    return found


def measure(
    root: Path, branches: int, workers: int, steps: int, iterations: int
) -> tuple[Count, Count, float]:
    """Run a pool under strace.

    Args:
        root: directory for the pool and the traces.
        branches: number of branches.
        workers: number of workers.
        steps: length of an episode in control steps.
        iterations: number of iterations.

    Returns:
        The calls of all workers in the folder of the last iteration and in that of the heartbeats,
        and the time that the workers ran, in seconds, summed over workers.
    """
    keys = {"pool.count": branches, "task.max_episode_steps": steps}
    spec, _ = load(None, FREE | keys)
    name = f"{branches}-{workers}-{steps}"
    pool = make_pool(root / name, spec, RunOptions(iterations=iterations))
    layout = pool.layout
    traces = [root / f"trace-{name}-{index}" for index in range(workers)]
    start = time.monotonic()
    processes = []
    for index, trace in enumerate(traces):
        strace = ["strace", "-f", "-y", "-v", "-s", "512", "--seccomp-bpf", "-o", str(trace)]
        strace += ["-e", "trace=%file,%desc", "-e", "abbrev=getdents64"]
        worker = [sys.executable, "-P", "-m", "poolrl", "worker", "--prefer", str(index)]
        worker += ["--pool-directory", str(layout.root)]
        processes.append(subprocess.Popen([*strace, *worker], stderr=subprocess.DEVNULL))
    for process in processes:
        if process.wait():
            raise SystemExit(f"a worker ended with exit code {process.returncode}")
    seconds = workers * (time.monotonic() - start)
    folder, beats = Count(), Count()
    for trace in traces:
        for total, place in (
            (folder, layout.iteration(iterations).folder),
            (beats, layout.workers),
        ):
            counted = count(trace, str(place))
            total.calls += counted.calls
            total.names += counted.names
        trace.unlink()
    return folder, beats, seconds


@click.command()
@click.option("--output", type=click.Path(path_type=Path))
@click.option("--directory", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--quick", is_flag=True, help="Without the pool of 1,000 branches.")
def main(output: Path | None, directory: Path | None, quick: bool) -> None:
    """Print a table, and write it to a file."""
    if shutil.which("strace") is None:
        raise SystemExit("strace: not found; apt-get install strace")
    cases = [(branches, workers, 1) for workers in (1, 4) for branches in (10, 100, 1000)]
    cases = [*(case for case in cases if not (quick and case[0] > 100)), (10, 4, LONG_STEPS)]
    columns: list[list[str]] = []
    with tempfile.TemporaryDirectory(dir=directory) as name:
        for branches, workers, steps in cases:
            # The closing evaluation of the last iteration counts among its units.
            folder, beats, seconds = measure(Path(name).resolve(), branches, workers, steps, 2)
            units = branches + 2
            calls = [folder.calls[kind] / units for kind in KINDS]
            other = abs(sum(folder.calls.values()) / units - sum(calls))
            beating = 60 * sum(beats.calls.values()) / seconds
            columns.append(
                [f"{value:.2f}" for value in (*calls, other, sum(calls) + other)]
                + [f"{folder.names / units:.1f}", f"{beating:.0f}"]
            )
    labels = [*KINDS, "other", "**all**", "names listed", "heartbeats, calls a worker and minute"]
    head = [
        f"{branches:,} by {workers}{', a second each' if steps > 1 else ''}"
        for branches, workers, steps in cases
    ]
    rows = [[label, *(column[row] for column in columns)] for row, label in enumerate(labels)]
    body = report.table(["calls a unit", *head], rows)
    body += "\n\n*10 by 4*: ten branches served by four workers."
    command = f"python benchmarks/file_operations.py{' --quick' if quick else ''}"
    report.keep(output, "What a pool asks of its file system", command, body)


if __name__ == "__main__":
    main()
