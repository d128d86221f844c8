"""Figure ``episodes``: lengths of episodes, and values of the task's ``info``."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from poolrl.records.evaluation import Evaluation
from poolrl.report.figures import style
from poolrl.report.figures.pool_data import PoolData

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 24
"""Panels of a figure; names come from records, which may hold any number of them."""

Values = Callable[[Evaluation], Sequence[float]]
"""From an evaluation, its episodes' values that are known."""


def draw(data: PoolData) -> Figure:
    """Draw the lengths of evaluation episodes against the iteration, and each value of ``info``
    that the records have: the mean over the episodes of each champion's re-evaluation, with the
    smallest and the largest of them, and the mean of each branch that was evaluated."""
    panels: list[tuple[str, Values]] = [("episode length / control steps", _lengths)]
    names = sorted(
        {
            name
            for units in data.units.values()
            for unit in units
            if unit.evaluation is not None
            for name in unit.evaluation.infos
        }
    )
    panels += [(f"info: {name}", _info(name)) for name in names[: MOST - 1]]
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure = style.make_figure(9 if columns == 1 else 4.6 * columns, 3.0 * rows + 0.6)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis, (label, values) in zip(axes.flat, panels, strict=False):
        _draw(axis, data, values)
        axis.set_title(style.plain(label), fontsize="medium")
        axis.set_xlabel("iteration")
        style.whole_ticks(axis)
        axis.grid(alpha=0.3)
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    handles = {h.get_label(): h for a in axes.flat for h in a.get_legend_handles_labels()[0]}
    if handles:
        figure.legend(
            *(handles.values(), handles.keys()),
            loc="outside lower center",
            ncols=3 if columns > 1 else 2,
            fontsize="small",
        )
    return figure


def _lengths(evaluation: Evaluation) -> Sequence[float]:
    lengths: Sequence[float] = evaluation.lengths
    return lengths


def _info(name: str) -> Values:
    def values(evaluation: Evaluation) -> Sequence[float]:
        info = evaluation.infos.get(name)
        given = () if info is None else info.values
        return [value for value in given if value is not None and math.isfinite(value)]

    return values


def _draw(axis: Axes, data: PoolData, values: Values) -> None:
    branches = [
        (unit.iteration, statistics.fmean(own))
        for unit in data.of_kind("branch")
        if unit.evaluation is not None and (own := values(unit.evaluation))
    ]
    if branches:
        xs, ys = zip(*branches, strict=True)
        label = "branches: mean of the episodes"
        axis.plot(xs, ys, label=label, rasterized=len(xs) > style.RASTER_FROM, **style.BRANCHES)
    champions = []
    for number in data.merges:
        record = data.reevaluation(number)
        if record is not None and record.evaluation is not None:
            own = values(record.evaluation)
            if own:
                champions.append((number, statistics.fmean(own), min(own), max(own)))
    if champions:
        numbers, means, low, high = map(list, zip(*champions, strict=True))
        axis.fill_between(
            *(numbers, low, high),
            color=style.BLUE,
            alpha=0.2,
            lw=style.band_edge(len(numbers)),
            label="champion: smallest to largest of the episodes",
        )
        label = "champion, evaluated again: mean"
        axis.plot(numbers, means, label=label, **style.champion_line(len(numbers)))
    if not branches and not champions:
        style.notice(axis, "no episode with a value yet")
