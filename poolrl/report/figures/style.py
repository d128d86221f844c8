"""Colours, markers and common parts of figures.

Colours are those of Okabe and Ito, which the colour-blind can tell apart; lines differ in their
style and points in their marker too, so that figures can be read in black and white.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from poolrl.files import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLACK, ORANGE, SKY, GREEN = "#000000", "#e69f00", "#56b4e9", "#009e73"
BLUE, VERMILLION, PURPLE, GREY = "#0072b2", "#d55e00", "#cc79a7", "#9aa5ae"

CYCLE: tuple[tuple[str, Any, str], ...] = (
    (BLUE, "-", "o"),
    (VERMILLION, "--", "s"),
    (GREEN, "-.", "^"),
    (PURPLE, ":", "D"),
    (ORANGE, (0, (5, 1, 1, 1, 1, 1)), "v"),
    (BLACK, (0, (8, 2)), "x"),
    (SKY, (0, (1, 3)), "*"),
)
"""Colour, line style and marker of the first, second, … curve."""

BRANCHES: dict[str, Any] = {"color": GREY, "ls": "", "marker": ".", "ms": 3, "zorder": 1}
CANDIDATES: dict[str, Any] = {"color": PURPLE, "ls": "", "marker": "x", "ms": 3.5, "zorder": 2}
FALLBACK: dict[str, Any] = {"color": VERMILLION, "ls": "--", "lw": 1.1, "zorder": 3}
CLOSING: dict[str, Any] = {"color": GREEN, "marker": "*", "ms": 11, "ls": "", "zorder": 5}

OUTSIDE = 0.005
"""Share of the worst scores that may be outside of a figure."""

RASTER_FROM = 2_000
"""Points from which a cloud is an image within a .pdf or .svg, which would be slow to open."""


def make_figure(width: float, height: float) -> Figure:
    """Return an empty figure that no window shows; sizes in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def look(number: int) -> tuple[str, Any, str]:
    """Colour, line style and marker of a curve, by its number; unlike those of the first 49."""
    color, _, _ = CYCLE[number % len(CYCLE)]
    _, dashes, marker = CYCLE[(number + number // len(CYCLE)) % len(CYCLE)]
    return color, dashes, marker


def plain(text: str, most: int = 60) -> str:
    """Return text that matplotlib draws as it is: names may contain dollar signs, or be long.

    Args:
        text: from a pool.
        most: maximum length in characters.
    """
    return printable(text, most).replace("$", r"\$")


def notice(axis: Axes, text: str) -> None:
    """Write a line in place of a plot that has nothing to show."""
    axis.set_axis_off()
    axis.text(
        *(0.5, 0.5, text),
        ha="center",
        va="center",
        transform=axis.transAxes,
        wrap=True,
        parse_math=False,
    )


def notice_figure(text: str) -> Figure:
    """Return a figure with a line alone."""
    figure = make_figure(9, 1.5)
    notice(figure.subplots(), text)
    return figure


def champion_line(number: int) -> dict[str, Any]:
    """How the line of champions looks, with so many points: thin and without markers where these
    would touch."""
    many = {"lw": 0.9} if number > 60 else {"lw": 1.4, "marker": "o", "ms": 2.5}
    return {"color": BLUE, "ls": "-", "zorder": 3} | many


def band_edge(number: int) -> float:
    """Width of the edge of a band over so many points: a single one has no area."""
    return 0 if number > 1 else 4


def legend(axis: Axes, **options: Any) -> None:
    """Add a legend, if anything has a label."""
    if axis.get_legend_handles_labels()[0]:
        axis.legend(fontsize="small", framealpha=0.9, **options)


def limit_to(
    axis: Axes, values: Sequence[float], *, lowest_is_best: bool, inside: Sequence[float] = ()
) -> None:
    """Limit the vertical axis to all but the worst values, so that one collapsed branch does not
    press all others into a line.

    Args:
        axis: of the figure.
        values: finite.
        lowest_is_best: whether the worst ones are the highest.
        inside: further values, none of which is left out.
    """
    import numpy as np

    if not len(values):
        return
    low, high = min(values), max(values)
    if lowest_is_best:
        high = float(np.quantile(values, 1 - OUTSIDE))
    else:
        low = float(np.quantile(values, OUTSIDE))
    low, high = min([low, *inside]), max([high, *inside])
    if high > low:
        axis.set_ylim(low - 0.06 * (high - low), high + 0.06 * (high - low))


def few_ticks(axis: Axes) -> None:
    """Long numbers under a narrow axis must not touch."""
    axis.locator_params(axis="x", nbins=6)


def whole_ticks(axis: Axes) -> None:
    """Iterations are whole numbers."""
    from matplotlib.ticker import MaxNLocator

    # By default there are two ticks at least, and those beside a single iteration are fractions.
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
