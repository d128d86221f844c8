"""``poolrl status``: what a pool is at, from its files alone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from poolrl.cli.options import pool_argument

if TYPE_CHECKING:
    from poolrl.launch.slurm import Job
    from poolrl.monitoring.pool_status import Observer
    from poolrl.monitoring.status_types import Status
    from poolrl.pool.directory import Pool

LOOK_SECONDS = 1.0
"""How often a pool is looked at; heartbeats tell of a change within a second too."""

SHARE = 0.1
"""The part of its time that a watch may spend on looking."""

QUEUE_EVERY = 30.0
"""Seconds between two questions to SLURM, which many may be asking."""


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
    from poolrl.monitoring.pool_status import Observer
    from poolrl.pool.directory import open_pool

    opened = open_pool(pool)
    observer = Observer(opened)
    queue = _Queue(opened)
    if as_json:
        for status in _looks(observer, watch):
            _print_json(status, queue.ask(status))
        return
    from rich.console import Console
    from rich.live import Live

    from poolrl.report.status_view import view

    console = Console(highlight=False, soft_wrap=not watch)
    if not watch:
        status = observer.look()
        console.print(view(status, queue.ask(status), complete=complete))
        return
    with Live(console=console, auto_refresh=False, vertical_overflow="visible") as live:
        for status in _looks(observer, watch):
            live.update(view(status, queue.ask(status), complete=complete), refresh=True)


def _looks(observer: Observer, watch: bool) -> Iterator[Status]:
    """One look, or one after another until the pool's end."""
    while True:
        start = time.monotonic()
        status = observer.look()
        cost = time.monotonic() - start
        yield status
        if not watch or status.state == "finished":
            return
        time.sleep(max(LOOK_SECONDS - cost, cost / SHARE))


def _print_json(status: Status, jobs: list[Job] | None) -> None:
    import msgspec

    table = {**msgspec.to_builtins(status), "slurm": msgspec.to_builtins(jobs)}
    click.echo(msgspec.json.encode(table).decode())


class _Queue:
    """What SLURM says of a pool's jobs, not asked more often than it may mind."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._asked: float | None = None
        self._jobs: list[Job] | None = None

    def ask(self, status: Status) -> list[Job] | None:
        """The jobs of the pool that SLURM knows; ``None`` where there is no SLURM."""
        from poolrl.launch import slurm
        from poolrl.storage.submissions import submissions

        now = time.monotonic()
        if self._asked is None or now - self._asked > QUEUE_EVERY:
            self._asked = now
            ids = [job for each in submissions(self._pool.layout) for job in each.jobs]
            ids += [worker.job for worker in status.workers if worker.job]
            self._jobs = slurm.queue(ids)
        return self._jobs
