"""``poolrl status``: the state of a pool, read from its files."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from poolrl.cli.options import pool_argument
from poolrl.output import json_text

if TYPE_CHECKING:
    from poolrl.launch.slurm import Job
    from poolrl.monitoring.pool_status import StatusReader
    from poolrl.monitoring.status_types import Status
    from poolrl.pool.directory import Pool

REFRESH_SECONDS = 1.0
"""Interval of --watch; heartbeats show a change within a second too."""

MAX_LOAD = 0.1
"""The share of its time that --watch may spend on reading files."""

QUEUE_INTERVAL_SECONDS = 30.0
"""Interval of calls of squeue, which loads a server that others share."""


@click.command()
@pool_argument
@click.option("--watch", is_flag=True, help="Go on until the pool's end, or Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")
@click.option("--all", "complete", is_flag=True, help="List every unit of a large pool too.")
def command(pool: Path, watch: bool, as_json: bool, complete: bool) -> None:
    """Say what a pool is at: champion, speed, every unit of the iteration in flight, and why it
    waits.

    Reads files alone and changes none, from any machine that sees them. docs/status.md explains
    what is shown, and has the keys of --json.
    """
    from poolrl.monitoring.pool_status import StatusReader
    from poolrl.pool.directory import open_pool

    opened = open_pool(pool)
    reader = StatusReader(opened)
    queue = _Queue(opened)
    if as_json:
        for status in _statuses(reader, watch):
            _print_json(status, queue.jobs(status))
        return
    from rich.live import Live

    from poolrl.report.console import make_console
    from poolrl.report.status_view import view

    if not (watch and make_console().is_interactive):
        console = make_console(soft_wrap=True)
        for status in _statuses(reader, watch):
            console.print(view(status, queue.jobs(status), complete=complete))
        return
    console = make_console()
    with Live(console=console, auto_refresh=False, vertical_overflow="visible") as live:
        for status in _statuses(reader, watch):
            live.update(view(status, queue.jobs(status), complete=complete), refresh=True)


def _statuses(reader: StatusReader, watch: bool) -> Iterator[Status]:
    """Yield one status, or with ``watch`` one after another until the pool is finished."""
    while True:
        start = time.monotonic()
        status = reader.read()
        cost = time.monotonic() - start
        yield status
        if not watch or status.state == "finished":
            return
        time.sleep(max(REFRESH_SECONDS - cost, cost / MAX_LOAD))


def _print_json(status: Status, jobs: list[Job] | None) -> None:
    import msgspec

    table = {**msgspec.to_builtins(status), "slurm": msgspec.to_builtins(jobs)}
    click.echo(json_text(msgspec.json.encode(table)))


class _Queue:
    """The jobs of a pool in SLURM's queue, with a limit on the rate of queries."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._queried_at: float | None = None
        self._jobs: list[Job] | None = None

    def jobs(self, status: Status) -> list[Job] | None:
        """The jobs of the pool in SLURM's queue; ``None`` without SLURM."""
        from poolrl.launch import slurm
        from poolrl.storage.submissions import submissions

        now = time.monotonic()
        if self._queried_at is None or now - self._queried_at > QUEUE_INTERVAL_SECONDS:
            self._queried_at = now
            ids = [job for each in submissions(self._pool.store) for job in each.jobs]
            ids += [worker.job for worker in status.workers if worker.job]
            self._jobs = slurm.queue(ids)
        return self._jobs
