"""``poolrl plot``: figures of a pool."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from poolrl.cli.options import DIRECTORY

if TYPE_CHECKING:
    from poolrl.monitoring.history import History


@click.command()
@click.argument("pools", metavar="POOL…", type=DIRECTORY, nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="A .png, .pdf or .svg file; for all figures one .pdf, or a folder.",
)
@click.option(
    "--figure",
    metavar="NAME|all",
    help="champion, tree, wins, learning, time, overstatement, episodes, or all.  "
    "[default: scores against iteration, steps and time]",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["png", "svg", "pdf"]),
    help="Format of the files in a folder.",
)
@click.option(
    "--compare",
    is_flag=True,
    help="Champions of several pools: a mean over the seeds of each configuration.",
)
def command(
    pools: tuple[Path, ...], output: Path, figure: str | None, form: str | None, compare: bool
) -> None:
    """Draw the champion's score and its re-evaluation, with every branch's score behind them.

    With --figure, another figure of the pool, or all of them; with --compare, the champions of
    several pools of one task. docs/figures.md shows each.
    """
    if compare:
        _compare(pools, output, figure, form)
        return
    if len(pools) > 1:
        raise click.UsageError(f"{len(pools)} pools: several are drawn by --compare alone")
    if figure is not None:
        _draw_figures(pools[0], output, figure, form)
        return
    if form is not None:
        raise click.UsageError("--format goes with --figure all and a folder")
    from poolrl.report.plot import plot_history

    plot_history(_history(pools[0]), output)
    click.echo(output)


def _history(pool: Path) -> History:
    from poolrl.monitoring.history import read_history

    return read_history(pool)


def _draw_figures(pool: Path, output: Path, figure: str, form: str | None) -> None:
    from poolrl.report.figures.output import write_figures
    from poolrl.report.figures.registry import draw_figures, names_of

    names = names_of(figure)
    history = _history(pool)
    for path in write_figures(names, lambda: draw_figures(history, names), output, form):
        click.echo(path)


def _compare(pools: tuple[Path, ...], output: Path, figure: str | None, form: str | None) -> None:
    from poolrl.report.figures.comparison import Comparison
    from poolrl.report.figures.output import write_figures

    if figure is not None:
        raise click.UsageError("--compare draws a figure of its own: without --figure")
    comparison = Comparison([_history(pool) for pool in pools])
    for path in write_figures(["comparison"], lambda: [comparison.draw()], output, form):
        click.echo(path)
