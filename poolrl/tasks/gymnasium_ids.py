"""Ids of Gymnasium's environments, and the packages that register more of them."""

from __future__ import annotations

import inspect
import os
import sys
import warnings
from collections.abc import Callable
from ctypes.util import find_library
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

import gymnasium
from gymnasium.envs.registration import EnvSpec, load_env_creator

from poolrl.errors import UsageError, did_you_mean, one_line
from poolrl.tasks.registry import REGISTRY


class Package(NamedTuple):
    """A package that registers environments with Gymnasium.

    Attributes:
        prefixes: of its ids.
        module: registers the environments when it is imported.
        requires: module that shows whether the package is installed.
        extra: extra of poolrl that installs the package.
    """

    prefixes: tuple[str, ...]
    module: str
    requires: str
    extra: str


# An id may come from another user's file, so no modules but these are imported for one.
PACKAGES = (
    Package(("dm_control/",), "shimmy", "dm_control", "dm"),
    Package(("myo", "motorFinger"), "myosuite", "myosuite", "myo"),
)

REQUIRED = {"gymnasium.envs.box2d": ("Box2D", "box2d")}
"""Prefix of the entry point of Gymnasium's own environments -> the module that they require, and
the extra of poolrl that installs it."""

KEEP_STATE = ("gymnasium.envs.box2d",)
"""Prefixes of entry points of environments that keep state over a reset (Box2D's world does), so
that an episode would depend on earlier ones. They are created again for every episode."""

# They create an environment, or import a module, that their arguments name.
REFUSED = ("GymV21Environment", "GymV26Environment", "dm_control/compatibility-env")


def reward_threshold(task_id: str) -> float:
    """Return the return at which a task counts as solved, by its registration with Gymnasium.

    Args:
        task_id: of a task that was made, so that its package or file is imported.

    Raises:
        UsageError: it has none.
    """
    spec = gymnasium.registry.get(task_id.rpartition(":")[2])
    if spec is None or spec.reward_threshold is None:
        raise UsageError(f"--target-return threshold: {task_id} is registered with none; name it")
    return float(spec.reward_threshold)


def environment_spec(task_id: str, entry: Any = None) -> EnvSpec:
    """Return Gymnasium's specification of an id, importing only the modules of ``PACKAGES``.

    Args:
        task_id: of an environment, or of a user's task.
        entry: for a user's task the class, or the id that the user's file registered.

    Raises:
        UsageError: there is no such environment, or its package is not installed.
    """
    if isinstance(entry, type):
        name = task_id.rpartition(":")[2]
        creator: Any = entry
        return EnvSpec(f"{name}-v0", entry_point=creator)
    name = entry or task_id
    if not entry:
        if name.startswith(REFUSED):
            raise UsageError(f"task.id: {name} makes what its arguments name; name that instead")
        import_package(name)
    spec = gymnasium.registry.get(name)
    if spec is None:
        known = [*REGISTRY, *gymnasium.registry]
        ids = f"known ids: {', '.join(REGISTRY)}, and those of `poolrl tasks --all`"
        raise UsageError(f"task.id: unknown task {name!r}; {did_you_mean(name, known, ids)}")
    if (extra := missing_extra(spec)) is not None:
        raise _missing(name, extra)
    return spec


def import_package(task_id: str) -> None:
    """Import the package that registers an id, if it is one of ``PACKAGES``.

    Raises:
        UsageError: it is not installed, or cannot be imported.
    """
    for package in PACKAGES:
        if not task_id.startswith(package.prefixes):
            continue
        if find_spec(package.requires) is None or find_spec(package.module) is None:
            raise _missing(task_id, package.extra)
        _choose_renderer()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about missing displays
            try:
                import_module(package.module)
            except Exception as error:
                text = one_line(error)
                raise UsageError(
                    f"task.id: {task_id}: cannot import {package.module}: {text}"
                ) from error


def _choose_renderer() -> None:
    """Without a display, select an off-screen renderer for MuJoCo: some of dm_control's tasks
    create one, and the default renderer would end the process."""
    if sys.platform == "linux" and not os.environ.get("DISPLAY"):
        os.environ.setdefault("MUJOCO_GL", "egl" if find_library("EGL") else "disable")


def missing_extra(spec: EnvSpec) -> str | None:
    """Return the extra of poolrl that one of Gymnasium's own environments needs, if its module is
    not installed; else ``None``."""
    for module, (required, extra) in REQUIRED.items():
        if str(spec.entry_point).startswith(module) and find_spec(required) is None:
            return extra
    return None


def creator_of(spec: EnvSpec) -> Callable[..., Any]:
    """Return what creates an environment.

    Raises:
        UsageError: its module cannot be imported.
    """
    entry = spec.entry_point
    assert entry is not None
    if not isinstance(entry, str):
        return entry
    try:
        creator: Callable[..., Any] = load_env_creator(entry)
    except Exception as error:
        module = entry.partition(":")[0]
        raise UsageError(
            f"task.id: {spec.id}: cannot import {module}: {one_line(error)}"
        ) from error
    return creator


def arguments(spec: EnvSpec) -> tuple[dict[str, inspect.Parameter], bool]:
    """Return the keyword arguments of an environment by name, and whether it accepts others.

    Raises:
        UsageError: its module cannot be imported.
    """
    parameters = inspect.signature(creator_of(spec)).parameters.values()
    named = {p.name: p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    return named, any(p.kind is p.VAR_KEYWORD for p in parameters)


def _missing(task_id: str, extra: str) -> UsageError:
    return UsageError(
        f"task.id: {task_id} needs a package that is not installed: pip install 'poolrl[{extra}]'"
    )
