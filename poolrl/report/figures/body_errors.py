"""Errors of imitation by behaviour and body: a table, and box plots."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from poolrl.formatting import count
from poolrl.report.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

F64 = NDArray[np.float64]

ALL = "all"
"""Row of the table with the means over all clips."""


def rows_of(labels: Sequence[str]) -> dict[str, NDArray[np.intp]]:
    """Return the clips of each label, in alphabetical order of the labels.

    Args:
        labels: of the clips; an empty one becomes ``(none)``.
    """
    names = np.array([label or "(none)" for label in labels])
    return {str(name): np.flatnonzero(names == name) for name in np.unique(names)}


def table(labels: Sequence[str], bodies: Sequence[str], errors: F64) -> str:
    """Return a table as CSV: for each label, and in the last row for all clips, the number of clips
    and the means over them of each body's error and of all bodies', in m.

    Args:
        labels: of the clips.
        bodies: names of the tracked bodies.
        errors: (clips, bodies): mean distances in m.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["label", "clips", *bodies, "mean"])
    for label, rows in (*rows_of(labels).items(), (ALL, np.arange(len(labels)))):
        means = errors[rows].mean(axis=0)
        writer.writerow([label, len(rows), *(f"{x:.6g}" for x in (*means, means.mean()))])
    return buffer.getvalue()


def draw(labels: Sequence[str], bodies: Sequence[str], errors: F64) -> Figure:
    """Draw boxes of the clips' errors by body, and by label the same of their mean over bodies.

    A box has the quartiles, its whiskers reach to the last clips within 1.5 interquartile ranges.

    Args:
        labels, bodies, errors: as for ``table``.
    """
    by_body = {name: errors[:, i] for i, name in enumerate(bodies)}
    by_label = {
        f"{label} ({len(rows)})": errors[rows].mean(axis=1)
        for label, rows in rows_of(labels).items()
    }
    slots = max(len(by_body), len(by_label), 6)
    figure = style.make_figure(0.36 * slots + 1.5, 7)
    upper, lower = figure.subplots(2, 1)
    for axis, groups, color in ((upper, by_body, style.SKY), (lower, by_label, style.ORANGE)):
        _boxes(axis, groups, color)
        axis.set_xlim(0.5, slots + 0.5)
    upper.set_ylabel("distance of the body\nfrom its target / mm")
    lower.set_ylabel("mean over bodies / mm")
    upper.set_xlabel(f"body ({count(len(labels), 'clip')})")
    lower.set_xlabel("behaviour (number of clips)")
    return figure


def _boxes(axis: Axes, groups: Mapping[str, F64], color: str) -> None:
    axis.boxplot(
        [1000 * values for values in groups.values()],
        patch_artist=True,
        widths=0.65,
        boxprops={"facecolor": color, "lw": 0.7},
        medianprops={"color": style.BLACK, "lw": 1.4},
        whiskerprops={"lw": 0.7},
        capprops={"lw": 0.7},
        flierprops={"marker": ".", "ms": 3, "markeredgecolor": style.GREY},
    )
    names = [style.plain(name, 30) for name in groups]
    axis.set_xticks(
        *(range(1, len(names) + 1), names),
        fontsize="small",
        rotation=45,
        ha="right",
        rotation_mode="anchor",
    )
    axis.set_ylim(bottom=0)
    axis.grid(alpha=0.3, axis="y")
    axis.set_axisbelow(True)
