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
    "--columns",
    metavar="GLOB[,GLOB…]",
    help="Columns in this order, as in iteration,index,score,'info.*','train/*'; list names them.",
)
@click.option("--kind", metavar="KIND[,KIND…]", default="", help="Units of these kinds: branch, …")
@click.option(
    "--iterations",
    metavar="RANGE",
    default="",
    help="Iterations 10, 10:20 (both included), 10:, :20, last or last:5.",
)
@click.option(
    "--status", metavar="STATUS[,STATUS…]", default="", help="Units done, failed or abandoned."
)
@click.option("--champions", is_flag=True, help="Units whose agent the merge named champion.")
@click.option(
    "--evolved", is_flag=True, help="Where evolving hyper-parameters ended, as a configuration."
)
def command(
    pool: Path,
    style: str,
    columns: str | None,
    kind: str,
    iterations: str,
    status: str,
    champions: bool,
    evolved: bool,
) -> None:
    """Print one row a unit and iteration, from a pool's records, to standard output."""
    if evolved and (columns or kind or iterations or status or champions or style != "table"):
        raise click.UsageError("--evolved prints a configuration: without other options")
    if columns == "list" and style != "table":
        raise click.UsageError("--columns list prints names: without --format")
    from poolrl.monitoring.history import read_history
    from poolrl.monitoring.history_columns import RowFilter

    rows = RowFilter.parse(kinds=kind, statuses=status, iterations=iterations, champions=champions)
    history = read_history(pool)
    if evolved:
        from poolrl.report.evolved import evolved_configuration

        click.echo(evolved_configuration(history))
        return
    if columns == "list":
        for name, what in history.descriptions().items():
            click.echo(f"{name:<28} {what}")
        return
    patterns = None if columns is None else [each.strip() for each in columns.split(",")]
    table = history.table(patterns, rows)
    if style == "csv":
        click.echo(table.to_csv(index=False), nl=False)
    elif style in ("json", "jsonl"):
        # 15: without it, ten decimals.
        array = table.to_json(orient="records", lines=style == "jsonl", double_precision=15)
        click.echo(array.rstrip("\n"), nl=style == "json" or not table.empty)
    elif not history.units:
        click.echo(f"{pool}: no record yet")
    elif table.empty:
        click.echo(f"{pool}: no such record")
    else:
        click.echo(table.to_string(index=False, na_rep="", float_format=_number))


def _number(value: float) -> str:
    """Six digits; of large numbers, such as Unix times and steps, all before the point."""
    return f"{value:.0f}" if 1e6 <= abs(value) < 1e15 else f"{value:.6g}"
