"""Which class stands behind an id, and how a task is made of it."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any

from poolrl import files
from poolrl import trusted_code as user
from poolrl.config.schema import World
from poolrl.errors import UsageError
from poolrl.tasks.base import Task
from poolrl.tasks.model_paths import place
from poolrl.tasks.variants import with_variants

# id: (module:class, default time limit). Modules are imported when a task is made, so that the
# command line can list ids without loading a simulator.
REGISTRY: dict[str, tuple[str, int]] = {
    "InvertedPendulum-v5": ("poolrl.tasks.mujoco.inverted_pendulum:InvertedPendulum", 1000),
    "InvertedDoublePendulum-v5": (
        "poolrl.tasks.mujoco.inverted_pendulum:InvertedDoublePendulum",
        1000,
    ),
    "Reacher-v5": ("poolrl.tasks.mujoco.reacher:Reacher", 50),
    "Pusher-v5": ("poolrl.tasks.mujoco.pusher:Pusher", 100),
    "Swimmer-v5": ("poolrl.tasks.mujoco.swimmer:Swimmer", 1000),
    "Hopper-v5": ("poolrl.tasks.mujoco.hopper:Hopper", 1000),
    "HalfCheetah-v5": ("poolrl.tasks.mujoco.half_cheetah:HalfCheetah", 1000),
    "Walker2d-v5": ("poolrl.tasks.mujoco.walker2d:Walker2d", 1000),
    "Ant-v5": ("poolrl.tasks.mujoco.ant:Ant", 1000),
    "Humanoid-v5": ("poolrl.tasks.mujoco.humanoid:Humanoid", 1000),
    "HumanoidStandup-v5": ("poolrl.tasks.mujoco.humanoid:HumanoidStandup", 1000),
    "Quadruped-v0": ("poolrl.tasks.mujoco.quadruped:Quadruped", 800),
    "QuadrupedStep-v0": ("poolrl.tasks.mujoco.quadruped:QuadrupedStep", 800),
    "AnymalC-v0": ("poolrl.tasks.mujoco.quadruped:AnymalC", 800),
    "Plateau-v0": ("poolrl.tasks.identity:Plateau", 10),
    "Switches-v0": ("poolrl.tasks.switches:Switches", 10),
}


def task_class(task_id: str) -> type[Task]:
    """The class behind an id of ``REGISTRY``."""
    module, _, name = REGISTRY[task_id][0].partition(":")
    cls: type[Task] = getattr(import_module(module), name)
    return cls


def make(task: str | World, num_simulations: int, **fields: Any) -> Task:
    """Make a batch of simulations of a task.

    Args:
        task: a world, or an id with the other fields of one: ``max_episode_steps``, ``kwargs``, …
            An id is one of ``REGISTRY``, any of Gymnasium's, or a user's own that was permitted
            (``poolrl.tasks.permit``).
        num_simulations: how many episodes run side by side.

    Raises:
        UsageError: the id, a keyword, or the type of a value is wrong, or a package is missing.
    """
    world = World(id=task, **fields) if isinstance(task, str) else task
    with user.blamed(world):
        made = _made(world, num_simulations)
        if world.randomize:
            randomize = getattr(made, "randomize", None)
            if randomize is None:
                raise UsageError(
                    f"task.randomize: {world.id} has no MuJoCo model of poolrl's to draw"
                )
            randomize(world.randomize)
        return with_variants(made, world)


def _made(world: World, num_simulations: int) -> Task:
    if world.id in REGISTRY:
        return _of_class(task_class(world.id), REGISTRY[world.id][1], world, num_simulations)
    entry = user.permitted(world).entry if user.needs_permission(world) else None
    if isinstance(entry, type) and issubclass(entry, Task):
        default = inspect.signature(entry).parameters.get("max_episode_steps")
        limit = getattr(default, "default", None)
        return _of_class(entry, limit if isinstance(limit, int) else 0, world, num_simulations)
    from poolrl.tasks.gymnasium_ids import environment_spec
    from poolrl.tasks.gymnasium_task import GymnasiumTask

    return GymnasiumTask(
        num_simulations,
        spec=environment_spec(world.id, entry),
        max_episode_steps=world.max_episode_steps,
        kwargs=world.kwargs,
    )


def _of_class(cls: type[Task], default_limit: int, world: World, num_simulations: int) -> Task:
    kwargs = dict(world.kwargs)
    known = keyword_arguments(cls)
    for name, value in kwargs.items():
        if name not in known:
            raise unknown_argument(world.id, name, known)
        example = value if takes(known[name].annotation, value) else known[name].default
        kwargs[name] = like(example, value, f"task.kwargs.{name}")
    if isinstance(file := kwargs.get("xml_file"), str):
        kwargs["xml_file"] = place(file)
    limit = world.max_episode_steps or default_limit
    if not limit:
        raise UsageError(f"task.max_episode_steps: {world.id} has no time limit of its own; set it")
    try:
        return cls(num_simulations, max_episode_steps=limit, **kwargs)  # type: ignore[call-arg]
    except UsageError:
        raise
    except Exception as error:
        if world.id not in REGISTRY:
            raise  # whose file is blamed
        text = " ".join(f"{type(error).__name__}: {error}".split())
        raise UsageError(f"task: {world.id} with these arguments: {text}") from error


def keyword_arguments(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """A task's own arguments: those that its constructor takes by keyword alone."""
    return {
        name: parameter
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and name != "max_episode_steps"
    }


def unknown_argument(task_id: str, name: str, known: Iterable[str]) -> UsageError:
    """What to raise where a task has no argument of this name."""
    return UsageError(
        f"task.kwargs.{name}: unknown argument of {task_id}; known: {', '.join(known) or 'none'}"
    )


def with_absolute_paths(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Keyword arguments that mean the same file from wherever a worker stands."""
    file = kwargs.get("xml_file")
    if not isinstance(file, str) or not file.startswith((".", "~")):
        return dict(kwargs)
    return {**kwargs, "xml_file": files.absolute(file)}


def fingerprint(task: Task) -> str:
    """SHA-256 of what a task's physics is compiled from; empty where there is no model."""
    model = getattr(task, "model", None)
    if model is None:
        return ""
    from poolrl.tasks.mujoco.model import model_sha256

    return model_sha256(model)


def takes(annotation: Any, value: Any) -> bool:
    """Whether a value is of one of the types that an annotation as ``int | str`` lists."""
    return type(value).__name__ in str(annotation).split(" | ")


def like(default: Any, value: Any, key: str) -> Any:
    """A value of the type of a default: whole numbers serve as floats, lists as tuples.

    The parts of a tuple may be infinite, since they are the ends of ranges.

    Raises:
        UsageError: names the key.
    """
    kind = type(default)
    if kind is tuple and isinstance(value, (list, tuple)):
        if len(value) != len(default):
            raise UsageError(f"{key}: expected {len(default)} values, got {value!r}")
        return tuple(
            part
            if isinstance(part, float) and math.isinf(part)
            else like(inner, part, f"{key}[{i}]")
            for i, (inner, part) in enumerate(zip(default, value, strict=True))
        )
    if isinstance(value, int) and not isinstance(value, bool) and kind is float:
        return float(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"{key}: must be finite, got {value!r}")
    if type(value) is not kind and default is not None:
        raise UsageError(f"{key}: expected {kind.__name__}, got {type(value).__name__} {value!r}")
    return value
