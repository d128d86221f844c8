"""Validation of a run's inputs, and creation of its pool."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from msgspec.structs import replace

from poolrl import files, tasks
from poolrl.agent import Agent
from poolrl.algorithms.off_policy import check_replay, check_replay_keys
from poolrl.config import tables
from poolrl.config.loading import load, load_over
from poolrl.config.mpo import MPO
from poolrl.config.networks import ModuleSpec, NetworkSpec
from poolrl.config.run_options import RunOptions, check_min_deposits, check_targets
from poolrl.config.schema import Spec, World
from poolrl.errors import IncompatiblePool, UsageError
from poolrl.launch.disk_use import DiskUse, disk_line, disk_use
from poolrl.launch.new_pool_checks import check_first_agent, check_new
from poolrl.networks import permissions
from poolrl.pool.directory import Pool, make_pool, open_pool
from poolrl.storage.layout import Layout
from poolrl.tasks.check import check_task
from poolrl.tasks.gymnasium_ids import reward_threshold
from poolrl.tasks.model_paths import ModelPaths
from poolrl.trusted_code import absolute
from poolrl.worker.unit_computation import UnitComputation, budget


def make_or_open_pool(
    config_file: Path | None,
    root: Path,
    overrides: Mapping[str, Any],
    from_agent: Path | None,
    *,
    trust: bool = False,
) -> tuple[Pool, RunOptions, str | None]:
    """Validate everything, then make the pool or open the one that is there.

    Args:
        config_file: a configuration; ``None`` for the pool's own, or the defaults.
        root: the pool's directory.
        overrides: dotted key -> value; ``task.id`` among them names a user's own task.
        from_agent: an agent file to start from.
        trust: whether a user's own task and network may run that the overrides do not name.

    Returns:
        The pool, the options of this run, and a line on what a new pool takes on disk.

    Raises:
        UsageError: an input is wrong; nothing has been changed.
        IncompatiblePool: the directory holds a pool of another specification.
    """
    valid = validate(config_file, root, overrides, from_agent, trust=trust)
    return make_pool(root, valid.spec, valid.run, valid.first_agent), valid.run, valid.disk_line


class Validated(NamedTuple):
    """Inputs of a run that were checked.

    Attributes:
        spec: of the pool.
        run: options of this run.
        first_agent: content of the file of the first agent, if there is one.
        disk_line: what a new pool takes on disk, if its merge rule needs more than others.
    """

    spec: Spec
    run: RunOptions
    first_agent: bytes | None
    disk_line: str | None


def validate(
    config_file: Path | None,
    root: Path,
    overrides: Mapping[str, Any],
    from_agent: Path | None,
    *,
    trust: bool = False,
) -> Validated:
    """Validate everything without a change to any file.

    Args and raises as ``make_or_open_pool``.
    """
    existing = open_pool(root) if os.path.lexists(Layout(root).spec) else None
    named = overrides.get("task.id")
    if existing is not None and isinstance(named, str) and tasks.same(named, existing.spec.task):
        overrides = {**overrides, "task.id": existing.spec.task.id}  # the file may have moved
    to_threshold = overrides.get("run.target_return") == "threshold"
    if to_threshold:
        overrides = {key: v for key, v in overrides.items() if key != "run.target_return"}
    network_named = overrides.get("network.source")
    if existing is not None and isinstance(network_named, str):
        own = existing.spec.network
        if isinstance(own, ModuleSpec) and permissions.same(network_named, own):
            overrides = {**overrides, "network.source": own.source}
    first = _read_agent(from_agent) if from_agent is not None else None
    if existing is not None and config_file is None:
        spec, run = load_over(existing.spec, existing.run, overrides)
    else:
        spec, run = load(
            config_file,
            overrides,
            existing=existing.spec if existing is not None else None,
            first_network=first.agent.metadata.network if first is not None else None,
        )
    task = replace(spec.task, id=tasks.absolute(spec.task.id))
    kwargs = tasks.with_absolute_paths(task.kwargs, task.id)  # workers may run in another directory
    if existing is not None:
        # A pool of an earlier version may have recorded what was given.
        recorded = existing.spec.task.kwargs
        kwargs |= {
            name: recorded[name]
            for name, value in task.kwargs.items()
            if name in recorded
            and (value == recorded[name] or tables.was_text(recorded[name], value))
        }
    task = replace(task, kwargs=kwargs)
    if existing is not None and existing.spec.task.id == task.id and not task.source_sha256:
        task = replace(task, source_sha256=existing.spec.task.source_sha256)
    world = tasks.permit(task, named, trust=trust)
    spec = replace(
        spec,
        task=world if existing is None else _with_recorded_paths(existing, world),
        network=_permitted_network(spec.network, network_named, existing, trust=trust),
    )
    if existing is None:
        check_task(spec.task)
    spec, use = _with_hashes(spec, run, first, existing)
    if (
        existing is not None
        and existing.spec.task.id == spec.task.id
        and existing.model_difference(spec.task.model_sha256) is not None
    ):
        # Another version of MuJoCo: the workers warn of it, and the pool keeps its identity.
        task = replace(spec.task, model_sha256=existing.spec.task.model_sha256)
        spec = replace(spec, task=task)
    if existing is not None:
        existing.refuse_another(spec)
    if existing is None or run.min_deposits != existing.run.min_deposits:
        check_min_deposits(run, spec.pool.fewest)
    if existing is None:
        check_targets(run)
    if to_threshold:
        run = replace(run, target_return=reward_threshold(spec.task.id))
    if run.replay_folder is not None:  # workers may run in another directory
        run = replace(run, replay_folder=os.path.abspath(run.replay_folder))
    line = disk_line(spec, run, use) if existing is None else None
    return Validated(spec, run, first.data if first is not None else None, line)


def _permitted_network(
    network: NetworkSpec, named: str | None, existing: Pool | None, *, trust: bool
) -> NetworkSpec:
    """The network with an absolute path and the hash of its file, if it is a user's own."""
    if isinstance(network, ModuleSpec):
        network = replace(network, source=absolute(network.source))
        own = existing.spec.network if existing is not None else None
        if isinstance(own, ModuleSpec) and own.source == network.source:
            network = replace(network, source_sha256=network.source_sha256 or own.source_sha256)
    return permissions.permit(network, named, trust=trust)


