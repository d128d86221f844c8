"""Figure ``learning``: what updates report of themselves, loss and divergence for example."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from poolrl.records.records import Champion, UnitRecord
from poolrl.report.figures import style
from poolrl.report.figures.pool_data import PoolData

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PREFIX = "train/"
MOST = 24
"""Panels of a figure; names come from records, which may hold any number of them."""


def draw(data: PoolData) -> Figure:
    """Draw each metric ``train/…`` against the iteration: of all branches, and of the line of the
    newest champion.

    Of a champion that is a mean, the line has the mean over the branches that it was made of, with
    their weights; by the rule ``update``, whose branches make no update, that of the one update.
    """
    learners = [*data.of_kind("branch"), *data.of_kind("update")]
    names = sorted({name for unit in learners for name in _metrics(unit)})[:MOST]
    if not names:
        return style.notice_figure(
            f"learning: no record of this pool has metrics {PREFIX}…; its learner reports none"
        )
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure = style.make_figure(4.3 * columns, 2.5 * rows + 0.4)
    axes = figure.subplots(rows, columns, sharex=True, squeeze=False)
    for axis, name in zip(axes.flat, names, strict=False):
        _draw(axis, data, name)
    for axis in axes.flat[len(names) :]:
        axis.set_axis_off()
    # The last panel of each column has the axis' label.
    for column in range(columns):
        bottom = axes[(len(names) - 1 - column) // columns][column]
        bottom.set_xlabel("iteration")
        bottom.tick_params(labelbottom=True)
    handles = {h.get_label(): h for h in axes[0][0].get_legend_handles_labels()[0]}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=3)
    return figure


def _draw(axis: Axes, data: PoolData, name: str) -> None:
    import numpy as np

    own = [(unit.iteration, _metrics(unit)) for unit in data.of_kind("branch")]
    branches = [(iteration, metrics[name]) for iteration, metrics in own if name in metrics]
    shown: list[float] = []
    if branches:
        xs, ys = zip(*branches, strict=True)
        shown += ys
        raster = len(ys) > style.RASTER_FROM
        axis.plot(xs, ys, label="branches", rasterized=raster, **style.BRANCHES)
        by_iteration: dict[int, list[float]] = {}
        for x, y in branches:
            by_iteration.setdefault(x, []).append(y)
        quartiles = [np.quantile(values, [0.25, 0.5, 0.75]) for values in by_iteration.values()]
        low, middle, high = np.array(quartiles).T
        axis.fill_between(list(by_iteration), low, high, color=style.GREY, alpha=0.35, lw=0)
        axis.plot(
            *(list(by_iteration), middle),
            color="#5c666f",
            ls=":",
            lw=1.2,
            label="branches: median and quartiles",
        )
    line = [(c.iteration, value) for c in data.line if (value := _of_champion(data, c, name))]
    if line:
        xs, ys = zip(*[(x, value) for x, (value,) in line], strict=True)
        shown += ys
        axis.plot(xs, ys, label=_line_label(data), **style.champion_line(len(xs)))
    if len(shown) > 20:  # one branch that diverges hides no other
        low, high = np.quantile(shown, [0.002, 0.998])
        if high > low:
            axis.set_ylim(low - 0.06 * (high - low), high + 0.06 * (high - low))
    axis.set_title(style.plain(name), fontsize="medium")
    style.whole_ticks(axis)
    axis.grid(alpha=0.3)


def _line_label(data: PoolData) -> str:
    merge = data.spec.merge
    if merge.rule == "update":
        return "the update that makes the champion"
    if merge.rule == "mean":
        return "champion's line: mean of its branches"
    return "champion's line" + (" (of a candidate: mean of its branches)" * merge.averages)


def _metrics(unit: UnitRecord) -> dict[str, float]:
    training = unit.training
    if training is None:
        return {}
    return {
        name: value
        for name, value in training.metrics.items()
        if name.startswith(PREFIX) and math.isfinite(value)
    }


def _of_champion(data: PoolData, champion: Champion, name: str) -> tuple[float] | None:
    """A metric of the training that a champion comes from, in a tuple; ``None`` if it has none."""
    if champion.kind == "update":
        record = data.unit(champion.iteration, "update")
        found = {} if record is None else _metrics(record)
        return (found[name],) if name in found else None
    weights = data.makers(champion.iteration)
    values: dict[float, float] = {}
    for index, weight in weights.items():
        record = data.unit(champion.iteration, "branch", index)
        if record is not None and name in (found := _metrics(record)):
            values[found[name]] = values.get(found[name], 0.0) + weight
    total = math.fsum(values.values())
    if not total:
        return None
    return (math.fsum(value * weight for value, weight in values.items()) / total,)
