"""Figure ``wins``: which branches win, and which values of a hyper-parameter."""

from __future__ import annotations

import itertools
import statistics
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from poolrl.records.records import UnitRecord
from poolrl.report.figures import style
from poolrl.report.figures.pool_data import STAYED, PoolData, mean_half_width

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 40
"""Rows of a panel; more branches are drawn in groups of neighbours."""

BINS = 5
"""Of a hyper-parameter that evolves, and has another value on every branch."""


class Row(NamedTuple):
    """A group of branches, or another outcome of a merge.

    Attributes:
        label: of it.
        share: of the merges that it won; a branch that is part of a mean wins by its weight.
        expected: the same if winners were drawn at random; ``None`` for what no branch is.
        gains: score minus the parent's on the same seeds, one an iteration: the mean of the group.
    """

    label: str
    share: float
    expected: float | None
    gains: list[float]


def draw(data: PoolData) -> Figure:
    """Draw, by branch and by each value of a hyper-parameter, the share of merges won, and the mean
    paired difference of the score to the parent's with its 95 % interval over iterations.

    By the rule ``mean`` with weights by rank, the share is that of the weights. By a uniform mean
    and the rule ``update`` no branch is evaluated and none wins, which a line says.
    """
    merge = data.spec.merge
    if not merge.evaluates_branches:
        return style.notice_figure(
            f"wins: nobody wins by this merge rule ({data.rule}): all branches are used alike, and "
            "none is evaluated"
        )
    if not data.of_kind("branch"):
        return style.notice_figure("wins: no iteration with branches is merged yet")
    panels = [("branch", _by_branch(data) + _others(data))]
    panels += [(name, _by_value(data, name)) for name in data.spec.branches]
    panels = [(name, rows) for name, rows in panels if len(rows) > 1 or name == "branch"]
    heights = [0.24 * len(rows) + 0.5 for _, rows in panels]
    figure = style.make_figure(10, sum(heights) + 1.3)
    axes = figure.subplots(
        len(panels), 2, squeeze=False, sharex="col", gridspec_kw={"height_ratios": heights}
    )
    for (left, right), (name, rows) in zip(axes, panels, strict=True):
        _draw_shares(left, rows)
        _draw_gains(right, rows)
        left.set_ylabel(style.plain(name))
        labels = [style.plain(row.label, 24) for row in rows]
        left.set_yticks(range(len(rows)), labels, fontsize="small")
        for axis in (left, right):
            axis.set_ylim(len(rows) - 0.4, -0.6)
            axis.grid(alpha=0.3, axis="x")
            axis.set_axisbelow(True)
        right.set_yticks(range(len(rows)), [])
    axes[0][0].set_xlim(left=0)
    won = "share of the weights" if merge.rule == "mean" else "share of merges won"
    axes[-1][0].set_xlabel(f"{won} / %")
    axes[-1][1].set_xlabel(
        "score minus the parent's, same seeds\n(mean over iterations, 95 % interval)"
    )
    figure.legend(
        *axes[0][0].get_legend_handles_labels(),
        loc="outside lower center",
        fontsize="small",
        ncols=2,
    )
    return figure


def _gains(data: PoolData, units: Sequence[UnitRecord]) -> list[float]:
    """Scores minus the parent's, which are the means of the paired differences: one an iteration,
    since units of an iteration share their parent's noise."""
    by_iteration: dict[int, list[float]] = defaultdict(list)
    for unit in units:
        parent = data.unit(unit.iteration, "parent")
        if parent is not None and parent.score is not None and unit.score is not None:
            by_iteration[unit.iteration].append(unit.score - parent.score)
    return [statistics.fmean(by_iteration[number]) for number in sorted(by_iteration)]


def _iterations(data: PoolData) -> list[int]:
    return [number for number in data.merges if number > 0]


def _rows(data: PoolData, groups: Mapping[str, Sequence[UnitRecord]]) -> list[Row]:
    """A row for each group of branches."""
    iterations = _iterations(data)
    weights = {number: data.makers(number) for number in iterations}
    # What is made of several branches is another winner than each of them.
    if data.spec.merge.rule == "best":
        weights = {n: own if len(own) == 1 else {} for n, own in weights.items()}
    won = sum(sum(own.values()) for own in weights.values())
    total = sum(len(units) for units in groups.values())
    return [
        Row(
            label,
            sum(weights[u.iteration].get(u.index, 0.0) for u in units) / len(iterations),
            won / len(iterations) * len(units) / total,
            _gains(data, units),
        )
        for label, units in groups.items()
    ]


