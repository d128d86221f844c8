"""`poolrl status` on a real SLURM: the workers, their units, and why a pool waits."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.waiting import until
from tests.slurm.cluster import Cluster
from tests.slurm.jobs import (
    VARIABLES,
    merged,
    sleepy,
    submit,
    wait_for_merge,
    workers_on,
)

REFRESHES = 2
"""After how many refreshes a change must be shown: one may have started before the change."""

SECONDS = 2.0
"""Tolerance of shown ages."""


class Watch:
    """The lines of `poolrl status --watch --json`, with the times at which they are read."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.lines: list[tuple[float, dict[str, Any]]] = []
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append((time.time(), json.loads(line)))

    @property
    def last(self) -> dict[str, Any]:
        return self.lines[-1][1] if self.lines else {}

    def end(self) -> None:
        self._process.terminate()
        self._thread.join()
        self._process.wait()


@contextmanager
def watching(slurm: Cluster, root: Path) -> Iterator[Watch]:
    command = [sys.executable, "-m", "poolrl", "status", str(root), "--watch", "--json"]
    watch = Watch(
        subprocess.Popen(
            command, env=slurm.environment | VARIABLES, stdout=subprocess.PIPE, text=True
        )
    )
    try:
        yield watch
    finally:
        watch.end()


def claims(root: Path) -> list[tuple[int, str]]:
    """The claimed branches: iteration and stem."""
    return [
        (int(lease.parent.name), lease.stem) for lease in root.glob("iterations/*/branch-*.lease")
    ]


@pytest.mark.full
def test_a_change_is_shown_with_node_job_and_age(slurm: Cluster, tmp_path: Path) -> None:
    root = tmp_path / "pool"
    job = submit(slurm, root, sleepy(4, 3.0), "--array=0-3")
    until((root / "iterations" / "000000").exists, "the pool")
    # Each claim was made between two polls, whose times these are.
    claimed: dict[tuple[int, str], tuple[float, float]] = {}
    with watching(slurm, root) as watch:
        until(lambda: merged(root) >= 0 and watch.lines, "the first line of the watch")
        last_poll = time.time()
        while merged(root) < 3:
            poll = time.time()
            for unit in claims(root):
                claimed.setdefault(unit, (last_poll, time.time()))
            last_poll = poll
            time.sleep(0.05)
        lines = list(watch.lines)
    slurm.wait(job, 4)
    nodes: dict[str, set[str]] = {}
    delays = []
    refreshes = []
    for (iteration, stem), (_, since) in claimed.items():
        if iteration not in (2, 3):
            continue
        for at, status in lines:
            units = [u for u in status["units"] if u["unit"] == stem]
            if status["iteration"] != iteration or units[0]["state"] != "working":
                continue
            (unit,) = units
            if unit["host"] in slurm.nodes and unit["job"].startswith(f"{job}_"):
                delays.append(at - since)
                refreshes.append(sum(since < earlier <= at for earlier, _ in lines))
                nodes.setdefault(unit["host"], set()).add(unit["job"])
                break
    ages = [
        outside(
            unit["claimed_seconds"],
            # A refresh reads the files between its line and the one before.
            before - claimed[status["iteration"], unit["unit"]][1],
            at - claimed[status["iteration"], unit["unit"]][0],
        )
        for (before, _), (at, status) in itertools.pairwise(lines)
        for unit in status["units"]
        if unit["claimed_seconds"] is not None
        and unit["state"] == "working"
        and (status["iteration"], unit["unit"]) in claimed
        and status["iteration"] > 1
    ]
    print(f"{len(delays)} claims were shown within {max(delays):.2f} s, ages ± {max(ages):.2f} s")
    assert len(delays) == 8
    assert max(refreshes) <= REFRESHES
    assert sorted(ages)[len(ages) * 3 // 4] <= SECONDS
    assert {host: len(jobs) for host, jobs in nodes.items()} == dict.fromkeys(slurm.nodes, 1)


def outside(value: float, low: float, high: float) -> float:
    """The distance of a value from an interval."""
    return max(low - value, value - high, 0.0)


@pytest.mark.full  # a stopped worker without SLURM: tests/monitoring/test_pool_status.py
def test_a_stopped_worker_is_what_the_pool_waits_for(slurm: Cluster, tmp_path: Path) -> None:
    root = tmp_path / "pool"
    # Units that are not doubled before a lease of twelve seconds has expired.
    arguments = [*sleepy(2, 4.0), "--set", "pool.lease_duration=12.0"]
    job = submit(slurm, root, arguments, "--array=0-3")
    wait_for_merge(root, 0)
    with watching(slurm, root) as watch:

        def on_n2() -> list[dict[str, Any]]:
            units = watch.last.get("units", [])
            return [u for u in units if u["state"] == "working" and u["host"] == "n2" and u["job"]]

        until(on_n2, "a unit on n2")
        stem, task = on_n2()[0]["unit"], on_n2()[0]["job"]
        (worker,) = workers_on(slurm, "n2")
        os.kill(worker, signal.SIGSTOP)
        stopped = time.time()

        def reason() -> str:
            reasons = [r["text"] for r in watch.last["waiting"] if r["unit"] == stem]
            return next((text for text in reasons if "silent" in text), "")

        text = until(reason, "that the pool waits for the stopped worker")
        print(f"after {time.time() - stopped:.1f} s: {text}")
        assert text.startswith(f"{stem}: worker on n2 (job {task}) silent for ")
        assert "taken over once its lease has lapsed, in at most " in text
        until(lambda: watch.last["iteration"] > 1, "that another worker has done it")
        shown = watch.last["workers"]
        assert [w["job"] for w in shown if w["state"] == "silent"] == [task]
        os.kill(worker, signal.SIGCONT)
        tasks = slurm.wait(job, 4)
    assert {each.exit_code for each in tasks.values()} == {0}
    known = [line["slurm"] for _, line in watch.lines if line["slurm"]]
    assert {each["nodes"] for each in known[0]} == set(slurm.nodes)