class _FirstAgent(NamedTuple):
    """The agent that a pool starts from: the path that was given, its content, and what it is."""

    path: Path
    data: bytes
    agent: Agent


def _read_agent(path: Path) -> _FirstAgent:
    try:
        data = files.read_plain(path, files.AGENT)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    except files.NotAPlainFile as error:
        raise UsageError(f"{path}: {error}") from error
    try:
        return _FirstAgent(path, data, Agent.from_bytes(data, str(path)))
    except UsageError as error:
        raise UsageError(f"--from-agent {path}: {error}") from error


def _with_hashes(
    spec: Spec, run: RunOptions, first: _FirstAgent | None, existing: Pool | None
) -> tuple[Spec, DiskUse]:
    """Check what a specification names, and add the hashes of it; estimate its disk use.

    Args:
        spec: of the configuration.
        run: says where replays are.
        first: the agent to start from, if there is one.
        existing: the pool, if there is one.

    Raises:
        UsageError: the model has another hash, network or agent do not suit the task, or there is
            no room for a replay.
    """
    expected = spec.task
    if existing is not None and existing.spec.task.id == spec.task.id:
        expected = replace(expected, model_sha256=existing.spec.task.model_sha256)
    with closing(UnitComputation(replace(spec, task=expected), pool=existing)) as computation:
        fingerprint = computation.model_sha256
        if spec.task.model_sha256 not in ("", fingerprint):
            raise UsageError(
                f"task.model_sha256: {spec.task.model_sha256}, but the model that {spec.task.id} "
                f"has here is {fingerprint}"
            )
        spec = replace(spec, task=replace(spec.task, model_sha256=fingerprint))
        use = disk_use(spec, computation.initial_agent())  # the network suits the task
        computation.check_merge()
        if isinstance(spec.learner, MPO):
            folder = Path(run.replay_folder) if run.replay_folder is not None else None
            agent = computation.initial_agent()
            for learner in dict.fromkeys(map(spec.hyperparameters, range(spec.pool.count))):
                assert isinstance(learner, MPO)
                check_replay(agent, budget(spec), learner, spec.task, folder)
                if existing is None:
                    check_replay_keys(learner, budget(spec), agent.metadata.max_episode_steps)
        if existing is None:
            _check_branches(spec, computation)
            computation.check_infos()
        if first is None:
            return spec, use
        try:
            computation.check_first(first.agent)
            if existing is None:
                for branch in range(spec.pool.count):
                    check_first_agent(spec.hyperparameters(branch), first.agent)
        except UsageError as error:
            raise UsageError(f"--from-agent {first.path}: {error}") from error
    return replace(spec, initial_agent_sha256=hashlib.sha256(first.data).hexdigest()), use


