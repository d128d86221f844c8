"""``poolrl prune``: remove agents that a pool no longer needs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from poolrl.cli.options import pool_argument
from poolrl.cli.run_options import run_option
from poolrl.formatting import count, file_size

if TYPE_CHECKING:
    from poolrl.pool.retention import Removable


@click.command()
@pool_argument
@run_option("keep")
@click.option("--dry-run", is_flag=True, help="Say what would go, and remove nothing.")
@click.option("--corrupt", is_flag=True, help="Damaged files that were set aside go too.")
def command(pool: Path, keep: str | None, dry_run: bool, corrupt: bool) -> None:
    """Remove agents that lost, and temporary files of killed processes that are a day old.

    --keep champions leaves what merges named, last:N all agents of the last N iterations besides,
    and all leaves every agent; by default the rule is that of the pool's last run. Records, merges,
    champions and the agent that the pool was given always stay. Workers may be at work meanwhile.
    """
    from poolrl.config.run_options import RetentionRule
    from poolrl.pool.directory import open_pool
    from poolrl.pool.retention import removable, remove

    opened = open_pool(pool)
    found = removable(opened, RetentionRule.parse(keep or opened.run.keep), set_aside=corrupt)
    if dry_run:
        click.echo(f"would remove {_summary(found)}")
        return
    click.echo(f"removed {_summary(remove(opened, found))}")


def _summary(files: Iterable[Removable]) -> str:
    sizes: dict[str, list[int]] = {}
    for file in files:
        sizes.setdefault(file.category, []).append(file.size)
    if not sizes:
        return "nothing"
    total = [size for each in sizes.values() for size in each]
    parts = "; ".join(
        f"{what}: {len(each)}, {file_size(sum(each))}" for what, each in sizes.items()
    )
    return f"{count(len(total), 'file')}, {file_size(sum(total))} ({parts})"
