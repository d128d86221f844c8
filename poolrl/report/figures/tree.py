"""Figure ``tree``: who descends from whom, branch by branch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any, NamedTuple

from poolrl.records.records import UnitRecord
from poolrl.report.figures import style
from poolrl.report.figures.champion import measured
from poolrl.report.figures.pool_data import STAYED, PoolData

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HYPERPARAMETERS = 3
"""Panels coloured by a hyper-parameter, at most."""

EDGES_UP_TO = 80
"""Iterations up to which edges are drawn. More would be a wall: then branches are cells without
gaps, and those that the next champion is made of have a mark."""

ROWS_UP_TO = 60
"""Branches likewise."""

SECOND_STAGE = 0.5
"""Where in an iteration a candidate, mean or update is: after the branches it is made of."""

Point = tuple[float, float]


class Layout(NamedTuple):
    """Places of the nodes: x is the iteration, y the index of the branch; what is made of several
    branches has rows of its own above.

    Attributes:
        champions: place of the champion after each merge.
        rows: labels of the rows above the branches.
        branches: number of rows of branches.
    """

    champions: dict[int, Point]
    rows: list[str]
    branches: int


def draw(data: PoolData) -> Figure:
    """Draw the branches of each iteration as points, coloured by a hyper-parameter or their score,
    and lines from each champion to its branches, bold to those that the next champion is made of.

    A candidate, a mean and an update have several parents, all of whose lines are drawn, with a row
    of their own. A champion that stays is carried on by a dotted line, and a fallback is a dashed
    line to where it goes back to.
    """
    layout = _layout(data)
    names = _varying(data)[:HYPERPARAMETERS]
    panels: list[tuple[str, Callable[[UnitRecord], Any]]]
    panels = [(name, _value_of(name)) for name in names]
    evaluated = data.spec.merge.evaluates_branches
    panels.append(("score" if evaluated else "training return", measured))
    rows = layout.branches + len(layout.rows)
    height = min(6.0, max(1.9, 0.2 * rows + 0.8))
    figure = style.make_figure(13, height * len(panels) + 0.9)
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    size = max(1.2, min(6.5, 936 / (3 * len(data.merges)), 72 * height / (2.2 * rows)))
    draw_edges = _draw_marks if _has_cells(data) else _draw_edges
    for axis, (name, value) in zip(axes, panels, strict=True):
        draw_edges(axis, data, layout)
        _draw_nodes(axis, data, layout, name, value, size)
        _draw_second_stage(axis, data, layout, size)
        axis.set_ylabel("branch")
        _label_rows(axis, layout)
        axis.set_ylim(-0.8, rows - 0.2)
        axis.margins(x=0.01)
    axes[-1].set_xlabel("iteration")
    style.whole_ticks(axes[-1])
    handles = {h.get_label(): h for h in axes[-1].get_legend_handles_labels()[0]}
    figure.legend(
        *(handles.values(), handles.keys()), loc="outside lower center", ncols=5, fontsize="small"
    )
    return figure


def _has_cells(data: PoolData) -> bool:
    """Whether the pool is too large for edges."""
    return len(data.merges) > EDGES_UP_TO or data.spec.pool.count > ROWS_UP_TO


def _value_of(name: str) -> Callable[[UnitRecord], Any]:
    return lambda unit: unit.hyperparameters.get(name)


def _varying(data: PoolData) -> list[str]:
    """Hyper-parameters that differ between branches, in the order of the specification."""
    branches = data.of_kind("branch")
    return [
        name
        for name in data.spec.branches
        if len({str(unit.hyperparameters.get(name)) for unit in branches}) > 1
    ]


def _layout(data: PoolData) -> Layout:
    count = data.spec.pool.count
    merge = data.spec.merge
    if merge.rule == "best":
        rows = [f"×{factor:g}" for factor in merge.candidates]
    else:
        rows = [str(merge.rule)]
    places: dict[int, Point] = {}
    for number, merged in data.merges.items():
        champion = merged.champion
        before = places.get(number - 1, (number, (count - 1) / 2))
        if merged.rule in STAYED or champion.iteration == 0:
            places[number] = (number, before[1])
        elif merged.rule == "best-ever fallback":
            places[number] = (number, places.get(champion.iteration, before)[1])
        elif champion.kind == "branch":
            places[number] = (number, champion.index)
        else:
            places[number] = (number + SECOND_STAGE, count + champion.index)
    return Layout(places, rows, count)


def _draw_edges(axis: Axes, data: PoolData, layout: Layout) -> None:
    """Draw the lines between nodes: those of losers, those of the line, and those that were given
    up."""
    losing: list[tuple[Point, Point]] = []
    bold: list[tuple[Point, Point]] = []
    dropped: list[tuple[Point, Point]] = []
    stayed: list[tuple[Point, Point]] = []
    on_line = {champion.iteration for champion in data.line}
    for number, merged in data.merges.items():
        start, end = layout.champions.get(number - 1), layout.champions[number]
        if start is None:
            continue
        makers = data.makers(number)
        winning = bold if number in on_line else dropped
        for unit in data.units[number]:
            if unit.kind == "branch":
                node = (float(number), float(unit.index))
                chosen = unit.index in makers
                (winning if chosen else losing).append((start, node))
                if chosen and end[0] > number:
                    winning.append((node, end))
        if merged.rule in STAYED:
            stayed.append((start, end))
        elif merged.rule == "best-ever fallback":
            target = layout.champions.get(merged.champion.iteration, end)
            _draw_fallback(axis, target, end, layout.branches / 2)
    width = 1.0 if data.spec.merge.averages or data.spec.merge.shares_experience else 1.7
    _add_lines(axis, losing, "other branches", color=style.GREY, lw=0.4, zorder=1)
    _add_lines(axis, dropped, "given up by a fallback", color="#5c666f", lw=width, ls="-.")
    _add_lines(axis, bold, "line of the newest champion", color=style.BLACK, lw=width)
    _add_lines(axis, stayed, "the champion stays", color=style.BLACK, lw=1.2, ls=":")


def _draw_marks(axis: Axes, data: PoolData, layout: Layout) -> None:
    """Mark what champions are made of, in place of edges, and the fallbacks."""
    on_line = {champion.iteration for champion in data.line}
    marks: dict[bool, list[tuple[Point, Point]]] = {True: [], False: []}
    for number, merged in data.merges.items():
        rows: list[float] = list(data.makers(number))
        if rows and layout.champions[number][0] > number:
            rows.append(layout.champions[number][1])
        marks[number in on_line] += [((number, y - 0.45), (number, y + 0.45)) for y in rows]
        if merged.rule == "best-ever fallback":
            end = layout.champions[number]
            target = layout.champions.get(merged.champion.iteration, end)
            _draw_fallback(axis, target, end, layout.branches / 2)
    width = min(6.0, max(0.7, 500 / len(data.merges)))
    look = {"lw": width, "zorder": 4}
    _add_lines(axis, marks[True], "line of the newest champion", color=style.BLACK, **look)
    _add_lines(axis, marks[False], "given up by a fallback", color=style.PURPLE, **look)


def _add_lines(axis: Axes, lines: Sequence[tuple[Point, Point]], label: str, **look: Any) -> None:
    from matplotlib.collections import LineCollection

    if lines:
        raster = len(lines) > style.RASTER_FROM
        axis.add_collection(LineCollection(lines, rasterized=raster, **{"zorder": 2} | look))
        look.pop("zorder", None)
        axis.plot([], [], label=label, **look)


def _draw_fallback(axis: Axes, target: Point, end: Point, middle: float) -> None:
    """Draw an arc from an iteration whose champion was dropped back to the best-ever champion.

    Args:
        axis: to draw on.
        target: place of the best-ever champion when it was selected.
        end: its place after the fallback, from which the line goes on.
        middle: of the vertical axis.
    """
    import numpy as np

    t = np.linspace(0, 1, 30)
    bend = 0.8 if end[1] < middle else -0.8  # so that it stays within the figure
    known = axis.get_legend_handles_labels()[1]
    label = "back to the best-ever champion"
    axis.plot(
        end[0] + t * (target[0] - end[0]),
        end[1] + t * (target[1] - end[1]) + bend * 4 * t * (1 - t),
        label="_nolegend_" if label in known else label,
        marker="<",
        markevery=[29],
        ms=5,
        **style.FALLBACK | {"zorder": 5},
    )
    axis.plot(*end, "o", color=style.VERMILLION, mfc="white", ms=4, zorder=6)


def _draw_nodes(
    axis: Axes,
    data: PoolData,
    layout: Layout,
    name: str,
    value: Callable[[UnitRecord], Any],
    size: float,
) -> None:
    import numpy as np
    from matplotlib.colors import LogNorm, Normalize
    from matplotlib.ticker import LogLocator

    branches = data.of_kind("branch")
    done = [(unit, value(unit)) for unit in branches if unit.status == "done"]
    known = [(u, each) for u, each in done if isinstance(each, int | float) and isfinite(each)]
    named = sorted({each for _, each in done if isinstance(each, str)})
    if named and not known:  # choices, such as true and false
        known = [(unit, named.index(each)) for unit, each in done if each in named]
    shown = {unit.unit for unit, _ in known}
    unknown = [(unit.iteration, unit.index) for unit, _ in done if unit.unit not in shown]
    if unknown:  # no episode of the training ended, for example
        xs, ys = map(list, zip(*unknown, strict=True))
        axis.scatter(
            *(xs, ys, size**2),
            facecolors="white",
            edgecolors="#5c666f",
            linewidths=0.8,
            zorder=3,
            label="of unknown value",
        )
    if known:
        xs = [unit.iteration for unit, _ in known]
        ys = [unit.index for unit, _ in known]
        values = np.array([float(each) for _, each in known])
        distinct = np.unique(values)
        long, cell = _has_cells(data), 0.0
        if long:  # cells that touch, two thirds of a row high
            box = axis.get_window_extent().transformed(axis.figure.dpi_scale_trans.inverted())
            cell = 72 * box.height / (layout.branches + len(layout.rows)) * 0.66
        scattered = axis.scatter(
            xs,
            ys,
            c=np.searchsorted(distinct, values) if len(distinct) <= 12 else values,
            marker="|" if long else "o",
            s=(cell if long else size) ** 2,
            cmap="viridis",
            norm=None
            if len(distinct) <= 12
            else _norm(values, logarithmic=name in data.spec.evolving),
            edgecolors=None if long else "black",
            linewidths=960 / len(data.merges) if long else 0.3,
            zorder=3,
            rasterized=len(xs) > style.RASTER_FROM,
        )
        bar = axis.figure.colorbar(scattered, ax=axis, pad=0.01, aspect=12)
        bar.set_label(style.plain(name), fontsize="small")
        if isinstance(scattered.norm, LogNorm):  # whose ticks are powers of ten alone
            bar.set_ticks(LogLocator(subs=(1, 2, 5)), minor=False)
            bar.minorticks_off()
        bar.ax.yaxis.set_major_formatter(lambda value, _: f"{value:.4g}")
        if len(distinct) <= 12:
            scattered.set_norm(Normalize(-0.5, len(distinct) - 0.5))
            texts = named if named and len(named) == len(distinct) else [f"{v:g}" for v in distinct]
            bar.minorticks_off()
            bar.set_ticks(list(range(len(distinct))), labels=[style.plain(text) for text in texts])
    failed = [(unit.iteration, unit.index) for unit in branches if unit.status != "done"]
    if failed:
        xs, ys = map(list, zip(*failed, strict=True))
        axis.scatter(
            xs,
            ys,
            marker="x",
            s=size**2,
            c=style.VERMILLION,
            linewidths=1,
            zorder=4,
            label="failed",
        )


def _norm(values: Any, *, logarithmic: bool) -> Any:
    """The scale of colours; on a linear one the lowest two of a hundred have one colour, so that a
    collapsed branch leaves the others theirs."""
    import numpy as np
    from matplotlib.colors import LogNorm, Normalize

    low, high = np.quantile(values, 0.02), values.max()
    if logarithmic and values.min() > 0:
        return LogNorm(values.min(), high, clip=True)
    return Normalize(low, high if high > low else low + 1, clip=True)


def _draw_second_stage(axis: Axes, data: PoolData, layout: Layout, size: float) -> None:
    """Draw candidates, means and updates, and the initial agent."""
    others: list[Point] = [
        (unit.iteration + SECOND_STAGE, layout.branches + unit.index)
        for unit in [*data.of_kind("candidate"), *data.of_kind("update")]
        if unit.status == "done"
    ]
    others += [layout.champions[i] for i, m in data.merges.items() if m.rule == "mean"]
    if others:
        xs, ys = map(list, zip(*others, strict=True))
        axis.scatter(
            xs,
            ys,
            marker="D",
            s=size**2,
            facecolors="white",
            edgecolors=style.PURPLE,
            linewidths=0.8 if size > 3 else 0.5,
            zorder=3,
            label="made of several branches",
        )
    if 0 in layout.champions:
        axis.plot(*layout.champions[0], "s", color=style.BLACK, ms=size, label="initial agent")


def _label_rows(axis: Axes, layout: Layout) -> None:
    step = max(1, layout.branches // 5)
    ticks = [float(index) for index in range(0, layout.branches, step)]
    names = [f"{tick:.0f}" for tick in ticks]
    for number, row in enumerate(layout.rows):
        ticks.append(layout.branches + number)
        names.append(row)
    axis.set_yticks(ticks, names, fontsize="small")
