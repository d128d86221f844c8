"""MPO beside the published package, at equal steps and updates: returns, and where time goes.

    python benchmarks/mpo_published.py LIB PUBLISHED --seed S                    (for each seed)
    poolrl run configs/half_cheetah_mpo.toml --seed S --one-worker --pool-directory POOL-S
    python benchmarks/mpo_compare.py PUBLISHED POOL-0 POOL-1 …
        [--output results/benchmarks/mpo_half_cheetah.md]

A return is the mean over the three last evaluations up to so many steps, of ten episodes each, by
the mean action. The interval of the difference is a bootstrap over the seeds of both. Times are of
the processor, of whole runs without evaluations. With ``--outside PUBLISHED-4 4`` there is what is
left of a training step where updates are taken away, with four simulations side by side. In that
folder is what ``mpo_published.py … --simulations 4 --steps 60000 --batches 1`` has written, for
some seeds; poolrl's is measured by as many runs of as many steps.
"""

from __future__ import annotations

import report  # isort: skip  (before NumPy is loaded)

import json
import time
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
from learning_curves import curve
from msgspec.structs import replace
from numpy.typing import NDArray

from poolrl import tasks
from poolrl.algorithms import mpo
from poolrl.algorithms.off_policy import train_off_policy
from poolrl.algorithms.training import initial_agent
from poolrl.config.exploration import NoExploration
from poolrl.config.mpo import MPO
from poolrl.pool.directory import open_pool
from poolrl.rollouts.sampler import Budget
from poolrl.seeding import Streams

F64 = NDArray[np.float64]
STEPS = (100_000, 200_000, 300_000)
EVALUATIONS = 3
"""Whose mean is a return."""

OUTSIDE_STEPS = 60_000
"""Of the run that measures the time outside of updates, with one batch an update."""


class Run(NamedTuple):
    """Of a run: training steps and mean returns of its evaluations, and microseconds a step."""

    steps: F64
    returns: F64
    microseconds: float


def published(file: Path) -> Run:
    """Read what ``mpo_published.py`` wrote."""
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    last = lines[-1]
    return Run(
        np.array([line["steps"] for line in lines], np.float64),
        np.array([line["return"] for line in lines]),
        1e6 * last["seconds"] / last["steps"],
    )


def published_outside(folder: Path) -> list[float]:
    """Microseconds of a training step that are not of updates, of each run in a folder."""
    last = [json.loads(f.read_text().splitlines()[-1]) for f in sorted(folder.glob("*.jsonl"))]
    return [1e6 * (each["seconds"] - each["update_seconds"]) / each["steps"] for each in last]


def ours(folder: Path) -> Run:
    """Read a pool."""
    x, y, seconds = curve(folder)
    return Run(x, y, 1e6 * seconds[-1] / x[-1])


def own_outside(folder: Path, simulations: int) -> float:
    """Microseconds of a training step that are not of updates, of a pool's configuration.

    Args:
        folder: of the pool.
        simulations: side by side.
    """
    spec = open_pool(folder).spec
    assert isinstance(spec.learner, MPO)
    hp = replace(spec.learner, simulations=simulations, batches=1)
    make = partial(tasks.make, spec.task)
    agent = initial_agent(spec, make(1), Streams(0))
    spent = 0.0

    def timed(*arguments: Any) -> dict[str, float]:
        nonlocal spent
        start = time.process_time()
        metrics = mpo.update_on_replay(*arguments)
        spent += time.process_time() - start
        return metrics

    start = time.process_time()
    training = train_off_policy(
        *(agent, make, Budget(steps=OUTSIDE_STEPS), hp, Streams(0), NoExploration()),
        hp.warmup_steps,
        learner="mpo",
        update=timed,
    )
    return 1e6 * (time.process_time() - start - spent) / training.environment_steps


def at(run: Run, steps: int) -> float:
    """The return after so many steps."""
    there = run.returns[run.steps <= steps * 1.01]
    return float(there[-EVALUATIONS:].mean())


