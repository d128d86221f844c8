"""Tables and pictures of ``pays.py``, from the files of runs and timings alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click
import numpy as np
import report
from analysis import (
    F64,
    Interval,
    Outcome,
    final_score,
    geometric_interval,
    median_curve,
    own_cost,
    ratio_interval,
    time_to_target,
    worst_to_median,
)
from costs import Costs, layout_of
from plans import Plan, arms_of, seeds_of
from run_data import RunData
from scoring import target_position
from timing import LAYOUTS, Layout, Timing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CORES = (1, 2, 10, 20)
ONE_CORE = Layout(1, 1)
UNKNOWN = "–"
POINTS = 200
"""Points of a median curve."""


class Arm(NamedTuple):
    """The runs of an arm on a task, and what they cost.

    Attributes:
        name: of the plan.
        runs: by seed.
        costs: of its layouts.
        positions: of the iterations that reached the target; ``None`` of a run that did not.
    """

    name: str
    runs: list[RunData]
    costs: Costs
    positions: list[int | None]

    @property
    def failures(self) -> int:
        return sum(position is None for position in self.positions)

    @property
    def mostly_failed(self) -> bool:
        """Whether its time says how long its runs were, not when they reached the target."""
        return 2 * self.failures > len(self.runs)

    def layout(self, cores: int) -> Layout:
        """The layout of ``poolrl run``."""
        return layout_of(cores, self.runs[0].branches, self.runs[0].simulations)

    def times(self, layout: Layout) -> list[float] | None:
        """Seconds to the target of each run; ``None`` if they are not known."""
        found: list[Outcome] = []
        for run, position in zip(self.runs, self.positions, strict=True):
            seconds = self.costs.seconds(run, layout)
            if seconds is None:
                return None
            found.append(time_to_target(seconds, position))
        return [outcome.seconds for outcome in found]


class Comparison(NamedTuple):
    """The arms on a task, and the one that they are compared with, if it was run."""

    task: str
    target: float | None
    arms: list[Arm]
    one: Arm | None


def comparisons(plan: Plan, runs: Sequence[RunData], timings: Sequence[Timing]) -> list[Comparison]:
    """What the plan asks for and is there, by task.

    Args:
        plan: of the runs.
        runs: that were scored.
        timings: of layouts.

    Raises:
        click.UsageError: a run was scored for another target than the plan's, or by another
            distance between champions.
    """
    found = []
    seeds = seeds_of(plan)
    single = plan.get("pilot", {}).get("arm", "one")
    for task in plan["tasks"]:
        target = plan["tasks"][task].get("target")
        arms = []
        for name in arms_of(plan, task):
            own = [r for r in runs if (r.task, r.arm) == (task, name) and r.seed in seeds]
            for run in own:
                if (run.target, run.score_every) != (target, plan["score_every"]):
                    raise click.UsageError(
                        f"{task}, {name}, seed {run.seed}: scored for target {run.target} and "
                        f"score_every {run.score_every}, which are not the plan's: score it again"
                    )
            if own:
                timed = [t for t in timings if (t.task, t.arm) == (task, name)]
                costs = Costs(timed, own[0])
                arms.append(Arm(name, own, costs, [target_position(run) for run in own]))
        if arms:
            one = next((arm for arm in arms if arm.name == single), None)
            found.append(Comparison(task, target, arms, one))
    return found


# Tables


def body(plan: Plan, found: Sequence[Comparison], pictures: Sequence[str]) -> str:
    """All tables, in Markdown.

    Args:
        plan: of the runs.
        found: arms by task.
        pictures: names of files.
    """
    rows: dict[str, list[list[str]]] = {"time": [], "ratio": [], "work": [], "ends": []}
    checks = []
    for comparison in found:
        # Of each task, so that a new task changes no other interval.
        generator = np.random.default_rng(0)
        for arm in comparison.arms:
            first = [comparison.task, arm.name]
            if comparison.target is not None:
                rows["time"].append([*first, *_time_row(arm, generator)])
                if comparison.one is not None:
                    rows["ratio"].append([*first, *_ratio_row(arm, comparison.one, generator)])
                    rows["work"].append([*first, *_work_row(arm, comparison.one, generator)])
            rows["ends"].append([*first, *_end_row(arm)])
            checks.append([*first, *_check_row(arm)])
    targets = [f"{c.task} {report.number(c.target)}" for c in found if c.target is not None]
    cores = [f"{cores} core{'s' if cores > 1 else ''}" for cores in CORES]
    more = [str(cores) for cores in CORES if cores > 1]
    one = plan.get("pilot", {}).get("arm", "one")
    parts = [
        *(f"![{name}]({name})" for name in pictures),
        "## Minutes to the target",
        f"Targets: {', '.join(targets) or 'none yet'}. Geometric means over seeds with 95 % "
        f"bootstrap intervals; a run that failed counts with the time of all of it (core-minutes "
        f"of a run: {plan['cap']:g}). One process is charged for its training alone. One core and "
        f"two are measured, more are computed.",
        report.table(["task", "arm", "seeds", "failed", *cores], rows["time"]),
        f"## Times as fast as `{one}`",
        "Ratios of times to the target over all pairs of seeds: against one process on one core, "
        "and against one that steps its simulations with as many threads as there are cores. Where "
        f"runs of `{one}` failed it is at least (≥), where others did at most (≤) that; with both "
        "it may be either (≈), and there is none where more than half of an arm's runs failed.",
        report.table(
            [
                *("task", "arm", *(f"{n} cores" for n in more)),
                *(f"{n} cores against {n} threads" for n in more),
            ],
            rows["ratio"],
        ),
        "## Work",
        f"Core-minutes to the target, and as a multiple of those of `{one}`. A rule pays on C "
        "cores (bold) where that multiple is below its speed-up there, and no run of it failed. "
        "The last column is the layout (workers × threads) with which ten cores would be over "
        "first.",
        report.table(
            [
                *("task", "arm", "core-minutes", f"work by that of {one}"),
                *(f"speed-up on {n}" for n in more),
                "fastest on 10",
            ],
            rows["work"],
        ),
        "## Ends, and the pool's own cost",
        "Scores of the last champions; the worst seed, as a share of the median below it; the "
        "pool's overhead and waiting for others as shares of the workers' wall time, with one "
        "worker and with two.",
        report.table(
            [
                *("task", "arm", "seeds", "last scores", "median", "worst below"),
                *("overhead, 1 × 1", "overhead, 2 × 1", "waiting, 2 × 1"),
            ],
            rows["ends"],
        ),
        "## Computed by measured time",
        "Of the timed iterations, with all of their evaluations; workers × threads. Two threads "
        "are what Amdahl's law is fitted to, two workers are not.",
        report.table(["task", "arm", *(layout.name for layout in LAYOUTS)], checks),
    ]
    return "\n\n".join(parts)


def _time_row(arm: Arm, generator: np.random.Generator) -> list[str]:
    cells = []
    for cores in CORES:
        times = arm.times(arm.layout(cores))
        minutes = None if times is None else geometric_interval([t / 60 for t in times], generator)
        cells.append(
            UNKNOWN if minutes is None else ("≥ " if arm.failures else "") + _cell(minutes)
        )
    return [str(len(arm.runs)), str(arm.failures), *cells]


def _ratio_row(arm: Arm, one: Arm, generator: np.random.Generator) -> list[str]:
    cells: list[list[str]] = [[], []]
    for cores in CORES[1:]:
        for group, layout in zip(cells, (ONE_CORE, one.layout(cores)), strict=True):
            ours, theirs = arm.times(arm.layout(cores)), one.times(layout)
            if ours is None or theirs is None or arm.mostly_failed or one.mostly_failed:
                group.append(UNKNOWN)
            elif arm is one:  # the same runs
                gain = [a / b for a, b in zip(theirs, ours, strict=True)]
                group.append(_cell(geometric_interval(gain, generator)))
            else:
                bound = _bound(bool(one.failures), bool(arm.failures))
                group.append(bound + _cell(ratio_interval(theirs, ours, generator)))
    return [*cells[0], *cells[1]]


def _bound(above: bool, below: bool) -> str:
    """Which side a ratio is bounded on by runs that did not reach the target.

    Args:
        above: whether what it divides may be more.
        below: whether what it divides by may be more.
    """
    return {(True, False): "≥ ", (False, True): "≤ ", (True, True): "≈ "}.get((above, below), "")


def _work_row(arm: Arm, one: Arm, generator: np.random.Generator) -> list[str]:
    ours, theirs = arm.times(ONE_CORE), one.times(ONE_CORE)
    if ours is None or theirs is None:
        return [UNKNOWN] * (3 + len(CORES[1:]))
    work = geometric_interval([t / 60 for t in ours], generator)
    ratio = ratio_interval(ours, theirs, generator)
    cells = []
    for cores in CORES[1:]:
        times = arm.times(arm.layout(cores))
        if times is None:
            cells.append(UNKNOWN)
            continue
        speedup = ratio_interval(ours, times, generator).value
        # The work of runs that failed is more than is known.
        pays = not arm.failures and not one.mostly_failed and ratio.value < speedup
        cells.append(f"**{speedup:.2f}**" if pays else f"{speedup:.2f}")
    fastest = arm.costs.fastest_layout(arm.runs[0], 10)
    least = _bound(bool(arm.failures), False)
    bound = _bound(bool(arm.failures), bool(one.failures))
    multiple = "1" if arm is one else bound + _cell(ratio)
    return [least + _cell(work), multiple, *cells, fastest.name if fastest else UNKNOWN]


def _end_row(arm: Arm) -> list[str]:
    scores = [score for run in arm.runs if (score := final_score(run)) is not None]
    if scores:
        listed = " ".join(map(report.number, scores))
        worst = f"{100 * worst_to_median(scores):.0f} %"
        ends = [listed, report.number(float(np.median(scores))), worst]
    else:
        ends = [UNKNOWN] * 3
    shares = {}
    for layout in (ONE_CORE, Layout(2, 1)):
        own = [timing for timing in arm.costs.timings if timing.layout == layout]
        shares[layout] = [f"{100 * s:.1f} %" for s in own_cost(own)] if own else [UNKNOWN] * 2
    return [str(len(arm.runs)), *ends, shares[ONE_CORE][0], *shares[Layout(2, 1)]]


def _check_row(arm: Arm) -> list[str]:
    ratios = [arm.costs.check(layout) for layout in LAYOUTS]
    return [UNKNOWN if ratio is None else f"{ratio:.3f}" for ratio in ratios]


def _cell(interval: Interval) -> str:
    return f"{interval.value:.2f} [{interval.low:.2f}, {interval.high:.2f}]"


# Pictures


def draw(found: Sequence[Comparison], path: Path, cores: int) -> None:
    """Draw scores over minutes, one panel a task: seeds as thin lines, their median bold.

    Args:
        found: arms by task.
        path: of the picture.
        cores: number of cores.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    columns = min(3, len(found))
    rows = -(-len(found) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(4.6 * columns, 3.6 * rows), layout="constrained", squeeze=False
    )
    names = list(dict.fromkeys(arm.name for comparison in found for arm in comparison.arms))
    for axis, comparison in zip(axes.flat, found, strict=False):
        for arm in comparison.arms:
            _draw_arm(axis, arm, f"C{names.index(arm.name)}", arm.layout(cores))
        if comparison.target is not None:
            axis.axhline(comparison.target, color="black", linestyle="--", linewidth=0.8)
        axis.set_title(comparison.task)
        axis.set_xlabel("core-minutes" if cores == 1 else f"minutes on {cores} cores")
        axis.set_xlim(left=0)
        axis.grid(alpha=0.3)
    for axis in axes.flat[len(found) :]:
        axis.set_axis_off()
    axes[0][0].set_ylabel("return of fresh episodes")
    handles = {h.get_label(): h for axis in axes.flat for h in axis.get_legend_handles_labels()[0]}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=len(handles))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _draw_arm(axis: Axes, arm: Arm, color: str, layout: Layout) -> None:
    curves: list[tuple[F64, F64]] = []
    for run in arm.runs:
        seconds = arm.costs.seconds(run, layout)
        measured = [at for at, each in enumerate(run.iterations) if each.score is not None]
        if seconds is None or not measured:
            continue
        scores = np.array([run.iterations[at].score for at in measured], np.float64)
        curves.append((seconds[measured] / 60, scores))
        axis.plot(*curves[-1], color=color, linewidth=0.6, alpha=0.5)
    if curves:
        axis.plot(*median_curve(curves, POINTS), color=color, linewidth=2, label=arm.name)
