"""Figure ``overstatement``: how far a winner's score is above its re-evaluation."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING

from poolrl.report.figures import style
from poolrl.report.figures.pool_data import PoolData, mean_half_width

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CHOSEN = ("best branch", "best candidate", "patience")
"""Rules of merges that chose the highest of several noisy scores."""


def draw(data: PoolData) -> Figure:
    """Draw the score that each champion won by minus its score on the next iteration's seeds, and
    both against each other.

    The highest of many noisy scores is too high on average, by more the more noise there is. A
    champion that stays, or that a fallback brought back, was not chosen. By the rules ``mean`` and
    ``update`` none has a score when it is named, which a line says.
    """
    if not data.spec.merge.evaluates_champions:
        return style.notice_figure(
            f"overstatement: by this merge rule ({data.rule}) a champion has no score when it is "
            "named: nothing is overstated"
        )
    found = []
    for number, merged in data.merges.items():
        again = data.reevaluation(number)
        score = merged.champion.score
        if merged.rule in CHOSEN and again is not None and score is not None:
            assert again.score is not None
            found.append((number, score, again.score))
    if not found:
        return style.notice_figure("overstatement: no chosen champion has been evaluated again yet")
    iterations, chosen, again_scores = map(list, zip(*found, strict=True))
    differences = [a - b for a, b in zip(chosen, again_scores, strict=True)]
    figure = style.make_figure(12, 4.4)
    left, right = figure.subplots(1, 2, width_ratios=[1.7, 1])
    left.axhline(0, color="black", lw=0.8, ls="--")
    left.plot(iterations, differences, **style.BRANCHES | {"ms": 7, "color": "#5c666f"})
    mean = statistics.fmean(differences)
    half = mean_half_width(differences)
    left.axhspan(mean - half, mean + half, color=style.ORANGE, alpha=0.3, lw=0)
    left.axhline(
        mean,
        color=style.VERMILLION,
        ls="-.",
        label=f"mean: {mean:.3g} ± {half:.2g} (95 % interval)",
    )
    window = max(5, len(differences) // 10)
    if len(differences) >= 4 * window:
        running = [
            statistics.fmean(differences[end - window : end])
            for end in range(window, len(differences) + 1)
        ]
        label = f"mean over {window} champions"
        left.plot(iterations[window - 1 :], running, label=label, color=style.BLUE)
    left.set_xlabel("iteration")
    left.set_ylabel("score it won by minus re-evaluation")
    style.whole_ticks(left)
    style.legend(left, loc="best")
    points = right.scatter(again_scores, chosen, c=iterations, s=14, cmap="viridis", zorder=3)
    figure.colorbar(points, ax=right, label="iteration", pad=0.02)
    low, high = min(*chosen, *again_scores), max(*chosen, *again_scores)
    if math.isfinite(high - low):
        right.plot([low, high], [low, high], color="black", lw=0.8, ls="--", label="equal")
    right.set_xlabel("re-evaluation on fresh seeds")
    right.set_ylabel("score it won by")
    style.legend(right, loc="upper left")
    for axis in (left, right):
        axis.grid(alpha=0.3)
    return figure
