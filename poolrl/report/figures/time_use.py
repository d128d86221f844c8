"""Figure ``time``: where the time of the workers goes, waiting for others apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from poolrl.monitoring.history import WORK
from poolrl.report.figures import style
from poolrl.report.figures.pool_data import PoolData

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GROUPS = (
    *(("training", style.BLUE, ""), ("evaluation", style.SKY, "///")),
    ("the pool's own cost", style.ORANGE, "..."),
)
"""Name, colour and hatching of what is work or a cost of the pool."""

WAITING = ("waiting", style.GREY, "\\\\\\")
BINS = 50
"""Groups of iterations at most; bars of single ones would be too thin for their hatching."""

MOST = 12
"""Bars of single phases; names come from records, which may hold any number of them."""


def draw(data: PoolData) -> Figure:
    """Draw the wall-clock seconds of all units of an iteration, summed over the workers: training,
    evaluation and the pool's own cost above, waiting for other workers below; beside it each phase
    as a share of the time that is not waiting, and waiting as a share of all."""
    phases: dict[int, dict[str, float]] = {number: {} for number in data.merges}
    for number, units in data.units.items():
        for unit in units:
            for phase, seconds in unit.seconds.items():
                phases[number][phase] = phases[number].get(phase, 0.0) + seconds.wall
    figure = style.make_figure(13, 4.6)
    grid = figure.add_gridspec(2, 2, width_ratios=[2, 1], height_ratios=[2.2, 1])
    work = figure.add_subplot(grid[0, 0])
    waiting = figure.add_subplot(grid[1, 0], sharex=work)
    _draw_iterations(work, waiting, phases)
    _draw_phases(figure.add_subplot(grid[:, 1]), phases)
    return figure


def _group(phase: str) -> str:
    return phase if phase in (*WORK, "waiting") else GROUPS[-1][0]


def _draw_iterations(work: Axes, waiting: Axes, phases: Mapping[int, Mapping[str, float]]) -> None:
    import numpy as np

    width = -(-len(phases) // BINS)
    order = sorted(phases)
    groups = [order[start : start + width] for start in range(0, len(order), width)]
    edges = np.array([*(group[0] - 0.5 for group in groups), order[-1] + 0.5])
    base = np.zeros(len(groups))
    for name, color, hatch in (*GROUPS, WAITING):
        values = np.array(
            [
                sum(s for i in group for phase, s in phases[i].items() if _group(phase) == name)
                / len(group)
                for group in groups
            ]
        )
        axis, start = (work, base) if name != "waiting" else (waiting, np.zeros(len(groups)))
        axis.stairs(
            *(start + values, edges),
            baseline=start,
            fill=True,
            facecolor=color,
            edgecolor="black",
            hatch=hatch,
            lw=0.3,
            label=name if name != "waiting" else "waiting for other workers",
        )
        if name != "waiting":
            base = base + values
        elif not values.any():
            style.notice(waiting, "no worker waited for another one")
            waiting.set_axis_on()
            waiting.set_yticks([])
    work.set_ylabel("s an iteration,\nall workers")
    if width > 1:
        waiting.set_xlabel(f"iteration (means of {width})")
    else:
        waiting.set_xlabel("iteration")
    waiting.set_ylabel("s an iteration")
    style.whole_ticks(waiting)
    for axis, highest in ((work, base.max()), (waiting, 0.0)):
        axis.set_ylim(bottom=0, top=1.25 * highest if highest else None)
        axis.grid(alpha=0.3)
        axis.margins(x=0)
    work.tick_params(labelbottom=False)
    style.legend(work, loc="upper right", ncols=3)
    if waiting.get_yticks().size:
        style.legend(waiting, loc="upper right")


def _draw_phases(axis: Axes, phases: Mapping[int, Mapping[str, float]]) -> None:
    totals: dict[str, float] = {}
    for own in phases.values():
        for phase, seconds in own.items():
            totals[phase] = totals.get(phase, 0.0) + seconds
    waited = totals.pop("waiting", 0.0)
    worked = sum(totals.values())
    if not worked:
        style.notice(axis, "no unit recorded how long it took")
        return
    order = sorted(totals, key=lambda phase: (-totals[phase], phase))[:MOST]
    looks = {name: (color, hatch) for name, color, hatch in (*GROUPS, WAITING)}
    rows = [(phase, totals[phase] / worked, looks[_group(phase)]) for phase in order]
    names = [style.plain(phase, 24) for phase in order]
    rows.append(("waiting", waited / (worked + waited), looks["waiting"]))
    places = [*range(len(order)), len(order) + 0.6]
    for place, (_, share, (color, hatch)) in zip(places, rows, strict=True):
        axis.barh(place, 100 * share, color=color, hatch=hatch, edgecolor="black", lw=0.4)
        text = f" {100 * share:.1f} %" if share >= 0.0005 else " < 0.05 %"
        axis.text(100 * share, place, text, va="center", fontsize="small")
    axis.axhline(len(order) - 0.2, color="black", lw=0.6, ls=":")
    axis.set_yticks(places, [*names, "waiting\n(of all time)"])
    axis.invert_yaxis()
    axis.set_xlim(0, 118)
    axis.set_xlabel("% of the time that is not waiting")
    axis.grid(alpha=0.3, axis="x")
    axis.set_axisbelow(True)
