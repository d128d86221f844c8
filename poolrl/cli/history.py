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
    type=click.Choice(["table", "csv", "json", "jsonl"]),
    default="table",
    show_default=True,
    help="json is one array, jsonl one object a line.",
)
@click.option(
    "--evolved", is_flag=True, help="Where evolving hyper-parameters ended, as a configuration."
)
def command(pool: Path, style: str, evolved: bool) -> None:
    """Print one row a unit and iteration, from a pool's records, to standard output."""
    from poolrl.monitoring.history import History
    from poolrl.pool.directory import open_pool

    history = History(open_pool(pool))
    history.refresh()
    if evolved:
        from poolrl.report.evolved import evolved_configuration

        click.echo(evolved_configuration(history))
        return
    table = history.table()
    if style == "csv":
        click.echo(table.to_csv(index=False), nl=False)
    elif style in ("json", "jsonl"):
        # 15: without it, ten decimals.
        array = table.to_json(orient="records", lines=style == "jsonl", double_precision=15)
        click.echo(array.rstrip("\n"), nl=style == "json" or not table.empty)
    elif table.empty:
        click.echo(f"{pool}: no record yet")
    else:
        click.echo(table.to_string(index=False, na_rep="", float_format=lambda x: f"{x:.6g}"))