def _by_branch(data: PoolData) -> list[Row]:
    size = -(-data.spec.pool.count // MOST)
    groups: dict[str, list[UnitRecord]] = defaultdict(list)
    for unit in sorted(data.of_kind("branch"), key=lambda unit: unit.index):
        first = unit.index // size * size
        last = min(first + size, data.spec.pool.count) - 1
        groups[str(first) if first == last else f"{first} to {last}"].append(unit)
    return _rows(data, groups)


def _others(data: PoolData) -> list[Row]:
    """Candidates, and merges that nobody won."""
    iterations = _iterations(data)
    rows = []
    for index, factor in enumerate(data.spec.merge.candidates):
        units = [unit for unit in data.of_kind("candidate") if unit.index == index]
        won = sum(
            (champion.iteration, champion.kind, champion.index) == (number, "candidate", index)
            for number in iterations
            for champion in [data.merges[number].champion]
        )
        label = f"candidate ×{factor:g}"
        rows.append(Row(label, won / len(iterations), None, _gains(data, units)))
    rules = Counter(data.merges[number].rule for number in iterations)
    rows += [
        Row(rule, number / len(iterations), None, [])
        for rule, number in sorted(rules.items())
        if rule in (*STAYED, "best-ever fallback")
    ]
    return rows


def _by_value(data: PoolData, name: str) -> list[Row]:
    """A row for each value; for each fifth of the values of one that evolves."""
    import numpy as np

    valued = [
        (unit.hyperparameters[name], unit)
        for unit in data.of_kind("branch")
        if name in unit.hyperparameters
    ]
    groups: dict[str, list[UnitRecord]] = {}
    numbers = [value for value, _ in valued if isinstance(value, int | float)]
    if name in data.spec.evolving and len(set(numbers)) > 2 * BINS:
        edges = np.unique(np.quantile(numbers, np.linspace(0, 1, BINS + 1))).tolist()
        for (low, high), names in zip(
            itertools.pairwise(edges), itertools.pairwise(_distinct(edges)), strict=True
        ):
            groups[" to ".join(names)] = [
                unit
                for value, unit in valued
                if isinstance(value, int | float)
                and (low <= value < high or value == high == edges[-1])
            ]
        return _rows(data, {label: units for label, units in groups.items() if units})
    for value, unit in sorted(valued, key=lambda pair: (str(type(pair[0])), pair[0])):
        label = f"{value:g}" if isinstance(value, float) else str(value)
        groups.setdefault(label, []).append(unit)
    return _rows(data, groups)[:MOST]


def _distinct(values: Sequence[float]) -> list[str]:
    """Different values as different texts, with two significant digits or as many as it takes."""
    for digits in range(2, 17):
        texts = [f"{value:.{digits}g}" for value in values]
        if len(set(texts)) == len(values):
            return texts
    return [repr(value) for value in values]


def _draw_shares(axis: Axes, rows: Sequence[Row]) -> None:
    shares = [100 * row.share for row in rows]
    color = [style.SKY if row.expected is not None else style.ORANGE for row in rows]
    axis.barh(range(len(rows)), shares, color=color, edgecolor="black", lw=0.5, height=0.7)
    expected = [(100 * row.expected, y) for y, row in enumerate(rows) if row.expected is not None]
    if expected:
        axis.plot(
            *zip(*expected, strict=True),
            ls="",
            marker="|",
            color=style.VERMILLION,
            ms=11,
            mew=2,
            label="if the winning branch were drawn at random",
        )


def _draw_gains(axis: Axes, rows: Sequence[Row]) -> None:
    axis.axvline(0, color="black", lw=0.8, ls="--")
    for y, row in enumerate(rows):
        if row.gains:
            half = mean_half_width(row.gains)
            axis.errorbar(
                *(statistics.fmean(row.gains), y),
                xerr=half,
                fmt="o" if row.expected is not None else "D",
                color=style.BLUE if row.expected is not None else style.PURPLE,
                ms=4.5,
                capsize=3,
                lw=1.2,
            )
