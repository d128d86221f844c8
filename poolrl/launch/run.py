"""A run on this machine: make or open the pool, start local workers, report progress and result."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from rich.console import Console

from poolrl.config.run_options import RunOptions, encode
from poolrl.errors import PoolrlError, Stopped
from poolrl.interrupts import InterruptHandler
from poolrl.launch.cores import advice, core_layout
from poolrl.launch.local import LocalWorkers, usable_cores
from poolrl.launch.pool_setup import user_arguments, validate
from poolrl.launch.run_result import end_of_run, write_result
from poolrl.launch.tensorboard import RunEvents
from poolrl.launch.videos import VideoProcess
from poolrl.monitoring.history import History
from poolrl.pool.directory import make_pool
from poolrl.pool.stop_criteria import StopCriteria
from poolrl.report.console import make_console
from poolrl.report.progress import RunProgress
from poolrl.report.tensorboard import require_tensorboard

POLL_SECONDS = 0.25
"""Interval at which a run checks its workers and reads what they have deposited."""

GRACE_SECONDS = 30.0
"""How much longer than the stall timeout a run waits: its workers end by then, with the reason."""


def run_pool(
    config_file: Path | None,
    root: Path,
    overrides: Mapping[str, Any],
    from_agent: Path | None = None,
    *,
    trust: bool = False,
) -> None:
    """Train until the pool is over.

    Args:
        config_file: a configuration; ``None`` for the pool's own, or the defaults.
        root: the pool's directory.
        overrides: dotted key -> value; ``task.id`` among them names a user's own task.
        from_agent: an agent file to start from.
        trust: whether a user's own task may run that the overrides do not name.

    Raises:
        UsageError: an input is wrong.
        IncompatiblePool: the directory holds a pool of another specification.
        PoolrlError: no worker is left.
        Stopped: the end was requested; the workers have ended.
    """
    console = make_console()
    interrupts = InterruptHandler()
    interrupts.install()
    with interrupts.interruptible():
        valid = validate(config_file, root, overrides, from_agent, trust=trust)
        run = valid.run
        if run.tensorboard:
            require_tensorboard()  # before anything is written
        pool = make_pool(root, valid.spec, run, valid.first_agent)
        events = RunEvents(pool) if run.tensorboard else None
    cores = usable_cores()
    layout = core_layout(pool.spec, cores, run.workers, run.threads)
    later = core_layout(pool.spec, cores, run.workers, run.threads, later=True)
    run = replace(run, threads=layout.threads, later_threads=run.later_threads or later.threads)
    deadline = time.time() + run.time_budget if run.time_budget else None
    stop_criteria = StopCriteria.of(run, pool.spec.selection, deadline)
    history = History(pool)
    history.refresh()
    start = time.monotonic()
    at = f", going on at iteration {history.merges[-1].iteration + 1}" if history.merges else ""
    then = f", then {later}" if later != layout else ""
    console.print(
        f"pool {root}: {pool.spec.task.id}, {pool.spec.pool.size}, seed "
        f"{pool.spec.pool.seed}, {layout}{then}{at}",
        highlight=False,
        soft_wrap=True,
    )
    lines = [] if history.merges else [advice(pool.spec, cores), valid.disk_line]
    for line in filter(None, lines):
        console.print(line, highlight=False, soft_wrap=True)
    own = user_arguments(pool.spec, overrides)
    arguments = _worker_arguments(root, run, deadline) + own
    workers = LocalWorkers(arguments, pool.layout.logs, pool.store)
    videos = VideoProcess(pool, run.video_every, own)

    def kill() -> None:
        workers.kill()
        videos.kill()

    interrupts.before_forced_exit = kill
    try:
        workers.start(layout.workers)
        videos.start()
        with RunProgress(history, run.iterations, deadline, console) as progress:
            last_progress = time.monotonic()
            while workers.supervise(len(history.merges)):
                interrupts.sleep(POLL_SECONDS)
                before = len(history.units) + len(history.merges)
                history.refresh()
                progress.update()
                for warning in (videos.warning(), events and events.update(history)):
                    if warning:
                        console.print(warning, highlight=False, soft_wrap=True)
                if len(history.units) + len(history.merges) > before:
                    last_progress = time.monotonic()
                elif time.monotonic() - last_progress > run.stall_timeout + GRACE_SECONDS:
                    raise Stopped(3, f"{root}: stalled: nothing new for {run.stall_timeout:g} s")
        history.refresh()
        _conclude(history, stop_criteria, workers, console, time.monotonic() - start)
        if events is not None:
            line = events.finish(history, interrupts.sleep)
            console.print(line, highlight=False, soft_wrap=True)
        if videos.running:
            line = f"videos:  {pool.layout.videos}; the last one may still be in the making"
            console.print(line, highlight=False, soft_wrap=True)
        videos.finish(interrupts.sleep)
        if (warning := videos.warning()) is not None:
            console.print(warning, highlight=False, soft_wrap=True)
    except Stopped as stopped:
        workers.stop()
        if stopped.exit_code in (75, 130):
            said = f"stopped by {stopped}; the same command goes on from here"
            console.print(said, highlight=False)
        raise
    except BaseException:
        workers.stop()
        raise
    finally:
        if events is not None:
            events.close()
        videos.stop()


def _worker_arguments(root: Path, run: RunOptions, deadline: float | None) -> list[str]:
    # Absolute, since a task may change the directory while a thread writes the heartbeat.
    arguments = ["--pool-directory", os.path.abspath(root), "--run-options", encode(run)]
    if deadline is not None:
        arguments += ["--deadline", str(deadline)]
    return arguments


def _conclude(
    history: History,
    stop_criteria: StopCriteria,
    workers: LocalWorkers,
    console: Console,
    seconds: float,
) -> None:
    """Print how a run ended, and write its history and plot into the pool.

    Raises:
        PoolrlError: the workers ended before the pool did.
    """
    failure = workers.failure()
    newest = history.merges[-1] if history.merges else None
    last = end_of_run(history, stop_criteria)
    if failure is None and last is not newest:
        # Another run has gone on; what came late before its newest merge was not read.
        history = History(history.pool)
        history.refresh()
        last = end_of_run(history, stop_criteria)
    # Where workers failed, an earlier merge is the end of an earlier run.
    if last is None or (failure is not None and last is not newest):
        code, message = failure or (1, "the workers ended before the pool did")
        error = PoolrlError(f"{message} (logs in {history.pool.layout.logs})")
        error.exit_code = code if code > 0 else 1
        raise error
    for line in write_result(history, last, stop_criteria, seconds):
        console.print(line, highlight=False, soft_wrap=True)
