"""``poolrl cancel``: cancel the jobs of a pool."""

from __future__ import annotations

from pathlib import Path

import click

from poolrl.cli.options import pool_argument
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
    queued = slurm.queue(jobs)
    slurm.cancel(jobs, job_name(opened.layout))
    left = ""
    if queued:
        were = "was" if len(queued) == 1 else "were"
        left = f", of which {count(len(queued), 'task')} {were} waiting or at work"
    click.echo(f"cancelled {count(len(jobs), 'job')}{left}: {' '.join(jobs)}")
