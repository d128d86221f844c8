"""Learning curves of arms that differ in a few keys, over tasks and seeds, with intervals.

    python benchmarks/learning_curves.py run PLAN.toml FOLDER [--task T] [--arm A] [--seeds 0,1]
    python benchmarks/learning_curves.py show PLAN.toml FOLDER [--output FILE.md]

Plans are described in ``plans.py``; a task's ``iterations`` are the training iterations of a run.

Each run is a pool in FOLDER/TASK/ARM/SEED, by one worker; the same command goes on where it
stopped. A curve is the score of the champions, evaluated without updates, over the training steps
of all branches. The score of a run is the mean over the last tenth of its steps, of an arm the mean
over its seeds with a 95 % bootstrap interval over seeds. A plan with ``reach`` gets a column more:
after how many steps the score is there for the first time. With ``--minutes`` the picture has a
second row, of the same curves against the core-minutes of training.
"""

from __future__ import annotations

import report  # isort: skip  (before NumPy is loaded)

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from plans import arms_of, chosen, command, execute, read_plan, runs

from poolrl.monitoring.history import History, read_history

F64 = NDArray[np.float64]
POINTS = 100
"""Points of the common axis that curves are interpolated at."""


def training_of(history: History) -> tuple[dict[int, int], dict[int, float]]:
    """Steps of all branches, and seconds of one core, by iteration in which there was training."""
    steps: dict[int, int] = {}
    seconds: dict[int, float] = {}
    for unit in history.units:
        if unit.training is not None:
            steps[unit.iteration] = steps.get(unit.iteration, 0) + unit.training.environment_steps
            spent = unit.seconds.get("training")
            seconds[unit.iteration] = seconds.get(unit.iteration, 0.0) + (spent.cpu if spent else 0)
    return steps, seconds


def curve(folder: Path) -> tuple[F64, F64, F64]:
    """Training steps of all branches, champions' scores, and seconds of one core, by iteration.

    Of several branches, a champion's score is that of the parent or of the closing after it: the
    best of several noisy scores is too high, and a mean has none.
    """
    history = read_history(folder)
    steps, seconds = training_of(history)
    single = max((u.index for u in history.units if u.kind == "branch"), default=0) == 0
    scores = {m.iteration: m.champion.score for m in history.merges} if single else {}
    for unit in history.units:
        if not single and unit.evaluation is not None and unit.kind in ("parent", "closing"):
            scores[unit.iteration - (unit.kind == "parent")] = unit.evaluation.selection_score
    order = [i for i in sorted(steps) if scores.get(i) is not None]
    x = np.cumsum([sum(steps[k] for k in steps if a < k <= b) for a, b in pairwise([-1, *order])])
    y = np.array([scores[i] for i in order], np.float64)
    return x.astype(np.float64), y, np.cumsum([seconds[i] for i in order])


def interval(values: F64, generator: np.random.Generator) -> tuple[float, float]:
    """95 % bootstrap interval of the mean."""
    means = generator.choice(values, (10_000, len(values))).mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def last_tenth(x: F64, y: F64) -> float:
    """The mean score over the last tenth of the steps."""
    return float(y[x >= 0.9 * x[-1]].mean())


def steps_to(x: F64, y: F64, level: float) -> float:
    """Training steps until the score is at a level for the first time; infinity if it never is."""
    (there,) = np.nonzero(y >= level)
    return float(x[there[0]]) if len(there) else math.inf


def reached(steps: list[float]) -> str:
    """Steps by seed, and their mean where all are there."""
    each = " ".join("–" if math.isinf(value) else f"{value:,.0f}" for value in steps)
    mean = sum(steps) / len(steps)
    return each if math.isinf(mean) else f"**{mean:,.0f}** ({each})"


def draw(axis: Any, label: str, color: int, curves: list[tuple[F64, F64]], unit: float) -> None:
    """The mean of an arm's curves with its interval, where all curves are.

    Args:
        axis: to draw on.
        label: of the arm.
        color: number of the arm.
        curves: abscissas and scores, by seed.
        unit: of the abscissa.
    """
    grid = np.linspace(max(x[0] for x, _ in curves), min(x[-1] for x, _ in curves), POINTS)
    lines = np.array([np.interp(grid, x, y) for x, y in curves])
    generator = np.random.default_rng(0)
    low, high = np.array([interval(column, generator) for column in lines.T]).T
    style = ("-", "--", ":", "-.")[color % 4]
    axis.plot(grid / unit, lines.mean(axis=0), style, label=label, color=f"C{color}")
    axis.fill_between(grid / unit, low, high, color=f"C{color}", alpha=0.2, linewidth=0)
    axis.grid(alpha=0.3)


def signed(value: float) -> str:
    """As ``report.number``, with a sign."""
    return f"{'+' if value >= 0 else '-'}{report.number(abs(value))}"


