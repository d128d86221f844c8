"""Figure ``champion``: how good each champion is, by its unbiased re-evaluation."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from poolrl.records.records import UnitRecord
from poolrl.report.figures import style
from poolrl.report.figures.pool_data import PoolData, Scale, half_width

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw(data: PoolData) -> Figure:
    """Draw the re-evaluation of each champion, as the parent of the next iteration, with its 95 %
    interval, against iteration, control steps and working time; branches are behind it.

    Branches that are not evaluated are drawn with the mean return of their training episodes.
    """
    figure = style.make_figure(13, 4.5)
    axes = figure.subplots(1, 3, sharey=True)
    for axis, scale in zip(axes, data.scales(), strict=True):
        _draw(axis, data, scale)
    axes[0].set_ylabel(data.score_name, parse_math=False)
    style.whole_ticks(axes[0])
    figure.legend(  # below, since curves rise in some pools and fall in others
        *axes[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=5,
        fontsize="small",
    )
    return figure


def _draw(axis: Axes, data: PoolData, scale: Scale) -> None:
    branches, label = data.of_kind("branch"), "branches, as evaluated"
    if not data.spec.merge.evaluates_branches:
        label = "branches, in training"
    shown = _cloud(axis, branches, scale, label, style.BRANCHES)
    shown += _cloud(axis, data.of_kind("candidate"), scale, "candidates", style.CANDIDATES)
    ends: list[float] = []
    scores: list[float] = []
    halves: list[float] = []
    for iteration in data.merges:
        record = data.reevaluation(iteration)
        if record is not None and record.score is not None:
            ends.append(scale.ends[iteration])
            scores.append(record.score)
            halves.append(half_width(record))
    bounds: list[float] = []
    if ends:
        low = [score - half for score, half in zip(scores, halves, strict=True)]
        high = [score + half for score, half in zip(scores, halves, strict=True)]
        bounds = low + high
        width = style.band_edge(len(ends))
        axis.fill_between(ends, low, high, color=style.BLUE, alpha=0.25, lw=width, zorder=2)
        label = "champion, evaluated again, with 95 % interval"
        axis.plot(ends, scores, label=label, **style.champion_line(len(ends)))
    _fallbacks(axis, data, scale)
    closing = data.closing
    result: list[float] = []
    if closing is not None and closing.score is not None:
        half = half_width(closing)
        result = [closing.score - half, closing.score + half]
        axis.errorbar(
            scale.units[closing.unit],
            closing.score,
            yerr=half,
            label=f"closing evaluation: {closing.score:.4g}",
            **style.CLOSING,
        )
    lowest_is_best = data.lowest_is_best
    style.limit_to(axis, [*shown, *bounds], lowest_is_best=lowest_is_best, inside=result)
    style.few_ticks(axis)
    axis.set_xlabel(scale.label)
    axis.grid(alpha=0.3)


def _cloud(
    axis: Axes,
    units: list[UnitRecord],
    scale: Scale,
    label: str,
    look: dict[str, Any],
) -> list[float]:
    """Draw a point for each unit; return their returns."""
    points = [(scale.units[unit.unit], measured(unit)) for unit in units]
    known = [(x, y) for x, y in points if y is not None and math.isfinite(y)]
    if known:
        xs, ys = zip(*known, strict=True)
        raster = len(known) > style.RASTER_FROM
        axis.plot(xs, ys, label=label, rasterized=raster, **look)
    return [y for _, y in known]


def measured(unit: UnitRecord) -> float | None:
    """Score of a unit, or the mean return of its training if it is not evaluated; ``None`` if it
    has neither."""
    if unit.score is not None:
        return unit.score
    trained = unit.training if unit.status == "done" and unit.evaluation is None else None
    return trained.mean_return if trained else None


def _fallbacks(axis: Axes, data: PoolData, scale: Scale) -> None:
    """Draw a line from the last champion of a line that was given up to the champion that it went
    back to, both by their re-evaluation."""
    label = "back to the best-ever champion"
    for start, target in data.history.fallbacks():
        left, found = data.reevaluation(start - 1), data.reevaluation(target)
        if left is None or found is None or start - 1 not in scale.ends:
            continue
        axis.plot(
            [scale.ends[start - 1], scale.ends[target]],
            [left.score or 0.0, found.score or 0.0],
            label=label,
            marker="<",
            markevery=[1],
            ms=5,
            **style.FALLBACK,
        )
        label = "_nolegend_"