def difference(own: F64, other: F64) -> tuple[float, float]:
    """95 % bootstrap interval of the difference of means."""
    generator = np.random.default_rng(0)
    means = [generator.choice(each, (10_000, len(each))).mean(axis=1) for each in (own, other)]
    low, high = np.percentile(means[0] - means[1], [2.5, 97.5])
    return float(low), float(high)


def draw(output: Path, arms: dict[str, list[Run]]) -> None:
    """Returns against steps, by seed and on average."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(5.5, 3.6), layout="constrained")
    for color, (name, runs) in enumerate(arms.items()):
        for run in runs:
            axis.plot(run.steps / 1e3, run.returns, f"C{color}", linewidth=0.8, alpha=0.5)
        grid = np.linspace(
            max(run.steps[0] for run in runs), min(run.steps[-1] for run in runs), 100
        )
        mean = np.mean([np.interp(grid, run.steps, run.returns) for run in runs], axis=0)
        axis.plot(grid / 1e3, mean, f"C{color}", linewidth=2, label=name)
    axis.set_xlabel("training steps, thousands")
    axis.set_ylabel("return of an evaluation episode")
    axis.grid(alpha=0.3)
    axis.legend()
    figure.savefig(output, dpi=130)


@click.command(help=__doc__)
@click.argument("published_folder", type=click.Path(exists=True, path_type=Path))
@click.argument("pools", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--outside",
    multiple=True,
    type=(click.Path(exists=True, path_type=Path), int),
    help="A published folder, and its number of simulations.",
)
@click.option("--output", type=click.Path(path_type=Path), help="Table; the picture is beside it.")
def main(
    published_folder: Path,
    pools: tuple[Path, ...],
    outside: tuple[tuple[Path, int], ...],
    output: Path | None,
) -> None:
    """Print the tables."""
    task = open_pool(pools[0]).spec.task.id
    arms = {
        "poolrl": [ours(path) for path in pools],
        "published": [published(f) for f in sorted(published_folder.glob(f"{task}-*.jsonl"))],
    }
    rows = []
    for steps in STEPS:
        values = [np.array([at(run, steps) for run in runs]) for runs in arms.values()]
        low, high = difference(*values)
        cells = [
            f"**{each.mean():.0f}** ({' '.join(f'{value:.0f}' for value in each)})"
            for each in values
        ]
        gain = values[0].mean() - values[1].mean()
        rows.append([f"{steps:,}", *cells, f"{gain:+.0f} [{low:+.0f}, {high:+.0f}]"])
    tables = [report.table(["steps", *(f"{name} (by seed)" for name in arms), "difference"], rows)]
    whole = [float(np.mean([run.microseconds for run in runs])) for runs in arms.values()]
    head = ["", *arms, "published / poolrl"]
    rows = [
        ["a training step, µs", *(f"{each:,.0f}" for each in whole), f"{whole[1] / whole[0]:.2f}"],
        ["training steps a second", *(f"{1e6 / each:.0f}" for each in whole), ""],
    ]
    for folder, simulations in outside:
        theirs = published_outside(folder)
        own = [own_outside(pools[0], simulations) for _ in theirs]
        name = f"outside of updates, µs, {simulations} simulations (by run)"
        by_run = (f"{np.mean(x):.1f} ({' '.join(f'{y:.1f}' for y in x)})" for x in (own, theirs))
        rows.append([name, *by_run, f"{np.mean(theirs) / np.mean(own):.2f}"])
    body = "\n\n".join([*tables, report.table(head, rows)])
    if output is not None:
        draw(output.with_suffix(".png"), arms)
        body = f"![Curves]({output.with_suffix('.png').name})\n\n{body}"
    names = " ".join(path.name for path in pools)
    options = "".join(f" --outside {folder.name} {number}" for folder, number in outside)
    command = f"python benchmarks/mpo_compare.py {published_folder.name} {names}{options}"
    report.keep(output, f"MPO on {task} beside the published package", command, body)


if __name__ == "__main__":
    main()
