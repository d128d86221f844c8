"""Pictures of ``pays.py``: scores over minutes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from analysis import F64, median_curve
from arms import Arm, Comparison
from timing import Layout

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.typing import ColorType

POINTS = 200
"""Points of a median curve."""


def draw(found: Sequence[Comparison], path: Path, cores: int) -> bool:
    """Draw scores over minutes, one panel a task whose minutes are known: seeds as thin lines,
    their median bold. Returns whether there is any.

    Args:
        found: arms by task.
        path: of the picture.
        cores: number of cores.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    found = [c for c in found if any(arm.times(arm.layout(cores)) is not None for arm in c.arms)]
    if not found:
        return False
    columns = min(3, len(found))
    rows = -(-len(found) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(4.6 * columns, 3.6 * rows), layout="constrained", squeeze=False
    )
    names = list(dict.fromkeys(arm.name for comparison in found for arm in comparison.arms))
    shades = plt.get_cmap("tab20")(range(20))  # strong and pale in turn
    colors = [*shades[::2], *shades[1::2]]
    for axis, comparison in zip(axes.flat, found, strict=False):
        for arm in comparison.arms:
            _draw_arm(axis, arm, colors[names.index(arm.name) % len(colors)], arm.layout(cores))
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
    figure.legend(
        handles.values(), handles.keys(), loc="outside lower center", ncols=min(len(handles), 6)
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)
    return True


def _draw_arm(axis: Axes, arm: Arm, color: ColorType, layout: Layout) -> None:
    curves: list[tuple[F64, F64]] = []
    for run in arm.runs:
        seconds = arm.costs.seconds(run, layout)
        measured = [at for at, each in enumerate(run.iterations) if each.score is not None]
        if seconds is None or not measured:
            continue
        scores = np.array([run.iterations[at].score for at in measured], np.float64)
        curves.append((seconds[measured] / 60, scores))
        marker = "o" if len(measured) == 1 else ""
        axis.plot(*curves[-1], color=color, linewidth=0.6, alpha=0.5, marker=marker, markersize=3)
    if curves:
        axis.plot(*median_curve(curves, POINTS), color=color, linewidth=2, label=arm.name)
