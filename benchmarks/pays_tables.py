"""Tables of ``pays.py``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import report
from analysis import (
    final_score,
    geometric_interval,
    own_cost,
    ratio_interval,
    worst_to_median,
)
from arms import ONE_CORE, Arm, Comparison
from plans import Plan
from timing import LAYOUTS, Layout

from poolrl.report.bootstrap import Interval

CORES = (1, 2, 10, 20)
SAME_TIME = 10
"""Cores that scores after the same time are of."""

UNKNOWN = "–"


def body(plan: Plan, found: Sequence[Comparison], pictures: Sequence[str]) -> str:
    """All tables, in Markdown.

    Args:
        plan: of the runs.
        found: arms by task.
        pictures: names of files.
    """
    kinds = ("time", "ratio", "same", "work", "ends")
    rows: dict[str, list[list[str]]] = {kind: [] for kind in kinds}
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
            if comparison.one is not None and arm is not comparison.one:
                rows["same"].append([*first, *_same_time_row(arm, comparison.one)])
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
        f"of a run: {plan['cap']:g}, or what `--cap` said). One process is charged for its "
        f"training alone. One core and two are measured, more are computed.",
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
        f"## Scores after the same time on {SAME_TIME} cores",
        "When all runs of an arm have as many iterations as the one with the fewest, on "
        f"{SAME_TIME} cores: the median of its scores, and of `{one}` after as many minutes on one "
        "core, and with as many threads; smallest and largest in brackets.",
        report.table(
            ["task", "arm", "minutes", "score", f"{one}, 1 core", f"{one}, {SAME_TIME} threads"],
            rows["same"],
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
        "Scores of the last champions, after these iterations; the worst seed, as a share of the "
        "median below it; the pool's overhead and waiting for others as shares of the workers' "
        "wall time, with one worker and with two.",
        report.table(
            [
                *("task", "arm", "seeds", "iterations", "last scores", "median", "worst below"),
                *("overhead, 1 × 1", "overhead, 2 × 1", "waiting, 2 × 1"),
            ],
            rows["ends"],
        ),
        "## Computed by measured time",
        "Of the timed iterations, with all of their evaluations; workers × threads. Two threads "
        "are what Amdahl's law is fitted to, two workers are not. Beside it the machine's load in "
        "those runs (median): above the number of their workers and threads, others ran too. Arms "
        "without timed runs have the CPU seconds of their learning runs.",
        report.table(["task", "arm", *(layout.name for layout in LAYOUTS), "load"], checks),
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


def _same_time_row(arm: Arm, one: Arm) -> list[str]:
    layout = arm.layout(SAME_TIME)
    end = arm.end(layout)
    if end is None:
        return [UNKNOWN] * 4
    cells = [f"{end / 60:.2f}"]
    for each, own in ((arm, layout), (one, ONE_CORE), (one, one.layout(SAME_TIME))):
        scores = each.scores_at(own, end)
        if scores:
            low, middle, high = np.quantile(scores, (0, 0.5, 1)).tolist()
            extremes = f"[{report.number(low)}, {report.number(high)}]"
            cells.append(f"{report.number(middle)} {extremes}")
        else:
            cells.append(UNKNOWN)
    return cells


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
    last = [run.iterations[-1].number for run in arm.runs]
    fewest, most = min(last), max(last)
    iterations = str(most) if fewest == most else f"{fewest}–{most}"
    own_costs = [shares[ONE_CORE][0], *shares[Layout(2, 1)]]
    return [str(len(arm.runs)), iterations, *ends, *own_costs]


def _check_row(arm: Arm) -> list[str]:
    ratios = [arm.costs.check(layout) for layout in LAYOUTS]
    loads = [timing.load for timing in arm.costs.timings]
    load = f"{np.median(loads):.1f}" if loads else UNKNOWN
    return [*(UNKNOWN if ratio is None else f"{ratio:.3f}" for ratio in ratios), load]


def _cell(interval: Interval) -> str:
    return f"{interval.value:.2f} [{interval.low:.2f}, {interval.high:.2f}]"
