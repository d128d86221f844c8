"""``poolrl worker``: one worker, for anyone to start anywhere."""

from __future__ import annotations

from pathlib import Path

import click

from poolrl.cli.options import DIRECTORY, trust_option


@click.command()
@click.option("--pool-directory", type=DIRECTORY, required=True, help="The pool to work on.")
@click.option("--iterations", type=click.IntRange(min=0), help="End after this iteration.")
@click.option("--target-return", type=float, help="End once the champion reaches this return.")
@click.option("--deadline", type=float, help="Unix time after which no new unit is begun.")
@click.option("--keep", type=click.Choice(["champions", "all"]), help="Agents that stay on disk.")
@click.option("--prefer", type=click.IntRange(min=0), help="Branch to look at first.")
@click.option("--task", "task_id", metavar="ID", help="The pool's task, if it is a user's own.")
@trust_option
def command(
    pool_directory: Path,
    iterations: int | None,
    target_return: float | None,
    deadline: float | None,
    keep: str | None,
    prefer: int | None,
    task_id: str | None,
    trust: bool,
) -> None:
    """Work on a pool until it is over.

    What is not given here is as the last `poolrl run` of this pool had it; how long that may take
    holds for its own workers alone. Workers may come and go at any time.
    """
    import logging
    import signal
    from types import FrameType

    from poolrl import tasks
    from poolrl.errors import Preempted
    from poolrl.pool.ending import Ending
    from poolrl.pool.spec import open_pool
    from poolrl.pool.worker import Worker

    def leave(signum: int, frame: FrameType | None) -> None:
        raise Preempted  # the claim is given back on the way out

    signal.signal(signal.SIGTERM, leave)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    pool = open_pool(pool_directory)
    tasks.permit(pool.spec.task, task_id, trust=trust)
    ending = Ending(
        iterations=pool.run.iterations if iterations is None else iterations,
        target_return=pool.run.target_return if target_return is None else target_return,
        deadline=deadline,
    )
    keep_all = (keep or pool.run.keep) == "all"
    last = Worker(pool, ending, keep_all=keep_all, prefer=prefer).run()
    logging.info("the pool ended: %s", ending.reason(last))
