"""Returns at equal steps, in plain Gymnasium: the recommended configurations beside published ones.

    python benchmarks/learning_curves.py run benchmarks/curves/returns.toml FOLDER
    python benchmarks/returns.py measure benchmarks/curves/returns.toml FOLDER
    python benchmarks/pays.py time benchmarks/curves/returns.toml FOLDER --task T --data DATA
    python benchmarks/returns.py show benchmarks/curves/returns.toml [--output FILE.md]

`measure` evaluates, of each run and each number of steps that the plan gives a published return of,
the last champion of no more steps: 100 deterministic episodes of plain Gymnasium, on seeds that no
pool uses, as ``check_gymnasium.py`` does. What it finds is in
DATA, results/benchmarks/returns, as TASK-SEED.json, which `show` reads, and is not measured again.
The minutes with ten cores are computed from those of one, by what threads gained in timed runs of
these configurations (``costs.py``): of this plan, or of ``pays.toml``.
"""

from __future__ import annotations

import report  # isort: skip  (before NumPy is loaded)

import json
import multiprocessing
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from check_gymnasium import evaluate
from costs import Costs
from learning_curves import interval, training_of
from plans import read_plan, runs
from timing import Timing, read_timings

from poolrl.monitoring.history import read_history

DATA = Path(__file__).resolve().parent.parent / "results" / "benchmarks" / "returns"
SEEDS = range(1_000_000, 1_000_100)
TIMED = (DATA / "timing.json", DATA.parent / "pays" / "timing.json")
CORES = 10
ARM = "one"
TEXT = """\
Configurations of `configs/one_process/`, one process: 100 deterministic episodes of plain
Gymnasium with each run's last champion of no more steps, ± standard error; means over seeds with
95 % bootstrap intervals, which of three seeds are little more than the range between them. Beside
them rl_games with EnvPool: one run, training returns, read off the plots of its repository (2022).
Its Ant is Ant-v4, which has no contact forces among the observations, as in the configuration
here, and no cost of contacts, which is in the returns here. Core-minutes are of training alone,
beside another run on the machine's other core."""


def champions(folder: Path) -> list[tuple[int, float, Path]]:
    """Of each iteration: training steps and seconds of one core of training so far, champion."""
    history = read_history(folder)
    _, seconds = training_of(history)
    found, total = [], 0.0
    for merge in history.merges:
        total += seconds.get(merge.iteration, 0.0)
        found.append((merge.training_steps, total, folder / merge.champion.path))
    return found


def share_of_one(timings: Sequence[Timing], cores: int) -> float | None:
    """Time of training with a thread a core, by that of one core; ``None`` if it was not timed.

    Args:
        timings: of one task and arm.
        cores: number of cores.
    """
    costs = Costs(timings)
    one, many = costs.rates(1), costs.rates(cores)
    if one is None or many is None:
        return None
    return many.step["branch", "training"] / one.step["branch", "training"]


@click.group(help=__doc__)
def main() -> None:
    """Commands."""


@main.command()
@click.argument("plan_file", type=click.Path(exists=True, path_type=Path))
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--processes", default=2, show_default=True)
def measure(plan_file: Path, folder: Path, processes: int) -> None:
    """Measure what has not been measured yet."""
    plan = read_plan(plan_file)
    parts = [list(SEEDS[i::processes]) for i in range(processes)]
    DATA.mkdir(parents=True, exist_ok=True)
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for run in runs(plan, folder):
            if not (run.folder / "pool.toml").exists():
                continue
            there = champions(run.folder)
            file = DATA / f"{run.task}-{run.seed}.json"
            data: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
            for millions in plan["tasks"][run.task]["published"]:
                steps = float(millions) * 1e6
                if millions in data or there[-1][0] < 0.99 * steps:
                    continue
                taken, seconds, path = [each for each in there if each[0] <= steps][-1]
                returns = pool.starmap(evaluate, [(str(path), part) for part in parts])
                values = [value for part in returns for value in part]
                data[millions] = {
                    "steps": taken,
                    "core_minutes": round(seconds / 60, 2),
                    "mean": round(statistics.fmean(values), 2),
                    "standard_error": round(statistics.stdev(values) / len(values) ** 0.5, 2),
                    "minimum": round(min(values), 2),
                }
                file.write_text(json.dumps(data, indent=1) + "\n")
                click.echo(f"{run.task} seed {run.seed}, {taken:,} steps: {data[millions]}")


@main.command()
@click.argument("plan_file", type=click.Path(exists=True, path_type=Path))
@click.option("--output", type=click.Path(path_type=Path))
def show(plan_file: Path, output: Path | None) -> None:
    """Print the table."""
    plan = read_plan(plan_file)
    generator = np.random.default_rng(0)
    rows = []
    timings = [timing for path in TIMED for timing in read_timings(path)]
    for task, table in plan["tasks"].items():
        share = share_of_one([t for t in timings if (t.task, t.arm) == (task, ARM)], CORES)
        files = sorted(DATA.glob(f"{task}-*.json"))
        data = [json.loads(file.read_text()) for file in files]
        for millions, published in table["published"].items():
            own = [each[millions] for each in data if millions in each]
            if not own:
                continue
            means = np.array([each["mean"] for each in own])
            low, high = interval(means, generator)
            minutes = float(np.mean([each["core_minutes"] for each in own]))
            rows.append(
                [
                    *(task, millions, str(published)),
                    f"**{means.mean():.0f}** [{low:.0f}, {high:.0f}]",
                    " ".join(f"{each['mean']:.0f} ± {each['standard_error']:.0f}" for each in own),
                    f"{minutes:.1f}",
                    "–" if share is None else f"{minutes * share:.1f}",
                ]
            )
    head = ["task", "M steps", "rl_games", "return [95 %]", "by seed", "core-minutes"]
    head.append(f"minutes with {CORES} cores")
    command = f"python benchmarks/returns.py show {plan_file}"
    report.keep(output, "Returns at equal steps", command, f"{TEXT}\n\n{report.table(head, rows)}")


if __name__ == "__main__":
    main()
