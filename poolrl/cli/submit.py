"""``poolrl submit``: train with a pool on a cluster."""

from __future__ import annotations

from typing import Any

import click

from poolrl.cli.pool_options import pool_options, settings_of
from poolrl.interrupts import stoppable


@click.command()
@pool_options
@click.option(
    "--time", "limit", metavar="TIME", help="Time limit of a task, as SLURM writes it: 02:00:00."
)
@click.option("--partition", metavar="P", help="Partition to run in.")
@click.option("--account", metavar="A", help="Account to charge.")
@click.option(
    "--tasks",
    type=click.IntRange(1, 1_000_000),
    help="Workers, each a task of the array.  [default: one a branch]",
)
@click.option(
    "--array-limit", type=click.IntRange(min=1), help="Tasks that may run at the same time."
)
@click.option(
    "--cpus-per-task",
    type=click.IntRange(1, 10_000),
    default=1,
    help="Cores of a worker, each for a part of its simulations.",
)
@click.option(
    "--chain",
    type=click.IntRange(1, 1000),
    default=1,
    help="Arrays to submit, each after the one before: where a site forbids to requeue.",
)
@click.option(
    "--sbatch-arg", "sbatch_arguments", multiple=True, metavar="X", help="Any option of sbatch."
)
@click.option(
    "--before", multiple=True, metavar="LINE", help="A shell line to run first: module load …"
)
@click.option("--dry-run", is_flag=True, help="Print the batch script, and do nothing.")
@stoppable()
def command(
    limit: str | None,
    partition: str | None,
    account: str | None,
    tasks: int | None,
    array_limit: int | None,
    cpus_per_task: int,
    chain: int,
    sbatch_arguments: tuple[str, ...],
    before: tuple[str, ...],
    dry_run: bool,
    **options: Any,
) -> None:
    """Train with a pool on a SLURM cluster: an array of workers, one task a branch.

    CONFIG and the options of the pool are those of `poolrl run`. A task that reaches its time limit
    is put back into the queue, or with --chain followed by another one, until the pool is done;
    what then still waits is cancelled. docs/slurm.md has the whole way.
    """
    from poolrl.launch.submit import Request, submit_pool

    request = Request(
        time=limit,
        partition=partition,
        account=account,
        tasks=tasks,
        array_limit=array_limit,
        cpus_per_task=cpus_per_task,
        chain=chain,
        sbatch_arguments=sbatch_arguments,
        before=before,
    )
    config, root, keys, from_agent, trust = settings_of(options)
    submit_pool(config, root, keys, from_agent, request, trust=trust, dry_run=dry_run)
