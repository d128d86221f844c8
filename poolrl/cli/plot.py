"""``poolrl plot``: plot a pool's history."""

from __future__ import annotations

from pathlib import Path

import click

from poolrl.cli.options import FILE, pool_argument


@click.command()
@pool_argument
@click.option("-o", "--output", type=FILE, required=True, help="A .png, .pdf or .svg file.")
def command(pool: Path, output: Path) -> None:
    """Draw the champion's score and its re-evaluation, with every branch's score behind them."""
    from poolrl.monitoring.history import History
    from poolrl.pool.directory import open_pool
    from poolrl.report.plot import plot_history

    history = History(open_pool(pool))
    history.refresh()
    plot_history(history, output)
    click.echo(output)
