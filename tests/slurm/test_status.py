"""`poolrl status` on a real SLURM: who is at what, and why a pool waits."""

from __future__ import annotations

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

from tests.slurm.cluster import Cluster
from tests.slurm.jobs import (
    VARIABLES,
    merged,
    sleepy,
    submit,
    wait_for_merge,
    workers_on,
)
from tests.waiting import until

SECONDS = 2.0
"""How soon a change should be told."""


class Watch:
    """What `poolrl status --watch --json` says, with the time at which it does."""

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


def claims(root: Path, seen: dict[tuple[int, str], float]) -> None:
    """Note since when a unit has been claimed, which the file itself does not keep."""
    for lease in root.glob("iterations/*/branch-*.lease"):
        seen.setdefault((int(lease.parent.name), lease.stem), time.time())


def test_a_change_is_told_with_node_job_and_age(slurm: Cluster, tmp_path: Path) -> None:
    root = tmp_path / "pool"
    job = submit(slurm, root, sleepy(4, 3.0), "--array=0-3")
    until((root / "iterations" / "000000").exists, "the pool")
    claimed: dict[tuple[int, str], float] = {}
    with watching(slurm, root) as watch:
        until(lambda: merged(root) >= 0 and watch.lines, "a watch at work")
        claimed.clear()
        while merged(root) < 3:
            claims(root, claimed)
            time.sleep(0.05)
        lines = list(watch.lines)
    slurm.wait(job, 4)
    nodes: dict[str, set[str]] = {}
    delays = []
    for (iteration, stem), since in claimed.items():
        if iteration not in (2, 3):
            continue
        for at, status in lines:
            units = [u for u in status["units"] if u["unit"] == stem]
            if status["iteration"] != iteration or units[0]["state"] != "working":
                continue
            (unit,) = units
            if unit["host"] in slurm.nodes and unit["job"].startswith(f"{job}_"):
                delays.append(at - since)
                nodes.setdefault(unit["host"], set()).add(unit["job"])
                break
    ages = [
        abs(unit["claimed_seconds"] - (at - claimed[status["iteration"], unit["unit"]]))
        for at, status in lines
        for unit in status["units"]
        if unit["claimed_seconds"] is not None
        and unit["state"] == "working"
        and (status["iteration"], unit["unit"]) in claimed
        and status["iteration"] > 1
    ]
    print(f"{len(delays)} claims were told within {max(delays):.2f} s, ages ± {max(ages):.2f} s")
    assert len(delays) == 8
    # But for a machine that is too busy to run a watch in time.
    assert sorted(delays)[5] <= SECONDS
    assert sorted(ages)[len(ages) * 3 // 4] <= SECONDS
    assert {host: len(jobs) for host, jobs in nodes.items()} == dict.fromkeys(slurm.nodes, 1)


def test_a_stopped_worker_is_what_the_pool_waits_for(slurm: Cluster, tmp_path: Path) -> None:
    root = tmp_path / "pool"
    # Units of which none is doubled before a lease of twelve seconds has lapsed.
    arguments = [*sleepy(2, 4.0), "--set", "pool.lease_duration=12.0"]
    job = submit(slurm, root, arguments, "--array=0-3")
    wait_for_merge(root, 0)
    with watching(slurm, root) as watch:

        def at_it() -> list[dict[str, Any]]:
            units = watch.last.get("units", [])
            return [u for u in units if u["state"] == "working" and u["host"] == "n2" and u["job"]]

        until(at_it, "a unit on n2")
        stem, task = at_it()[0]["unit"], at_it()[0]["job"]
        (worker,) = workers_on(slurm, "n2")
        os.kill(worker, signal.SIGSTOP)
        stopped = time.time()

        def told() -> str:
            reasons = [r["text"] for r in watch.last["waiting"] if r["unit"] == stem]
            return next((text for text in reasons if "silent" in text), "")

        text = until(told, "that the pool waits for the stopped worker", 60)
        print(f"after {time.time() - stopped:.1f} s: {text}")
        assert text.startswith(f"{stem}: worker on n2 (job {task}) silent for ")
        assert "taken over once its lease has lapsed, in at most " in text
        until(lambda: watch.last["iteration"] > 1, "that another worker has done it", 90)
        shown = watch.last["workers"]
        assert [w["job"] for w in shown if w["state"] == "silent"] == [task]
        os.kill(worker, signal.SIGCONT)
        tasks = slurm.wait(job, 4)
    assert {each.exit_code for each in tasks.values()} == {0}
    known = [line["slurm"] for _, line in watch.lines if line["slurm"]]
    assert {each["nodes"] for each in known[0]} == set(slurm.nodes)