def _check_branches(spec: Spec, computation: UnitComputation) -> None:
    """Check that the learner suits the specification with the values of each branch too.

    Args:
        spec: of a new pool; that it is valid with the learner's own values is known.
        computation: of its units.

    Raises:
        UsageError: it does not; names the key and the branch.
    """
    periods = [len(values) for values in spec.branches.values() if isinstance(values, tuple)]
    for branch in range(min(spec.pool.count, math.lcm(*periods))):
        learner = spec.hyperparameters(branch)
        try:
            replace(spec, learner=learner, branches={})
            check_new(spec, learner)
            computation.check_learner(learner)
        except UsageError as error:
            raise UsageError(f"branches: of branch {branch}: {error}") from None


def _with_recorded_paths(existing: Pool, task: World) -> World:
    """The task with the paths that the pool records, where the files at the given paths are the
    same; otherwise the task unchanged.

    A model is the same if its hash is. Where the pool has none, and for other files, it must be
    that the recorded one is not there.

    Raises:
        UsageError: there is no model at the given path.
    """
    own = existing.spec.task
    if own.id != task.id:
        return task
    kwargs = dict(task.kwargs)
    moved = {}
    for name, given in task.kwargs.items():
        recorded = own.kwargs.get(name)
        if recorded in (None, given) or not (isinstance(recorded, str) and isinstance(given, str)):
            continue
        is_hashed = tasks.names_hashed_file(own, name) and own.model_sha256
        if not is_hashed and not tasks.names_other_file(own, name):
            continue
        if files.is_same(recorded, given):
            kwargs[name] = recorded
        elif is_hashed or (not os.path.exists(recorded) and os.path.exists(given)):
            moved[name] = given
    hashed = {
        name: path
        for name, path in moved.items()
        if own.model_sha256 and tasks.names_hashed_file(own, name)
    }
    if hashed and not _is_model(existing, hashed):
        moved = {name: path for name, path in moved.items() if name not in hashed}
    for name, given in moved.items():
        tasks.move_model(own, {name: given})
        kwargs[name] = own.kwargs[name]
    return replace(task, kwargs=kwargs)


def _is_model(existing: Pool, paths: Mapping[str, str]) -> bool:
    """Whether the model of a pool, and what else its task reads, may be that at other paths: it has
    the same hash, or this is another version of MuJoCo.

    Args:
        existing: the pool.
        paths: by the names of the task's arguments.
    """
    own = existing.spec.task
    moved = ModelPaths()
    for name, path in paths.items():
        moved.move(str(own.kwargs[name]), path)
    with tasks.closing(tasks.make(own, 1, model_paths=moved), own) as made:
        sha256 = tasks.fingerprint(made, own, model_paths=moved)
    try:
        existing.model_difference(sha256)
    except IncompatiblePool:
        return False
    return True


def user_arguments(spec: Spec, overrides: Mapping[str, Any]) -> list[str]:
    """Arguments of a worker that permit a user's own task and network, and give the path of a moved
    model."""
    arguments = []
    if tasks.needs_permission(spec.task):
        named = "task.id" in overrides
        arguments += ["--task", tasks.absolute(overrides["task.id"])] if named else ["--trust"]
    if isinstance(spec.network, ModuleSpec):
        named = "network.source" in overrides
        own = ["--network", absolute(overrides["network.source"])] if named else ["--trust"]
        arguments += [] if "--trust" in arguments and not named else own
    for name, path in tasks.new_places(spec.task).items():
        arguments += ["--task-arg", f"{name}={path}"]
    return arguments
