"""What is asked of a frozen pool, by the tests and when its answers are recorded."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

import poolrl
from tests.frozen.command import succeed

POOLS = Path(__file__).parent / "pools"

AGE = 600.0
"""Seconds since the files of a pool were changed, as far as it knows: git keeps no times, and
``poolrl status`` shows how long ago a heartbeat came."""

SHOWN = (
    *("task", "seed", "branches", "state", "merged", "iteration", "iterations", "champion"),
    *("environment_steps", "counts", "forgotten_workers", "attempts", "set_aside", "result"),
)
"""Keys of ``poolrl status --json`` whose values follow from the pool's files alone."""

SHOWN_UNIT = ("unit", "state", "score", "reason", "worker", "host", "pid", "copies", "attempts")
SHOWN_WORKER = ("worker", "host", "pid", "state", "iteration", "doing")


def touch(pool: Path) -> None:
    """Set the times of a pool's files."""
    changed = time.time() - AGE
    for path in [pool, *pool.rglob("*")]:
        os.utime(path, (changed, changed))


def status(pool: Path) -> dict[str, Any]:
    """What ``poolrl status --json`` says of a pool that nobody works on, without times."""
    said = json.loads(succeed("status", "--json", pool.name, cwd=pool.parent))
    table = {key: said[key] for key in SHOWN}
    table["units"] = [{key: unit[key] for key in SHOWN_UNIT} for unit in said["units"]]
    table["workers"] = [{key: worker[key] for key in SHOWN_WORKER} for worker in said["workers"]]
    return table


def history(pool: Path) -> str:
    """A pool's history as CSV."""
    return succeed("history", "--format", "csv", pool.name, cwd=pool.parent)


def answers(agent: Path, observations: list[list[float]]) -> dict[str, Any]:
    """What an agent does: for a batch of observations, for the first of them alone, and with
    random numbers."""
    batch = np.array(observations)
    loaded = poolrl.load(agent)
    return {
        "observations": observations,
        "deterministic": loaded.act(batch).tolist(),
        "single": loaded.act(batch[0]).tolist(),
        "sampled": loaded.act(batch, generator=np.random.default_rng(0)).tolist(),
    }
