"""How long the figures of a large pool take.

    python benchmarks/figures.py [FIGURE ...] [--iterations 400] [--branches 10] [--rounds 3]

Makes the records of such a pool without training, in a temporary folder: as many units, metrics
and episodes as a pool of PPO has, with scores that rise and are noisy. Then reads them and draws
each figure, as `poolrl plot` does once Python has started, into a .png file. Seconds are the
smallest of the rounds, by the clock and by the CPU; reading is apart, since `all` reads once.
"""

from __future__ import annotations

import report  # isort: skip  (before NumPy is loaded)

import hashlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np

from poolrl.config.loading import load
from poolrl.config.run_options import RunOptions
from poolrl.monitoring.history import History, read_history
from poolrl.pool.directory import Pool, make_pool
from poolrl.pool.merge_rules import merge
from poolrl.records.codec import encode
from poolrl.records.evaluation import Evaluation
from poolrl.records.records import (
    AgentRef,
    MergeRecord,
    Seconds,
    TrainingRecord,
    UnitRecord,
    WorkerInfo,
)
from poolrl.records.work_units import Unit, units_of
from poolrl.report.figures.output import write_figures
from poolrl.report.figures.registry import FIGURES, draw_figures
from poolrl.report.plot import plot_history

LIMIT = 5.0
"""Seconds that no figure takes longer than."""

METRICS = (
    *("approx_kl", "clip_fraction", "clip_range", "entropy_loss", "explained_variance"),
    *("learning_rate", "loss", "policy_gradient_loss", "value_loss"),
)
WORKER = WorkerInfo(id="w", host="h", pid=1, versions={})
START = 1.7e9


def synthetic_pool(root: Path, iterations: int, branches: int) -> Pool:
    """Make a pool whose records are drawn at random.

    Args:
        root: its directory.
        iterations: with branches.
        branches: of each.
    """
    keys: dict[str, object] = {
        "task.id": "Swimmer-v5",
        "pool.count": branches,
        "branches.learning_rate": [0.001, 0.002, 0.003, 0.005],
        "branches.gae_lambda": [0.95, 0.99],
    }
    pool = make_pool(root, load(None, keys)[0], RunOptions(iterations))
    generator = np.random.default_rng(0)
    previous: MergeRecord | None = None
    for number in range(iterations + 1):
        folder = pool.layout.iteration(number)
        folder.folder.mkdir(parents=True, exist_ok=True)
        records = [
            _record(pool, unit, previous, generator, START + 20 * number + place)
            for place, unit in enumerate(units_of(number, branches))
        ]
        for record in records:
            folder.record(record.unit).write_bytes(encode(record))
        previous = merge(
            previous,
            records,
            iteration=number,
            branches=branches,
            selection=pool.spec.selection,
            spec_sha256=pool.spec_sha256,
            rule=pool.spec.merge,
        )
        folder.merge.write_bytes(encode(previous))
    return pool


def _record(
    pool: Pool,
    unit: Unit,
    previous: MergeRecord | None,
    generator: np.random.Generator,
    finished: float,
) -> UnitRecord:
    digest = hashlib.sha256(f"{unit.iteration} {unit.stem}".encode()).hexdigest()
    agent = AgentRef(unit.agent_path(digest), digest)
    if unit.kind == "parent" and previous is not None:
        agent = AgentRef(previous.champion.path, previous.champion.sha256)
    level = 170 * (1 - np.exp(-unit.iteration / 60)) + generator.normal(0, 3)
    episodes = pool.spec.pool.evaluate_episodes
    returns = generator.normal(level, 5, episodes).tolist()
    trained = unit.kind == "branch"
    hyperparameters = {
        name: values[unit.index % len(values)]  # type: ignore[index,arg-type]
        for name, values in pool.spec.branches.items()
    }
    return UnitRecord(
        spec_sha256=pool.spec_sha256,
        iteration=unit.iteration,
        kind=unit.kind,
        index=unit.index,
        status="done",
        parent_sha256=previous.champion.sha256 if previous else "",
        hyperparameters=hyperparameters if trained else {},
        agent=agent,
        training=TrainingRecord(
            episodes=20,
            environment_steps=10_000,
            updates=5,
            mean_return=float(level),
            metrics={f"train/{name}": float(generator.normal()) for name in METRICS},
        )
        if trained
        else None,
        evaluation=Evaluation.of(returns, [500] * episodes, deterministic=True),
        seconds={
            name: Seconds(float(generator.uniform(0, high)), 0.0)
            for name, high in (("training", 4.0 * trained), ("evaluation", 1), ("publish", 0.01))
        }
        | {"waiting": Seconds(float(generator.exponential(0.3)), 0.0)},
        finished=finished,
        worker=WORKER,
    )


def _seconds(work: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Wall-clock and CPU seconds, each the smallest of the rounds."""
    walls, cpus = [], []
    for _ in range(rounds):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return min(walls), min(cpus)


@click.command()
@click.argument("figures", nargs=-1, type=click.Choice([*FIGURES, "history"]))
@click.option("--iterations", default=400, show_default=True)
@click.option("--branches", default=10, show_default=True)
@click.option("--rounds", default=3, show_default=True)
def main(figures: tuple[str, ...], iterations: int, branches: int, rounds: int) -> None:
    """Print a table of seconds by figure."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        synthetic_pool(place / "pool", iterations, branches)

        def read() -> History:
            return read_history(place / "pool")

        rows = [("reading the records", *_seconds(read, rounds))]
        history = read()
        for name in figures or (*FIGURES, "history"):

            def work(name: str = name) -> None:
                if name == "history":
                    plot_history(history, place / "x.png")
                else:
                    draw = lambda: draw_figures(history, [name])  # noqa: E731
                    write_figures([name], draw, place / "x.png", None)

            rows.append((name, *_seconds(work, rounds)))
    table = [[name, f"{wall:.2f}", f"{cpu:.2f}"] for name, wall, cpu in rows]
    click.echo(report.table(["figure", "seconds", "CPU seconds"], table))
    slow = [name for name, _, cpu in rows if cpu > LIMIT]
    if slow:
        raise SystemExit(f"longer than {LIMIT:g} s: {', '.join(slow)}")


if __name__ == "__main__":
    main()
