"""How long ``poolrl history`` takes, with the start of Python.

    python benchmarks/history.py [--iterations 400] [--branches 10] [--output FILE]

A pool of the swimmer is written without training: records with ten returns, seven values of info
and twenty-two metrics, as it has them, and their merges. Each command is a process of its own, run
three times; the middle of its wall-clock times is shown. Beside them is the import of pandas alone.
"""

from __future__ import annotations

import report  # isort: skip  (before NumPy is loaded)

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import msgspec
import numpy as np

from poolrl.algorithms.types import LATER_METRICS
from poolrl.config.loading import load
from poolrl.config.run_options import RunOptions
from poolrl.config.tables import flatten
from poolrl.pool.directory import Pool, make_pool
from poolrl.pool.merge_rules import merge
from poolrl.records.codec import encode
from poolrl.records.evaluation import Evaluation, InfoRecord
from poolrl.records.records import (
    SCHEMA,
    AgentRef,
    MergeRecord,
    Seconds,
    TrainingRecord,
    UnitRecord,
    WorkerInfo,
)
from poolrl.records.work_units import Unit, units_of

EPISODES = 10
INFOS = ("reward_ctrl", "reward_forward", "x_position", "y_position", "x_velocity", "y_velocity")
METRICS = [*sorted(LATER_METRICS), *(f"train/{letter}" for letter in "abcdefg")]
WORKER = WorkerInfo(
    id="0123456789abcdef" * 2,
    host="host",
    pid=1,
    versions={f"package{i}": "1.2.3" for i in range(11)},
)


def record(pool: Pool, unit: Unit, previous: MergeRecord | None, at: float) -> UnitRecord:
    """A record as a worker of the swimmer would have written it."""
    generator = np.random.default_rng((unit.iteration, unit.index, ord(unit.kind[0])))
    returns = generator.normal(unit.iteration, 1, EPISODES).tolist()
    start = previous.champion if previous is not None else None
    parent = start.sha256 if start is not None else ""
    training, hyperparameters = None, {}
    if start is not None and unit.kind == "parent":
        agent = AgentRef(path=start.path, sha256=start.sha256)
    else:
        sha256 = generator.bytes(32).hex()
        agent = AgentRef(path=unit.agent_path(sha256), sha256=sha256)
    if unit.kind == "branch":
        values = generator.normal(size=len(METRICS)).tolist()
        training = TrainingRecord(20, 10_000, 5, 0.5, dict(zip(METRICS, values, strict=True)))
        hyperparameters = flatten(msgspec.to_builtins(pool.spec.hyperparameters(unit.index)))
    info = {
        name: InfoRecord("last", tuple(generator.normal(size=EPISODES).tolist())) for name in INFOS
    }
    return UnitRecord(
        schema=SCHEMA,
        spec_sha256=pool.spec_sha256,
        iteration=unit.iteration,
        kind=unit.kind,
        index=unit.index,
        status="done",
        parent_sha256=parent,
        hyperparameters=hyperparameters,
        agent=agent,
        training=training,
        evaluation=Evaluation.of(returns, [500] * EPISODES, deterministic=True, info=info),
        seconds={name: Seconds(1.0, 1.0) for name in ("training", "evaluation", "waiting")},
        finished=at,
        worker=WORKER,
    )


def write(root: Path, iterations: int, branches: int) -> int:
    """Write a pool; return the number of its records."""
    spec, _ = load(None, {"pool.count": branches})
    pool = make_pool(root, spec, RunOptions())
    previous: MergeRecord | None = None
    count = 0
    for number in range(iterations + 1):
        folder = pool.layout.iteration(number)
        folder.folder.mkdir(parents=True, exist_ok=True)
        records = []
        for unit in units_of(number, branches):
            count += 1
            records.append(record(pool, unit, previous, 1e9 + count))
            folder.record(unit).write_bytes(encode(records[-1]))
        previous = merge(
            previous,
            records,
            iteration=number,
            branches=branches,
            selection=spec.selection,
            spec_sha256=pool.spec_sha256,
        )
        folder.merge.write_bytes(encode(previous))
    return count


def seconds(*arguments: object) -> float:
    """Wall-clock seconds of a process of Python."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL
        )
        times.append(time.perf_counter() - start)
    return statistics.median(times)


@click.command()
@click.option("--iterations", default=400, show_default=True)
@click.option("--branches", default=10, show_default=True)
@click.option("--output", type=click.Path(path_type=Path))
def main(iterations: int, branches: int, output: Path | None) -> None:
    """Print a table, and write it to a file."""
    rows = [["import of pandas", f"{seconds('-c', 'import pandas'):.2f}"]]
    with tempfile.TemporaryDirectory() as folder:
        pool = Path(folder) / "pool"
        count = write(pool, iterations, branches)
        for options in (
            ["--format", "csv"],
            ["--format", "csv", "--columns", "iteration,index,score,info.*"],
            ["--format", "csv", "--columns", "*"],
            ["--champions", "--columns", "iteration,index,score,train/*"],
            ["--iterations", "last"],
        ):
            took = seconds("-m", "poolrl", "history", pool, *options)
            rows.append([f"`poolrl history D {' '.join(options)}`", f"{took:.2f}"])
    body = f"{count:,} records.\n\n{report.table(['', 's'], rows)}"
    command = f"python benchmarks/history.py --iterations {iterations} --branches {branches}"
    report.keep(output, f"poolrl history: {iterations} iterations", command, body)


if __name__ == "__main__":
    main()
