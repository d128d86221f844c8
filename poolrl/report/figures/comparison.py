"""Figure of ``--compare``: champions of several pools, seeds of a configuration together."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from poolrl.config import tables
from poolrl.errors import UsageError
from poolrl.files import path_text, printable
from poolrl.formatting import count
from poolrl.monitoring.history import History
from poolrl.report.bootstrap import F64, mean_band, on_common_grid
from poolrl.report.figures import style
from poolrl.report.figures.pool_data import PoolData

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

POINTS = 200
"""Of a mean curve."""

KEYS_IN_LABEL = 2
"""Differing keys that the label of a configuration names; if there are more, it names a pool."""


class Group(NamedTuple):
    """Pools of one configuration, whose specifications differ in the seed alone.

    Attributes:
        label: what is its own among the configurations.
        pools: of it, by seed.
    """

    label: str
    pools: list[PoolData]


class Comparison:
    """Pools to compare."""

    def __init__(self, histories: Sequence[History]) -> None:
        """
        Args:
            histories: of the pools, refreshed.

        Raises:
            UsageError: a pool has no champion that was evaluated again, they train different tasks,
                or two are of the same configuration and seed.
        """
        self.pools = [PoolData(history) for history in histories]
        first = self.pools[0]
        groups: dict[str, list[PoolData]] = {}
        for data in self.pools:
            if not any(data.reevaluation(number) for number in data.merges):
                raise UsageError(f"{_root(data)}: no champion has been evaluated again yet")
            if data.spec.task.id != first.spec.task.id:
                raise UsageError(
                    f"--compare: {_root(first)} trains {first.spec.task.id}, "
                    f"{_root(data)} {data.spec.task.id}: returns of different tasks"
                )
            if data.score_name != first.score_name:
                raise UsageError(
                    f"--compare: {_root(first)} selects by {first.score_name}, "
                    f"{_root(data)} by {data.score_name}"
                )
            groups.setdefault(tables.sha256(_configuration(data)), []).append(data)
        for same in groups.values():
            same.sort(key=lambda data: data.spec.pool.seed)
            for one, other in itertools.pairwise(same):
                if one.spec.pool.seed == other.spec.pool.seed:
                    raise UsageError(
                        f"--compare: {_root(one)} and {_root(other)} have the same configuration "
                        f"and seed {one.spec.pool.seed}: they are one run"
                    )
        labels = _labels([same[0] for same in groups.values()])
        self.groups = [
            Group(f"{label} ({count(len(same), 'seed')})", same)
            for label, same in zip(labels, groups.values(), strict=True)
        ]

    def draw(self) -> Figure:
        """Draw the mean re-evaluation of the champions of each configuration with its 95 %
        bootstrap interval over seeds, seeds as thin lines, against iteration, control steps and
        working time; and the closing evaluations.

        A mean goes as far as the shortest of its pools. One seed has no interval.
        """
        figure = style.make_figure(14, 4.6)
        closings = any(data.closing for data in self.pools)
        widths = [3, 3, 3, 1.3] if closings else [1, 1, 1]
        axes = figure.subplots(1, len(widths), sharey=True, width_ratios=widths)
        first = self.pools[0]
        totals = [data.most for data in self.pools]
        most = max(steps for steps, _ in totals), max(seconds for _, seconds in totals)
        for place, axis in enumerate(axes[:3]):
            for number, group in enumerate(self.groups):
                _draw_group(axis, group, place, most, number)
            axis.set_xlabel(self.pools[0].scales(most)[place].label)
            axis.grid(alpha=0.3)
            style.few_ticks(axis)
        style.whole_ticks(axes[0])
        axes[0].set_ylabel(f"{first.score_name}, evaluated again", parse_math=False)
        if closings:
            _draw_closings(axes[3], self.groups)
        figure.legend(
            *axes[0].get_legend_handles_labels(),
            loc="outside lower center",
            ncols=min(3, len(self.groups)),
            fontsize="small",
        )
        sizes = {data.spec.pool.size for data in self.pools}
        figure.suptitle(
            f"champions of {count(len(self.pools), 'pool')} – {self.pools[0].spec.task.id}"
            + (f", {sizes.pop()}" if len(sizes) == 1 else "")
            + "; means over seeds with 95 % bootstrap intervals",
            fontsize="medium",
            parse_math=False,
        )
        return figure


def _root(data: PoolData) -> str:
    return path_text(data.history.pool.layout.root)


def _configuration(data: PoolData) -> dict[str, Any]:
    """The specification without its seed."""
    table: dict[str, Any] = msgspec.to_builtins(data.spec)
    return table | {"pool": {k: v for k, v in table["pool"].items() if k != "seed"}}


def _labels(pools: Sequence[PoolData]) -> list[str]:
    """What distinguishes configurations: the keys in which they differ, or else a pool's name, with
    the folders before it where names are the same.

    Args:
        pools: one of each configuration.
    """
    if len(pools) == 1:
        return [pools[0].rule]
    flat = [tables.flatten(_configuration(data)) for data in pools]
    keys = list(dict.fromkeys(key for table in flat for key in table))
    differing = [k for k in keys if any(table.get(k) != flat[0].get(k) for table in flat)]
    if len(differing) <= KEYS_IN_LABEL:
        return [
            ", ".join(f"{_short(key)} = {_text(table.get(key))}" for key in differing)
            for table in flat
        ]
    names = [data.history.pool.layout.name for data in pools]
    if len(set(names)) < len(names):
        roots = [os.path.abspath(data.history.pool.layout.root) for data in pools]
        common = os.path.commonpath(roots)
        names = [os.path.relpath(root, common) for root in roots]
    return [printable(name, 60) for name in names]


def _short(key: str) -> str:
    """A key without its section; not every key has one."""
    return key.partition(".")[2] or key


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, float):
        return f"{value:g}"
    return printable(str(value), 24) if value not in (None, "") else "none"


def _curve(data: PoolData, place: int, most: tuple[float, float]) -> tuple[F64, F64]:
    """Places on a horizontal axis, and re-evaluations of the champions there."""
    scale = data.scales(most)[place]
    points = [
        (scale.ends[number], again.score)
        for number in data.merges
        if (again := data.reevaluation(number)) is not None
    ]
    xs, ys = np.array(points, np.float64).T
    return xs, ys


def _draw_group(
    axis: Axes, group: Group, place: int, most: tuple[float, float], number: int
) -> None:
    color, dashes, marker = style.look(number)
    curves = [_curve(data, place, most) for data in group.pools]
    if len(curves) > 1:
        for xs, ys in curves:
            axis.plot(xs, ys, color=color, ls=dashes, lw=0.5, alpha=0.6, zorder=2)
        grid, values = on_common_grid(curves, POINTS)
        band = mean_band(values, np.random.default_rng(0))
        axis.fill_between(grid, band.low, band.high, color=color, alpha=0.2, lw=0, zorder=1)
        xs, ys = grid, band.mean
    else:
        ((xs, ys),) = curves
    axis.plot(
        xs,
        ys,
        label=style.plain(group.label, 80),
        color=color,
        ls=dashes,
        lw=1.6,
        marker=marker,
        # not all at the same places, so that curves that coincide are both seen; one point has one
        markevery=(number / (8 * len(style.CYCLE)) % 0.125, 0.125) if xs[-1] > xs[0] else [0],
        ms=4.5,
        zorder=3,
    )


def _draw_closings(axis: Axes, groups: Sequence[Group]) -> None:
    """Draw the closing evaluation of each pool, and their mean with its interval."""
    for number, group in enumerate(groups):
        color, _, marker = style.look(number)
        scores = [data.closing.score for data in group.pools if data.closing is not None]
        values = np.array([score for score in scores if score is not None])
        if not len(values):
            continue
        axis.plot([number] * len(values), values, marker, ls="", color=color, alpha=0.5, ms=5)
        if len(values) > 1:
            band = mean_band(values[:, None], np.random.default_rng(0))
            mean, low, high = (float(each[0]) for each in band)
            axis.errorbar(
                *(number + 0.25, mean),
                yerr=[[mean - low], [high - mean]],
                fmt=marker,
                color=color,
                ms=6,
                capsize=3,
            )
    axis.set_xticks([])
    axis.set_xlim(-0.6, len(groups) - 0.2)
    axis.set_xlabel("closing evaluation")
    axis.grid(alpha=0.3, axis="y")
