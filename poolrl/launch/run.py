"""A whole run on this machine: make or open the pool, start workers, watch, tell the end."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from rich.console import Console

from poolrl import files, tasks
from poolrl.agent import Agent
from poolrl.config import schema as config
from poolrl.config.schema import RunOptions, Spec, World
from poolrl.errors import PoolrlError, Stopped, UsageError
from poolrl.interrupts import Stop
from poolrl.launch.local import LocalWorkers, usable_cores
from poolrl.launch.run_result import leave_result
from poolrl.monitoring.history import History
from poolrl.pool.directory import Pool, make_pool, open_pool
from poolrl.pool.stop_criteria import Ending
from poolrl.report.progress import RunProgress
from poolrl.storage.layout import Layout
from poolrl.tasks.check import check_task
from poolrl.worker.phase_timer import Clock
from poolrl.worker.unit_computation import Computer

LOOK_SECONDS = 0.25
"""How often a run looks at its workers and at what they have deposited."""

GRACE_SECONDS = 30.0
"""How much longer than its workers a run waits where nothing moves: they know better why."""


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
    """
    console = Console(markup=False)  # a path, or an id, may hold brackets
    pool, run = prepare(config_file, root, overrides, from_agent, trust=trust)
    workers = min(run.workers or usable_cores(), pool.spec.pool.count)
    deadline = time.time() + run.time_budget if run.time_budget else None
    ending = Ending(run.iterations, run.target_return, deadline)
    history = History(pool)
    history.refresh()
    began = time.monotonic()
    at = f", going on at iteration {history.merges[-1].iteration + 1}" if history.merges else ""
    console.print(
        f"pool {root}: {pool.spec.task.id}, {pool.spec.pool.count} branches, seed "
        f"{pool.spec.pool.seed}, {workers} workers{at}",
        highlight=False,
        soft_wrap=True,
    )
    arguments = _worker_arguments(root, run, deadline)
    arguments += task_arguments(pool.spec, overrides)
    crew = LocalWorkers(arguments, pool.layout.logs)
    stop = Stop()
    stop.last_words = crew.kill
    stop.listen()
    try:
        crew.start(workers)
        with RunProgress(history, run.iterations, deadline, console) as progress:
            moved = time.monotonic()
            while crew.look_after(len(history.merges)):
                stop.sleep(LOOK_SECONDS)
                before = len(history.units) + len(history.merges)
                history.refresh()
                progress.update()
                if len(history.units) + len(history.merges) > before:
                    moved = time.monotonic()
                elif time.monotonic() - moved > run.stall_timeout + GRACE_SECONDS:
                    raise Stopped(3, f"{root}: stalled: nothing new for {run.stall_timeout:g} s")
        history.refresh()
    except Stopped as stopped:
        crew.stop()
        if stopped.exit_code in (75, 130):
            said = f"stopped by {stopped}; the same command goes on from here"
            console.print(said, highlight=False)
        raise
    except BaseException:
        crew.stop()
        raise
    _conclude(history, ending, crew, console, time.monotonic() - began)


def prepare(
    config_file: Path | None,
    root: Path,
    overrides: Mapping[str, Any],
    from_agent: Path | None,
    *,
    trust: bool = False,
) -> tuple[Pool, RunOptions]:
    """Validate everything, and only then make the pool, or open the one that is there.

    Raises:
        UsageError, IncompatiblePool: as ``run_pool``; nothing has been changed.
    """
    spec, run, data = validate(config_file, root, overrides, from_agent, trust=trust)
    return make_pool(root, spec, run, data), run


def validate(
    config_file: Path | None,
    root: Path,
    overrides: Mapping[str, Any],
    from_agent: Path | None,
    *,
    trust: bool = False,
) -> tuple[Spec, RunOptions, bytes | None]:
    """What a pool is to be made of, or gone on with, and the file of its first agent if one was
    given; nothing is changed.

    Raises:
        UsageError, IncompatiblePool: as ``run_pool``.
    """
    existing = open_pool(root) if os.path.lexists(Layout(root).spec) else None
    named = overrides.get("task.id")
    if existing is not None and isinstance(named, str) and tasks.same(named, existing.spec.task):
        overrides = {**overrides, "task.id": existing.spec.task.id}  # its file may have moved
    if existing is not None and config_file is None:
        spec, run = config.load_over(existing.spec, existing.run, overrides)
    else:
        spec, run = config.load(config_file, overrides)
    task = replace(
        spec.task,
        id=tasks.absolute(spec.task.id),
        kwargs=tasks.with_absolute_paths(spec.task.kwargs),  # workers may stand elsewhere
    )
    if existing is not None and existing.spec.task.id == task.id and not task.source_sha256:
        task = replace(task, source_sha256=existing.spec.task.source_sha256)
    world = tasks.permit(task, named, trust=trust)
    spec = replace(spec, task=world if existing is None else _from_where_it_lies(existing, world))
    if existing is None:
        check_task(spec.task)
    spec, data = _completed(spec, from_agent)
    if (
        existing is not None
        and existing.spec.task.id == spec.task.id
        and existing.model_difference(spec.task.model_sha256) is not None
    ):
        # Another version of MuJoCo: the workers warn of it, and the pool's identity stands.
        task = replace(spec.task, model_sha256=existing.spec.task.model_sha256)
        spec = replace(spec, task=task)
    if existing is not None:
        existing.refuse_another(spec)
    return spec, run, data


