"""``poolrl history``: a pool's records as a table."""

from __future__ import annotations

from pathlib import Path

import click

from poolrl.cli.options import pool_argument


@click.command()
@pool_argument
@click.option(
    "--format",
    "style",
    type=click.Choice(["table", "csv", "json"]),
    default="table",
    show_default=True,
)
def command(pool: Path, style: str) -> None:
    """Print one row a unit and iteration, from a pool's records, to standard output."""
    from poolrl.monitoring.history import History
    from poolrl.pool.directory import open_pool

    history = History(open_pool(pool))
    history.refresh()
    table = history.table()
    if style == "csv":
        click.echo(table.to_csv(index=False), nl=False)
    elif style == "json":
        click.echo(table.to_json(orient="records", lines=True), nl=False)
    else:
        click.echo(table.to_string(index=False, na_rep="", float_format=lambda x: f"{x:.6g}"))
