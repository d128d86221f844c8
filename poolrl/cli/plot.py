"""``poolrl plot``: figures of a pool."""

from __future__ import annotations

from pathlib import Path

import click

from poolrl.cli.options import DIRECTORY


@click.command()
@click.argument("pool", type=DIRECTORY)
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
    "--format", "form", type=click.Choice(["png", "svg", "pdf"]), help="Of files in a folder."
)
def command(pool: Path, output: Path, figure: str | None, form: str | None) -> None:
    """Draw the champion's score and its re-evaluation, with every branch's score behind them.

    With --figure, another figure of the pool, or all of them. docs/figures.md shows each.
    """
    from poolrl.monitoring.history import History
    from poolrl.pool.directory import open_pool
    from poolrl.report.plot import plot_history

    if figure is None:
        if output.is_dir():
            raise click.BadParameter(
                f"File '{output}' is a directory.", param_hint="'-o' / '--output'"
            )
        if form is not None:
            raise click.UsageError("--format goes with --figure all and a folder")
        history = History(open_pool(pool))
        history.refresh()
        plot_history(history, output)
        click.echo(output)
        return
    from poolrl.report.figures.output import write_figures
    from poolrl.report.figures.registry import draw_figures, names_of

    names = names_of(figure)
    history = History(open_pool(pool))
    history.refresh()
    for path in write_figures(names, lambda: draw_figures(history, names), output, form):
        click.echo(path)
