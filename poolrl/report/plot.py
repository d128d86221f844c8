"""Plot of the history of a pool."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from poolrl.config.scoring import SelectionSpec
from poolrl.errors import UsageError
from poolrl.files import printable
from poolrl.monitoring.history import History
from poolrl.report.drawing import drawing
from poolrl.report.figures import style
from poolrl.report.figures.output import picture, write_figures

if TYPE_CHECKING:
    import pandas as pd

BRANCH, CHAMPION, REEVALUATED, CLOSING = "#b8c4ce", "#1f5fa8", "#d9822b", "#2e8540"
CANDIDATE = "#9a6fb0"
FALLBACK = "#b03060"


def plot_history(history: History, output: Path) -> None:
    """Plot scores against iterations, environment steps and working time; the file appears whole or
    not at all.

    Args:
        history: refreshed by the caller.
        output: a .png, .pdf or .svg file.

    Raises:
        UsageError: the pool has no merge yet, or the file cannot be written.
        PoolrlError: matplotlib cannot draw, because of its configuration for example.
    """
    write_figures(["history"], lambda: [_figure(history)], output, None)


def plot_bytes(history: History) -> bytes:
    """Return the same plot as PNG data.

    Raises:
        UsageError: the pool has no merge yet.
        PoolrlError: as ``plot_history``.
    """
    with drawing():
        return picture([_figure(history)], "png")


def _figure(history: History) -> Any:
    """Draw the plot.

    The score by which a champion is selected is the maximum of noisy means, and biased upward. Its
    re-evaluation as the parent of the next iteration is not, so both are drawn.
    """
    if not history.merges:
        raise UsageError(f"{history.pool.layout.root}: the pool has no merged iteration yet")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    table, selection = history.table(), history.pool.spec.selection
    if selection.score != "return":
        chosen = history.table(["selection_score", "selection_score.se"])
        table["score"], table["standard_error"] = chosen.iloc[:, 0], chosen.iloc[:, 1]
    table["hours"] = table["elapsed"] / 3600
    minutes = table["hours"].max() < 2
    table["time"] = table["elapsed"] / (60 if minutes else 3600)
    table["millions"] = table["total_environment_steps"] / 1e6
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 3, sharey=True)
    for axis, x, label in zip(
        axes,
        ("iteration", "millions", "time"),
        (
            "iteration",
            "environment steps of the whole pool / million",
            f"working time / {'min' if minutes else 'h'}",
        ),
        strict=True,
    ):
        _draw(axis, table, x, label, selection.direction)
        _draw_fallbacks(axis, table, x, history.fallbacks(), selection.direction)
    style.whole_ticks(axes[0])
    axes[0].set_ylabel(_score_label(selection), parse_math=False)
    axes[0].legend(loc="lower right", fontsize="small", framealpha=0.9)
    spec = history.pool.spec
    figure.suptitle(
        f"{printable(history.pool.layout.name)}: {spec.task.id}, "
        f"{spec.pool.size}, seed {spec.pool.seed}",
        fontsize="medium",
        parse_math=False,  # a name may contain dollar signs
    )
    return figure


def _score_label(selection: SelectionSpec) -> str:
    name = "mean return" if selection.score == "return" else printable(selection.score, 60)
    return name if selection.direction == "max" else f"{name} (lowest is best)"


def _draw(axis: Any, table: pd.DataFrame, x: str, label: str, direction: str) -> None:
    branches = table[table["kind"] == "branch"]
    axis.plot(branches[x], branches["score"], ".", color=BRANCH, ms=3, label="branches", zorder=1)
    candidates = table[table["kind"] == "candidate"]
    if len(candidates):
        axis.plot(
            *(candidates[x], candidates["score"], "x"),
            color=CANDIDATE,
            ms=3,
            mew=0.7,
            label="candidates",
            zorder=1,
        )
    champions = table[
        table["champion"] & table["kind"].isin(["initial", "branch", "candidate", "parent"])
    ]
    # A champion is drawn at the end of its iteration.
    end = table[table["kind"] != "closing"].groupby("iteration")[x].max()
    axis.plot(
        end.reindex(champions["iteration"]),
        champions["score"],
        color=CHAMPION,
        lw=1.2,
        **_markers(len(champions)),
        label="champion, as selected",
        zorder=2,
    )
    parents = table[table["kind"] == "parent"]
    axis.plot(
        end.reindex(parents["iteration"] - 1),  # the parent is the previous champion
        parents["score"],
        color=REEVALUATED,
        lw=1.2,
        **_markers(len(parents)),
        label="champion, evaluated again",
        zorder=3,
    )
    # The worst ones may be far off.
    scores = table[table["kind"] != "closing"]["score"]
    bounds = [scores.quantile(0.005 if direction == "max" else 0.995), scores.agg(direction)]
    closing = table[table["kind"] == "closing"].tail(1).dropna(subset="score")  # or it has failed
    if len(closing):
        score, half = float(closing["score"].iloc[0]), 2 * float(closing["standard_error"].iloc[0])
        bounds += [score - half, score + half]
        axis.errorbar(
            closing[x],
            closing["score"],
            yerr=half,
            fmt="*",
            ms=10,
            color=CLOSING,
            label=f"closing evaluation: {score:{'.1f' if abs(score) >= 10 else '.3g'}}",
            zorder=4,
        )
    low, high = min(bounds), max(bounds)
    if high > low:
        axis.set_ylim(low - 0.05 * (high - low), high + 0.08 * (high - low))
    axis.set_xlabel(label)
    style.few_ticks(axis)
    axis.grid(alpha=0.3)


def _markers(number: int) -> dict[str, Any]:
    """Markers of a line of so many points where they would not touch: one point has no line."""
    return {"marker": "o", "ms": 2.5} if number <= 60 else {}


def _draw_fallbacks(
    axis: Any, table: pd.DataFrame, x: str, fallbacks: Sequence[tuple[int, int]], direction: str
) -> None:
    """Draw a line from each iteration that went back to the best-ever champion, at the best
    score that it left, to the iteration that had selected that one, at the score it had there.

    Args:
        axis: to draw on.
        table: of the history.
        x: column of the horizontal axis.
        fallbacks: of ``History.fallbacks``.
        direction: ``max`` or ``min``, which scores are the best.
    """
    units = table[table["kind"] != "closing"]
    end = units.groupby("iteration")[x].max()
    best = units[units["kind"] != "parent"].groupby("iteration")["score"].agg(direction)
    for number, (start, target) in enumerate(fallbacks):
        score = best[target]
        axis.plot(
            [end[start], end[target]],
            [best.fillna(score).get(start, score), score],
            color=FALLBACK,
            lw=1.0,
            ls="--",
            marker="<",
            markevery=[1],
            ms=4,
            label="back to the best-ever" if number == 0 else "_nolegend_",
            zorder=3,
        )