def _completed(spec: Spec, from_agent: Path | None) -> tuple[Spec, bytes | None]:
    """The specification with the hashes of what it names, all of it checked."""
    computer = Computer(spec, Clock())
    fingerprint = computer.model_sha256
    if spec.task.model_sha256 not in ("", fingerprint):
        raise UsageError(
            f"task.model_sha256: {spec.task.model_sha256}, but the model that {spec.task.id} has "
            f"here is {fingerprint}"
        )
    spec = replace(spec, task=replace(spec.task, model_sha256=fingerprint))
    computer.initial_agent()  # the network suits the task
    if from_agent is None:
        return spec, None
    try:
        data = files.read_plain(from_agent, files.AGENT)
    except OSError as error:
        raise UsageError(f"{from_agent}: {error.strerror}") from error
    except files.Strange as error:
        raise UsageError(f"{from_agent}: {error}") from error
    try:
        computer.check(Agent.from_bytes(data, str(from_agent)))
    except UsageError as error:
        raise UsageError(f"--from-agent {from_agent}: {error}") from error
    return replace(spec, initial_agent_sha256=hashlib.sha256(data).hexdigest()), data


def _from_where_it_lies(existing: Pool, task: World) -> World:
    """A pool's task as the pool names it, where it is given with the same model at another place.

    Raises:
        UsageError: there is no model at the place that was given.
    """
    own = existing.spec.task
    recorded, given = (world.kwargs.get("xml_file") for world in (own, task))
    if recorded in (None, given) or not isinstance(given, str) or not own.model_sha256:
        return task
    there = replace(own, kwargs={**own.kwargs, "xml_file": given})
    if tasks.fingerprint(tasks.make(there, 1)) != own.model_sha256:
        return task  # which is refused for it
    tasks.move_model(own, {"xml_file": given})
    return replace(task, kwargs={**task.kwargs, "xml_file": recorded})


def task_arguments(spec: Spec, overrides: Mapping[str, Any]) -> list[str]:
    """The arguments by which a worker may run the pool's task where it is a user's own, and finds
    its model where that has moved."""
    arguments = []
    if tasks.needs_permission(spec.task):
        named = "task.id" in overrides
        arguments += ["--task", tasks.absolute(overrides["task.id"])] if named else ["--trust"]
    if (place := tasks.new_place(spec.task)) is not None:
        arguments += ["--task-arg", f"xml_file={place}"]
    return arguments


def _worker_arguments(root: Path, run: RunOptions, deadline: float | None) -> list[str]:
    arguments = ["--pool-directory", str(root), "--iterations", str(run.iterations)]
    arguments += ["--keep", run.keep, "--stall-timeout", str(run.stall_timeout)]
    arguments += ["--max-failed-iterations", str(run.max_failed_iterations)]
    arguments += ["--min-deposits", str(run.min_deposits)]
    if run.branch_timeout is not None:
        arguments += ["--branch-timeout", str(run.branch_timeout)]
    if run.target_return is not None:
        arguments += ["--target-return", str(run.target_return)]
    if deadline is not None:
        arguments += ["--deadline", str(deadline)]
    return arguments


def _conclude(
    history: History, ending: Ending, crew: LocalWorkers, console: Console, seconds: float
) -> None:
    """Say how a run ended, and leave its history and plot in the pool."""
    layout = history.pool.layout
    last = history.merges[-1] if history.merges else None
    closing = history.closing
    if (
        last is None
        or closing is None
        or closing.iteration != last.iteration
        or ending.reason(last) is None  # what an earlier run had ended on
    ):
        code, message = crew.failure() or (1, "the workers ended before the pool did")
        error = PoolrlError(f"{message} (logs in {layout.logs})")
        error.exit_code = code if code > 0 else 1
        raise error
    lines = leave_result(history, ending, seconds)
    console.print("\n".join(lines), highlight=False, soft_wrap=True)
