"""``poolrl worker``: one worker on an existing pool."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from poolrl import output
from poolrl.cli import completion
from poolrl.cli.options import DIRECTORY, moved_option, network_option, trust_option
from poolrl.cli.run_options import WHEN_TO_GIVE_UP, run_option, run_options

if TYPE_CHECKING:
    from poolrl.interrupts import InterruptHandler


@click.command()
@click.option(
    "--pool-directory",
    type=DIRECTORY,
    required=True,
    shell_complete=completion.pools,
    help="The pool to work on.",
)
@run_options("iterations", "target_return", "target_score")
@click.option("--deadline", type=float, help="Unix time after which no new unit is begun.")
@run_options("keep", "replay_folder")
@run_option("threads", text="Threads.  [default: the cores of a SLURM task, else 1]")
@run_option("later_threads")
@run_options(*WHEN_TO_GIVE_UP)
@click.option("--run-options", "encoded", hidden=True, help="All options of a run, as JSON.")
@click.option("--prefer", type=click.IntRange(min=0), help="Branch to look at first.")
@click.option("--attached", is_flag=True, help="End when standard input is closed.")
@click.option("--task", "task_id", metavar="ID", help="The pool's task, if it is a user's own.")
@network_option
@moved_option
@trust_option
def command(
    pool_directory: Path,
    deadline: float | None,
    encoded: str | None,
    prefer: int | None,
    attached: bool,
    task_id: str | None,
    network: str | None,
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
    from poolrl.config.run_options import check_min_deposits, decode
    from poolrl.errors import Stopped
    from poolrl.interrupts import InterruptHandler
    from poolrl.job_environment import detect
    from poolrl.launch.cores import task_threads
    from poolrl.networks import permissions
    from poolrl.pool.directory import open_pool
    from poolrl.pool.stop_criteria import StopCriteria
    from poolrl.tasks.gymnasium_ids import reward_threshold
    from poolrl.worker.loop import Worker

    output.may_fail()
    interrupts = InterruptHandler()
    interrupts.install()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    if attached:
        threading.Thread(target=_stop_at_end_of_stdin, args=(interrupts,), daemon=True).start()
    pool = open_pool(Path(os.path.abspath(pool_directory)))  # a task may change the directory
    tasks.permit(pool.spec.task, task_id, trust=trust)
    permissions.permit(pool.spec.network, network, trust=trust)
    tasks.move_model(pool.spec.task, dict(arguments))
    if options["target_return"] == "threshold":
        options["target_return"] = reward_threshold(pool.spec.task.id)
    given = {name: value for name, value in options.items() if value is not None}
    run = replace(decode(encoded) if encoded is not None else pool.run, **given)
    if "min_deposits" in given:
        check_min_deposits(run, pool.spec.pool.fewest)
    environment = detect()
    if prefer is None:
        prefer = environment.branch
    run = replace(run, threads=task_threads(pool.spec, run, environment))
    stop_criteria = StopCriteria.of(run, pool.spec.selection, deadline)
    try:
        last = Worker(pool, stop_criteria, run=run, prefer=prefer, interrupts=interrupts).run()
    except Stopped as stopped:
        logging.info("stopped: %s", stopped)
        raise
    logging.info("the pool ended: %s", stop_criteria.reason(last))


def _stop_at_end_of_stdin(interrupts: InterruptHandler) -> None:
    """Request the end of this process once the process that started it is gone."""
    from poolrl.errors import Stopped

    while os.read(0, 1024):
        pass
    interrupts.request_stop(Stopped(75, "the process that started this worker has ended"))
