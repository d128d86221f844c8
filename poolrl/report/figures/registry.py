"""The figures of a pool by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from poolrl.errors import UsageError, did_you_mean
from poolrl.files import printable
from poolrl.monitoring.history import History
from poolrl.report.figures import (
    champion,
    episodes,
    learning,
    overstatement,
    time_use,
    tree,
    wins,
)
from poolrl.report.figures.pool_data import PoolData

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Kind(NamedTuple):
    """A figure.

    Attributes:
        title: what it shows, in a few words.
        draw: it.
    """

    title: str
    draw: Callable[[PoolData], Figure]


FIGURES = {
    "champion": Kind("champions, evaluated again", champion.draw),
    "tree": Kind("branches and merges", tree.draw),
    "wins": Kind("who wins", wins.draw),
    "learning": Kind("learning signals", learning.draw),
    "time": Kind("where the time goes", time_use.draw),
    "overstatement": Kind("scores that win against re-evaluations", overstatement.draw),
    "episodes": Kind("evaluation episodes", episodes.draw),
}
"""Name -> figure, in the order in which ``all`` draws them."""

ALL = "all"


def names_of(name: str) -> list[str]:
    """The figures that a name means: one, or all of them.

    Raises:
        UsageError: there is no such figure.
    """
    if name == ALL:
        return list(FIGURES)
    if name not in FIGURES:
        known = [*FIGURES, ALL]
        hint = did_you_mean(name, known, f"known: {', '.join(known)}")
        raise UsageError(f"--figure {printable(name, 60)}: no such figure; {hint}")
    return [name]


def draw_figures(history: History, names: Sequence[str]) -> list[Figure]:
    """Draw figures of a pool.

    Args:
        history: refreshed by the caller.
        names: of ``FIGURES``.

    Raises:
        UsageError: the pool has no merge yet.
    """
    data = PoolData(history)
    figures = []
    for name in names:
        figure = FIGURES[name].draw(data)
        figure.suptitle(
            f"{FIGURES[name].title} – {data.title}", fontsize="medium", parse_math=False
        )
        figures.append(figure)
    return figures
