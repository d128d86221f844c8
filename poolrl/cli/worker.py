"""``poolrl worker``: one worker, for anyone to start anywhere."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from poolrl.cli.options import DIRECTORY, keep_option, moved_option, patience_options, trust_option

if TYPE_CHECKING:
    from poolrl.interrupts import Stop


@click.command()
@click.option("--pool-directory", type=DIRECTORY, required=True, help="The pool to work on.")
@click.option("--iterations", type=click.IntRange(min=0), help="End after this iteration.")
@click.option("--target-return", type=float, help="End once the champion reaches this return.")
@click.option("--deadline", type=float, help="Unix time after which no new unit is begun.")
@keep_option
@patience_options
@click.option("--prefer", type=click.IntRange(min=0), help="Branch to look at first.")
@click.option("--attached", is_flag=True, help="End when standard input is closed.")
@click.option("--task", "task_id", metavar="ID", help="The pool's task, if it is a user's own.")
@moved_option
@trust_option
def command(
    pool_directory: Path,
    deadline: float | None,
    prefer: int | None,
    attached: bool,
    task_id: str | None,
    arguments: tuple[tuple[str, Any], ...],
    trust: bool,
    **options: Any,
) -> None:
    """Work on a pool until it is over.

    What is not given here is as the last `poolrl run` of this pool had it; how long that may take
    holds for its own workers alone. Workers may come and go at any time.
    """
    import logging

    from msgspec.structs import replace

    from poolrl import tasks
    from poolrl.errors import Stopped
    from poolrl.interrupts import Stop
    from poolrl.job_environment import detect
    from poolrl.pool.directory import open_pool
    from poolrl.pool.stop_criteria import Ending
    from poolrl.worker.loop import Worker

    stop = Stop()
    stop.listen()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    if attached:
        threading.Thread(target=_end_with_stdin, args=(stop,), daemon=True).start()
    pool = open_pool(pool_directory)
    tasks.permit(pool.spec.task, task_id, trust=trust)
    tasks.move_model(pool.spec.task, dict(arguments))
    given = {name: value for name, value in options.items() if value is not None}
    run = replace(pool.run, **given)
    if prefer is None:
        prefer = detect().branch
    ending = Ending(run.iterations, run.target_return, deadline)
    try:
        last = Worker(pool, ending, run=run, prefer=prefer, stop=stop).run()
    except Stopped as stopped:
        logging.info("stopped: %s", stopped)
        raise
    logging.info("the pool ended: %s", ending.reason(last))


def _end_with_stdin(stop: Stop) -> None:
    """Ask for the end once whoever started this worker is gone."""
    from poolrl.errors import Stopped

    while os.read(0, 1024):
        pass
    stop.request(Stopped(75, "whoever started this worker is gone"))
