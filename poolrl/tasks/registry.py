"""Which class stands behind an id, and how a task is made of it."""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from poolrl.config import World
from poolrl.errors import UsageError
from poolrl.tasks.base import Task
from poolrl.tasks.variants import with_variants

# id: (module:class, default time limit). Modules are imported when a task is made, so that the
# command line can list ids without loading a simulator.
REGISTRY: dict[str, tuple[str, int]] = {
    "Swimmer-v5": ("poolrl.tasks.mujoco.swimmer:Swimmer", 1000),
    "Quadruped-v0": ("poolrl.tasks.mujoco.quadruped:Quadruped", 800),
    "QuadrupedStep-v0": ("poolrl.tasks.mujoco.quadruped:QuadrupedStep", 800),
    "AnymalC-v0": ("poolrl.tasks.mujoco.quadruped:AnymalC", 800),
    "Plateau-v0": ("poolrl.tasks.plateau:Plateau", 10),
}


def task_class(task_id: str) -> type[Task]:
    """The class behind an id.

    Raises:
        UsageError: no task has this id.
    """
    if task_id not in REGISTRY:
        close = difflib.get_close_matches(task_id, REGISTRY, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known ids: {', '.join(REGISTRY)}"
        raise UsageError(f"task.id: unknown task {task_id!r}; {hint}")
    module, _, name = REGISTRY[task_id][0].partition(":")
    cls: type[Task] = getattr(import_module(module), name)
    return cls


def make(task: str | World, num_simulations: int, **fields: Any) -> Task:
    """Make a batch of simulations of a task.

    Args:
        task: a world, or an id with the other fields of one: ``max_episode_steps``, ``kwargs``, …
        num_simulations: how many episodes run side by side.

    Raises:
        UsageError: the id, a keyword, or the type of a value is wrong.
    """
    world = World(id=task, **fields) if isinstance(task, str) else task
    cls = task_class(world.id)
    kwargs = dict(world.kwargs)
    known = {
        name: parameter
        for name, parameter in inspect.signature(cls).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and name != "max_episode_steps"
    }
    for name, value in kwargs.items():
        if name not in known:
            raise UsageError(
                f"task.kwargs.{name}: unknown argument of {world.id}; known: {', '.join(known)}"
            )
        kwargs[name] = like(known[name].default, value, f"task.kwargs.{name}")
    limit = world.max_episode_steps or REGISTRY[world.id][1]
    made = cls(num_simulations, max_episode_steps=limit, **kwargs)  # type: ignore[call-arg]
    if world.randomize:
        randomize = getattr(made, "randomize", None)
        if randomize is None:
            raise UsageError(f"task.randomize: {world.id} has no MuJoCo model of poolrl's to draw")
        randomize(world.randomize)
    return with_variants(made, world)


def with_absolute_paths(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Keyword arguments that mean the same file from wherever a worker stands."""
    file = kwargs.get("xml_file")
    if not isinstance(file, str) or not file.startswith((".", "~")):
        return dict(kwargs)
    return {**kwargs, "xml_file": str(Path(file).expanduser().resolve())}


def fingerprint(task: Task) -> str:
    """SHA-256 of what a task's physics is compiled from; empty where there is no model."""
    model = getattr(task, "model", None)
    if model is None:
        return ""
    from poolrl.tasks.mujoco.model import model_sha256

    return model_sha256(model)


def like(default: Any, value: Any, key: str) -> Any:
    """A value of the type of a default: whole numbers serve as floats, lists as tuples.

    Raises:
        UsageError: names the key.
    """
    kind = type(default)
    if kind is tuple and isinstance(value, (list, tuple)):
        if len(value) != len(default):
            raise UsageError(f"{key}: expected {len(default)} values, got {value!r}")
        return tuple(
            part if isinstance(part, float) else like(inner, part, f"{key}[{i}]")
            for i, (inner, part) in enumerate(zip(default, value, strict=True))
        )
    if isinstance(value, int) and not isinstance(value, bool) and kind is float:
        return float(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"{key}: must be finite, got {value!r}")
    if type(value) is not kind:
        raise UsageError(f"{key}: expected {kind.__name__}, got {type(value).__name__} {value!r}")
    return value
