"""One worker in this process, without a launcher, such as a task of a job array."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from poolrl.errors import Stopped
from poolrl.interrupts import InterruptHandler
from poolrl.job_environment import JobEnvironment, detect
from poolrl.launch.cores import task_threads
from poolrl.launch.pool_setup import make_or_open_pool
from poolrl.launch.requeue import AT_LIMIT, SlurmRequeue
from poolrl.launch.run_result import write_result
from poolrl.monitoring.history import History
from poolrl.pool.directory import open_pool
from poolrl.pool.stop_criteria import StopCriteria
from poolrl.records.work_units import Unit
from poolrl.worker.loop import Worker

log = logging.getLogger("poolrl.worker")


def run_array_worker(
    config_file: Path | None,
    root: Path,
    overrides: Mapping[str, Any],
    from_agent: Path | None = None,
    *,
    trust: bool = False,
) -> None:
    """Make the pool, or open the one that another worker has made, and work on it in this process.

    A worker of ``poolrl submit`` makes none, since its arguments do not say which.

    All workers of a pool may be given the same arguments, at the same time. The worker that
    computes the closing evaluation writes the pool's history and plot too. The time budget counts
    from the start of each worker.

    Args and raises as ``launch.run.run_pool``, and

    Raises:
        Stopped: the end was requested; the claimed unit is released.
    """
    interrupts = InterruptHandler()
    interrupts.install()
    # SLURM writes both streams into one file per task; one stream keeps the lines in order.
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stdout
    )
    start = time.time()
    root = Path(os.path.abspath(root))  # a task may change the directory
    environment = detect()
    log.info("worker on %s: %s", _describe(environment), root)
    if AT_LIMIT in os.environ:
        # `poolrl submit` has made the pool; one that was moved is not made again, from defaults.
        open_pool(root)
    pool, run, _ = make_or_open_pool(config_file, root, overrides, from_agent, trust=trust)
    deadline = start + run.time_budget if run.time_budget else None
    stop_criteria = StopCriteria.of(run, pool.spec.selection, deadline)
    run = replace(run, threads=task_threads(pool.spec, run, environment))
    requeue = SlurmRequeue(pool.store)
    worker = Worker(pool, stop_criteria, run=run, prefer=environment.branch, interrupts=interrupts)
    try:
        last = worker.run()
    except Stopped as stopped:
        log.info("stopped: %s", stopped)
        requeue.on_stopped(stopped)
        raise
    log.info("the pool ended: %s", stop_criteria.reason(last))
    closing = pool.deposit_store().deposit(Unit(last.iteration, "closing", 0))
    closed_here = closing is not None and closing.worker.id == worker.info.id
    requeue.on_pool_end(closed_here)
    if closed_here:
        history = History(pool)
        history.refresh()
        for line in write_result(history, last, stop_criteria):
            log.info("%s", line)


def _describe(environment: JobEnvironment) -> str:
    words = [environment.host]
    if environment.job:
        words.append(f"{environment.launcher} {environment.job}")
    if environment.branch is not None and environment.tasks is not None:
        words.append(f"task {environment.branch + 1} of {environment.tasks}")
    if environment.restarts:
        words.append(
            f"restarted {'once' if environment.restarts == 1 else f'{environment.restarts} times'}"
        )
    return ", ".join(words)
