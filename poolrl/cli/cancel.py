"""``poolrl cancel``: cancel the jobs of a pool."""

from __future__ import annotations

from pathlib import Path

import click

from poolrl.cli.options import pool_argument
from poolrl.errors import PoolrlError
from poolrl.formatting import count


@click.command()
@pool_argument
def command(pool: Path) -> None:
    """Cancel all jobs that `poolrl submit` has submitted for a pool.

    Workers give back what they have claimed, and nothing that was deposited is lost: `poolrl
    submit` or `poolrl run` goes on from there.
    """
    from poolrl.launch import slurm
    from poolrl.pool.directory import open_pool
    from poolrl.storage.submissions import job_name, submissions

    opened = open_pool(pool)
    jobs = [job for each in submissions(opened.store) for job in each.jobs]
    slurm.needs("scancel")
    if not jobs:
        click.echo(f"{pool}: no job was submitted for this pool")
        return
    name = job_name(opened.layout)
    # In this order: a job that ends in between is not taken for one of another name.
    queued = slurm.queue(jobs, name)
    others = {each.job.partition("_")[0] for each in slurm.queue(jobs) or []}
    others -= {each.job.partition("_")[0] for each in queued or []}
    slurm.cancel(jobs, name)
    if queued is not None and others:
        left = (
            f"{pool}: not cancelled, since the name is not {name}: {' '.join(sorted(others))}; if "
            "the pool was moved, scancel them by these ids"
        )
        if not queued:
            raise PoolrlError(left)
        click.echo(f"warning: {left}", err=True)
        jobs = [job for job in jobs if job not in others]
    tasks = ""
    if queued:
        were = "was" if len(queued) == 1 else "were"
        tasks = f", of which {count(len(queued), 'task')} {were} waiting or at work"
    click.echo(f"cancelled {count(len(jobs), 'job')}{tasks}: {' '.join(jobs)}")
