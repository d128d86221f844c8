"""The native tasks (ids, classes, time limits), and the keyword arguments of tasks."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

from poolrl.errors import UsageError
from poolrl.tasks.base import Task

# Modules are imported when a task is made, so that the ids can be listed without a simulator.
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
    "MuscleElbowReach-v0": ("poolrl.tasks.muscles.reach:ElbowReach", 100),
    "MuscleFingerReach-v0": ("poolrl.tasks.muscles.reach:FingerReach", 100),
    "MuscleArmReach-v0": ("poolrl.tasks.muscles.reach:ArmReach", 150),
    "MuscleReach-v0": ("poolrl.tasks.muscles.reach:OwnReach", 300),
    "MuscleLegsStand-v0": ("poolrl.tasks.muscles.legs:LegsStand", 1000),
    "MuscleLegsWalk-v0": ("poolrl.tasks.muscles.legs:LegsWalk", 1000),
    "RodentImitation-v0": ("poolrl.tasks.imitation.imitation:Imitation", 500),
    "RodentJoystick-v0": ("poolrl.tasks.imitation.joystick:Joystick", 1000),
    "RodentMoveToTarget-v0": ("poolrl.tasks.imitation.locomotion:MoveToTarget", 1000),
    "RodentRun-v0": ("poolrl.tasks.imitation.locomotion:Run", 500),
    "Plateau-v0": ("poolrl.tasks.identity:Plateau", 10),
    "Switches-v0": ("poolrl.tasks.identity:Switches", 10),
}
"""id -> (module:class, default time limit in control steps)."""


def task_class(task_id: str) -> type[Task]:
    """Import and return the class of an id of ``REGISTRY``."""
    module, _, name = REGISTRY[task_id][0].partition(":")
    cls: type[Task] = getattr(import_module(module), name)
    return cls


def keyword_arguments(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return a task's own arguments: the keyword-only ones of its constructor, without
    ``max_episode_steps``."""
    return {
        name: parameter
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and name != "max_episode_steps"
    }


def unknown_argument(task_id: str, name: str, known: Iterable[str]) -> UsageError:
    """Create the error for an argument that a task does not have.

    Args:
        task_id: the task.
        name: of the argument.
        known: names of the arguments that the task has.
    """
    return UsageError(
        f"task.kwargs.{name}: unknown argument of {task_id}; known: {', '.join(known) or 'none'}"
    )


class NoTimeLimit(UsageError):
    """A task has no time limit of its own, and none was given."""


def no_time_limit(task_id: str) -> NoTimeLimit:
    """Create the error for a task without a time limit."""
    return NoTimeLimit(f"task.max_episode_steps: {task_id} has no time limit of its own; set it")


def takes(annotation: Any, value: Any) -> bool:
    """Whether a value is of one of the types that an annotation such as ``int | str`` lists."""
    return type(value).__name__ in str(annotation).split(" | ")


def like(default: Any, value: Any, key: str) -> Any:
    """Convert a value to the type of a default: an int to a float, a list to a tuple.

    The elements of a tuple may be infinite, since tuples are ranges.

    Args:
        default: a value of the type that is expected; ``None`` accepts any type.
        value: as it was read from a file or the command line.
        key: the configuration key of the value, for errors.

    Raises:
        UsageError: the value is of another type, or not finite; names the key.
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
