"""One worker of many that somebody else starts, such as the tasks of an array: no launcher."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from poolrl.errors import Stopped
from poolrl.interrupts import Stop
from poolrl.job_environment import Environment, detect
from poolrl.launch.requeue import Continuation
from poolrl.launch.run import prepare
from poolrl.launch.run_result import leave_result
from poolrl.monitoring.history import History
from poolrl.pool.stop_criteria import Ending
from poolrl.records.work_units import Unit
from poolrl.storage.deposits import Archive
from poolrl.worker.loop import Worker

log = logging.getLogger("poolrl.worker")


def work_as_one(
    config_file: Path | None,
    root: Path,
    overrides: Mapping[str, Any],
    from_agent: Path | None = None,
    *,
    trust: bool = False,
) -> None:
    """Make the pool, or open the one that another worker has made, and work on it in this process.

    All workers of a pool may be given the same arguments, at the same time. The one that measures
    the pool's result leaves its history and plot too.

    Args and raises as ``launch.run.run_pool``; the time budget counts from each worker's own start.

    Raises:
        Stopped: somebody asked for the end; what was claimed is given back.
    """
    stop = Stop()
    stop.listen()
    # SLURM's output is one file a task, and what came last there should be what happened last.
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stdout
    )
    began = time.time()
    here = detect()
    log.info("worker on %s: %s", _where(here), root)
    pool, run = prepare(config_file, root, overrides, from_agent, trust=trust)
    ending = Ending(
        run.iterations, run.target_return, began + run.time_budget if run.time_budget else None
    )
    continuation = Continuation(pool.layout)
    worker = Worker(pool, ending, run=run, prefer=here.branch, stop=stop)
    try:
        last = worker.run()
    except Stopped as stopped:
        log.info("stopped: %s", stopped)
        continuation.stopped(stopped)
        raise
    log.info("the pool ended: %s", ending.reason(last))
    closing = Archive(pool).deposit(Unit(last.iteration, "closing", 0))
    closed_here = closing is not None and closing.worker.id == worker.info.id
    continuation.ended(closed_here)
    if closed_here:
        history = History(pool)
        history.refresh()
        for line in leave_result(history, ending):
            log.info("%s", line)


def _where(here: Environment) -> str:
    words = [here.host]
    if here.job:
        words.append(f"{here.launcher} {here.job}")
    if here.branch is not None and here.tasks is not None:
        words.append(f"task {here.branch + 1} of {here.tasks}")
    if here.restarts:
        words.append(f"begun anew {'once' if here.restarts == 1 else f'{here.restarts} times'}")
    return ", ".join(words)
