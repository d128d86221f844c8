"""Create tasks: by id, from worlds, with their variants and randomization."""

from __future__ import annotations

import hashlib
import inspect
import os
import sys
from typing import Any

from poolrl.config.schema import TaskSpec, World
from poolrl.errors import UsageError, one_line
from poolrl.process_state import PROCESS_STATE
from poolrl.tasks.base import Task
from poolrl.tasks.closing import close
from poolrl.tasks.model_paths import MODEL_PATHS, ModelPaths
from poolrl.tasks.permissions import USER_TASKS, blamed, needs_permission, permitted
from poolrl.tasks.registry import (
    REGISTRY,
    keyword_arguments,
    like,
    no_time_limit,
    takes,
    task_class,
    unknown_argument,
)
from poolrl.tasks.variants import with_variants
from poolrl.trusted_code import TrustedCode, names_code


def make(
    task: str | World,
    num_simulations: int,
    *,
    code: TrustedCode = USER_TASKS,
    model_paths: ModelPaths = MODEL_PATHS,
    **fields: Any,
) -> Task:
    """Create a batch of simulations of a task.

    Args:
        task: a world, or an id with the other fields of one: ``max_episode_steps``, ``kwargs``, …
            An id is one of ``REGISTRY``, any of Gymnasium's, or a user's own that was permitted
            (``poolrl.tasks.permit``).
        num_simulations: number of episodes that are simulated side by side.
        code: holds the permissions to run users' code.
        model_paths: maps the paths of models that have moved.
        fields: of the world where ``task`` is an id; ``exact_spaces`` is on there.

    Raises:
        UsageError: the id, a keyword, or the type of a value is wrong, or a package is missing.

    Returns:
        The task, which the caller closes.
    """
    world = World(id=task, **{"exact_spaces": True, **fields}) if isinstance(task, str) else task
    with blamed(world, code=code):
        made = _make_plain(world, num_simulations, code, model_paths)
        try:
            if world.randomize:
                randomize = getattr(made, "randomize", None)
                if not callable(randomize):
                    raise UsageError(
                        f"task.randomize: {world.id} has no MuJoCo model of poolrl's to draw"
                    )
                randomize(world.randomize)
            return with_variants(made, world)
        except BaseException:
            close(made, world, code=code)
            raise


def fingerprint(
    task: Task,
    world: TaskSpec | None = None,
    *,
    code: TrustedCode = USER_TASKS,
    model_paths: ModelPaths = MODEL_PATHS,
) -> str:
    """Compute the SHA-256 of a task's compiled model; empty where the task has no model.

    Of a task that reads other files, and so has their hash in an attribute ``files_sha256``, it is
    that of both.

    A compiled model contains the paths of its files. If the task's model, or the file of a user's
    own task, has moved, and the model would have the recorded hash at its recorded place, then that
    hash is returned.

    Args:
        task: that was made for ``world``.
        world: with the recorded hash, paths and arguments; ``None`` for the hash at this place.
        code: holds the permissions to run users' code, and where their files are.
        model_paths: maps the paths of models that have moved.
    """
    model = getattr(task, "model", None)
    mujoco = sys.modules.get("mujoco")
    if mujoco is None or not isinstance(model, mujoco.MjModel):  # or what a user calls a model
        return ""
    from poolrl.tasks.mujoco.asset_paths import sha256s_elsewhere
    from poolrl.tasks.mujoco.model import model_sha256

    read = getattr(task, "files_sha256", None)

    def with_files(sha256: str) -> str:
        return (
            hashlib.sha256((sha256 + read).encode()).hexdigest()
            if isinstance(read, str)
            else sha256
        )

    own = with_files(model_sha256(model))
    if world is None or world.model_sha256 in ("", own):
        return own
    folders = model_paths.folders(world.kwargs)
    known = code.permitted(world.id, world.source_sha256) if names_code(world.id) else None
    if known is not None and known.entry is not None:
        folders.append((str(known.file.parent), os.path.dirname(world.id.rpartition(":")[0])))
    for here, recorded in folders:
        if not (os.path.isabs(here) and os.path.isabs(recorded)) or here == recorded:
            continue
        if world.model_sha256 in map(with_files, sha256s_elsewhere(model, here, recorded)):
            return world.model_sha256
    return own


def _make_plain(
    world: World, num_simulations: int, code: TrustedCode, model_paths: ModelPaths
) -> Task:
    """Create a world's task without variants and randomization."""
    if world.id in REGISTRY:
        cls, limit = task_class(world.id), REGISTRY[world.id][1]
        return _instantiate(cls, limit, world, num_simulations, model_paths)
    entry = permitted(world, code=code).entry if needs_permission(world) else None
    if isinstance(entry, type) and issubclass(entry, Task):
        parameter = inspect.signature(entry).parameters.get("max_episode_steps")
        default = getattr(parameter, "default", None)
        limit = default if isinstance(default, int) else 0
        return _instantiate(entry, limit, world, num_simulations, model_paths)
    from poolrl.tasks.gymnasium_ids import environment_spec
    from poolrl.tasks.gymnasium_task import GymnasiumTask

    return GymnasiumTask(
        num_simulations,
        spec=environment_spec(world.id, entry),
        max_episode_steps=world.max_episode_steps,
        kwargs=model_paths.resolved(world.kwargs),
        exact_spaces=world.exact_spaces,
    )


def _instantiate(
    cls: type[Task],
    default_limit: int,
    world: World,
    num_simulations: int,
    model_paths: ModelPaths,
) -> Task:
    kwargs = dict(world.kwargs)
    known = keyword_arguments(cls)
    for name, value in kwargs.items():
        if name not in known:
            raise unknown_argument(world.id, name, known)
        example = value if takes(known[name].annotation, value) else known[name].default
        kwargs[name] = like(example, value, f"task.kwargs.{name}")
    kwargs = model_paths.resolved(kwargs)
    limit = world.max_episode_steps or default_limit
    if not limit:
        raise no_time_limit(world.id)
    PROCESS_STATE.before_constructor()
    try:
        return cls(num_simulations, max_episode_steps=limit, **kwargs)  # type: ignore[call-arg]
    except UsageError:
        raise
    except Exception as error:
        if world.id not in REGISTRY:
            raise  # blamed() names the user's line
        text = one_line(error)
        raise UsageError(f"task: {world.id} with these arguments: {text}") from error