@click.group(help=__doc__)
def main() -> None:
    """Commands."""


@main.command(name="run")
@click.argument("plan_file", type=click.Path(exists=True, path_type=Path))
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--task", multiple=True)
@click.option("--arm", multiple=True)
@click.option("--seeds", help="As 0,1,2.")
def run_plan(
    plan_file: Path, folder: Path, task: tuple[str, ...], arm: tuple[str, ...], seeds: str | None
) -> None:
    """Run what has not been run yet, one after the other, each by one process of one thread."""
    plan = read_plan(plan_file)
    for each in chosen(plan, folder, task, arm, seeds):
        ended = execute(command(plan, each, options=["--one-worker"]), each.folder)
        x, y, seconds = curve(each.folder)
        said = "no branch succeeded"
        if len(x):
            said = f"{last_tenth(x, y):.1f} after {x[-1]:,.0f} steps, {seconds[-1]:.0f} s"
        click.echo(f"{each.task} {each.arm} seed {each.seed}: {said}, exit code {ended}")


@main.command()
@click.argument("plan_file", type=click.Path(exists=True, path_type=Path))
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--output", type=click.Path(path_type=Path), help="Table; the picture is beside it.")
@click.option("--title", default="Learning curves")
@click.option("--minutes", is_flag=True, help="Draw curves against core-minutes as well.")
def show(plan_file: Path, folder: Path, output: Path | None, title: str, minutes: bool) -> None:
    """Print a table, and draw a picture beside it."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plan = read_plan(plan_file)
    there = [run for run in runs(plan, folder) if (run.folder / "pool.toml").exists()]
    read = {run: curve(run.folder) for run in there}
    tasks = [task for task in plan["tasks"] if any(run.task == task for run in there)]
    generator = np.random.default_rng(0)
    size = 2 if minutes else 1, len(tasks)
    figure, axes = plt.subplots(
        *size, figsize=(4.2 * size[1], 3.6 * size[0]), layout="constrained", squeeze=False
    )
    rows = []
    longest = max(x[-1] for x, _, _ in read.values())
    unit, word = (1e6, "millions") if longest >= 1e6 else (1e3, "thousands")
    for column, task in zip(axes.T, tasks, strict=True):
        scores: dict[str, dict[int, float]] = {}
        for color, arm in enumerate(arms_of(plan, task)):
            own = [run for run in there if (run.task, run.arm) == (task, arm)]
            if not own:
                continue
            curves = {run.seed: read[run] for run in own}
            end = min(x[-1] for x, _, _ in curves.values())
            draw(column[0], arm, color, [(x, y) for x, y, _ in curves.values()], unit)
            if minutes:
                draw(column[1], arm, color, [(cpu, y) for _, y, cpu in curves.values()], 60)
            scores[arm] = {seed: last_tenth(x, y) for seed, (x, y, _) in curves.items()}
            values = np.array(list(scores[arm].values()))
            bounds = interval(values, generator)
            seconds = float(np.mean([s[-1] for _, _, s in curves.values()]))
            first = next(iter(scores))
            common = sorted(scores[arm].keys() & scores[first].keys())
            gain = np.array([scores[arm][s] - scores[first][s] for s in common])
            paired = interval(gain, generator)
            rows.append(
                [
                    *(task, arm, str(len(values)), f"{end / 1e6:.3g}"),
                    f"**{report.number(values.mean())}** "
                    f"[{report.number(bounds[0])}, {report.number(bounds[1])}]",
                    " ".join(map(report.number, values)),
                    ""
                    if arm == first
                    else f"{signed(gain.mean())} [{signed(paired[0])}, {signed(paired[1])}]",
                    f"{seconds / 60:.1f}",
                ]
            )
            if "reach" in plan:
                firsts = [steps_to(x, y, plan["reach"]) for x, y, _ in curves.values()]
                rows[-1].append(reached(firsts))
        column[0].set_title(task)
        column[0].set_xlabel(f"training steps, {word}")
        column[-1].set_xlabel("core-minutes of training" if minutes else f"training steps, {word}")
    by = plan["common"].get("selection.score", "return").removeprefix("info.")
    for axis in axes[:, 0]:
        axis.set_ylabel(f"{by} of an evaluation episode")
    axes[0][0].legend(fontsize="small")
    head = ["task", "arm", "seeds", "M steps", "score [95 %]", "by seed", "gain over the first arm"]
    head.append("core-minutes of training")
    if "reach" in plan:
        head.append(f"steps to {plan['reach']} (by seed)")
    table = report.table(head, rows)
    if output is not None:
        figure.savefig(output.with_suffix(".png"), dpi=130)
        table = f"![{title}]({output.with_suffix('.png').name})\n\n{table}"
    report.keep(output, title, f"python benchmarks/learning_curves.py show {plan_file}", table)


if __name__ == "__main__":
    main()
