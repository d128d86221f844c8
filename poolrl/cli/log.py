"""``poolrl log``: log a pool to TensorBoard, from its records."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from poolrl.cli.options import DIRECTORY, pool_argument
from poolrl.errors import PoolrlError, UsageError
from poolrl.interrupts import InterruptHandler

if TYPE_CHECKING:
    from poolrl.monitoring.history import History

POLL_SECONDS = 1.0
"""Interval at which a pool is read, and another writer's lease tried."""


@click.command()
@pool_argument
@click.option(
    "--tensorboard", "folder", type=DIRECTORY, required=True, help="Folder of the event file."
)
@click.option("--follow", is_flag=True, help="Go on until the pool's end, or Ctrl-C.")
def command(pool: Path, folder: Path, follow: bool) -> None:
    """Write what a pool's records say as an event file for `tensorboard --logdir DIR`.

    The same command again adds what is new. docs/tensorboard.md has the keys.
    """
    from poolrl.monitoring.history import History
    from poolrl.pool.directory import open_pool
    from poolrl.report.tensorboard import LEASE_SECONDS, EventLog, require_tensorboard

    interrupts = InterruptHandler()
    interrupts.install()
    require_tensorboard()
    history = History(open_pool(Path(os.path.abspath(pool))))
    with interrupts.interruptible():
        history.refresh()
        if not history.merges and not follow:
            raise UsageError(f"{pool}: no champion yet; --follow waits for it")
        events = EventLog(history.pool, Path(os.path.abspath(folder)))
        give_up = time.monotonic() + 2 * LEASE_SECONDS
        try:
            while not (written := events.update(history)) or (follow and not _has_ended(history)):
                if not written and not follow and time.monotonic() > give_up:
                    raise PoolrlError(f"{folder}: another process logs there, but not this pool")
                interrupts.sleep(POLL_SECONDS)
                open_pool(history.pool.layout.root, history.pool.store)  # is it still there?
                history.refresh()
        finally:
            events.close()


def _has_ended(history: History) -> bool:
    closing, merges = history.closing, history.merges
    return bool(merges) and closing is not None and closing.iteration == merges[-1].iteration
