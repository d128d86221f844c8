"""Worlds: the registry of tasks, by their Gymnasium ids."""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from poolrl.errors import UsageError
from poolrl.tasks.base import StepResult, Task

__all__ = ["StepResult", "Task", "fingerprint", "make", "task_class", "with_absolute_paths"]

# id: (module:class, default time limit). Modules are imported when a task is made, so that the
# command line can list ids without loading a simulator.
REGISTRY: dict[str, tuple[str, int]] = {
    "Swimmer-v5": ("poolrl.tasks.swimmer:Swimmer", 1000),
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


def make(
    task_id: str,
    num_simulations: int,
    *,
    max_episode_steps: int = 0,
    kwargs: Mapping[str, Any] | None = None,
) -> Task:
    """Make a batch of simulations of a task.

    Args:
        task_id: one of the registry's ids.
        num_simulations: how many episodes run side by side.
        max_episode_steps: the time limit in control steps; 0 for the task's own.
        kwargs: the task's own keyword arguments, as Gymnasium names them.

    Raises:
        UsageError: the id, a keyword, or the type of a value is wrong.
    """
    cls = task_class(task_id)
    kwargs = dict(kwargs or {})
    known = {
        name: parameter
        for name, parameter in inspect.signature(cls).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and name != "max_episode_steps"
    }
    for name, value in kwargs.items():
        if name not in known:
            raise UsageError(
                f"task.kwargs.{name}: unknown argument of {task_id}; known: {', '.join(known)}"
            )
        kwargs[name] = _like(known[name].default, value, f"task.kwargs.{name}")
    limit = max_episode_steps or REGISTRY[task_id][1]
    return cls(num_simulations, max_episode_steps=limit, **kwargs)  # type: ignore[call-arg]


def is_path(xml_file: str) -> bool:
    """Whether a model's file is a path, as for Gymnasium, and not the name of one of its assets."""
    return xml_file.startswith(("/", ".", "~"))


def with_absolute_paths(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Keyword arguments that mean the same file from wherever a worker stands."""
    file = kwargs.get("xml_file")
    if not isinstance(file, str) or not is_path(file):
        return dict(kwargs)
    return {**kwargs, "xml_file": str(Path(file).expanduser().resolve())}


def fingerprint(task: Task) -> str:
    """SHA-256 of what a task's physics is compiled from; empty where there is no model."""
    model = getattr(task, "model", None)
    if model is None:
        return ""
    from poolrl.tasks.mujoco import model_sha256

    return model_sha256(model)


def _like(default: Any, value: Any, key: str) -> Any:
    kind = type(default)
    if isinstance(value, int) and not isinstance(value, bool) and kind is float:
        return float(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"{key}: must be finite, got {value!r}")
    if type(value) is not kind:
        raise UsageError(f"{key}: expected {kind.__name__}, got {type(value).__name__} {value!r}")
    return value
