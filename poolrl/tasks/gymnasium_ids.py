"""Which environments Gymnasium knows, and which package brings the others."""

from __future__ import annotations

import difflib
import inspect
import os
import sys
import warnings
from ctypes.util import find_library
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

import gymnasium
from gymnasium.envs.registration import EnvSpec, load_env_creator

from poolrl.errors import UsageError
from poolrl.tasks.registry import REGISTRY


class Package(NamedTuple):
    """A package whose environments have ids of their own.

    Attributes:
        prefixes: what its ids begin with.
        module: to import, which registers them.
        requires: the module by which to see that it is there.
        extra: of poolrl, that brings it.
    """

    prefixes: tuple[str, ...]
    module: str
    requires: str
    extra: str


# An id may come from a file that somebody else wrote: only what stands here is imported for one.
PACKAGES = (
    Package(("dm_control/",), "shimmy", "dm_control", "dm"),
    Package(("myo", "motorFinger"), "myosuite", "myosuite", "myo"),
)

REQUIRED = {"gymnasium.envs.box2d": ("Box2D", "box2d")}
"""What environments of Gymnasium's own need, by the module that they stand in: a module, and the
extra that brings it."""

KEEP_STATE = ("gymnasium.envs.box2d",)
"""Modules whose environments carry something over a reset (Box2D's world does), so that an episode
would depend on those before it: they are made anew for every episode."""

# They would make an environment, or import a module, that their arguments name.
REFUSED = ("GymV21Environment", "GymV26Environment", "dm_control/compatibility-env")


def environment_spec(task_id: str, entry: Any = None) -> EnvSpec:
    """What Gymnasium knows of an id, importing no more for it than ``PACKAGES`` says.

    Args:
        task_id: of an environment, or of a user's task.
        entry: for a user's task the class, or the id that the user's file registered.

    Raises:
        UsageError: there is no such environment, or its package is missing.
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
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"known ids: {', '.join(REGISTRY)}, and those of `poolrl tasks --all`"
        raise UsageError(
            f"task.id: unknown task {name!r}; {f'did you mean {close[0]}?' if close else hint}"
        )
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
            warnings.simplefilter("ignore")  # of displays that are not there
            try:
                import_module(package.module)
            except Exception as error:
                text = " ".join(f"{type(error).__name__}: {error}".split())
                raise UsageError(
                    f"task.id: {task_id}: cannot import {package.module}: {text}"
                ) from error


def _choose_renderer() -> None:
    """Without a display, have MuJoCo draw without one too: some of dm_control's tasks need its
    renderer even if nobody looks, and with the default one they end the process."""
    if sys.platform == "linux" and not os.environ.get("DISPLAY"):
        os.environ.setdefault("MUJOCO_GL", "egl" if find_library("EGL") else "disable")


def missing_extra(spec: EnvSpec) -> str | None:
    """The extra of poolrl that one of Gymnasium's own environments needs and that is not there."""
    for module, (required, extra) in REQUIRED.items():
        if str(spec.entry_point).startswith(module) and find_spec(required) is None:
            return extra
    return None


def arguments(spec: EnvSpec) -> tuple[dict[str, inspect.Parameter], bool]:
    """The keyword arguments of an environment by name, and whether it may take others too."""
    entry = spec.entry_point
    creator = load_env_creator(entry) if isinstance(entry, str) else entry
    assert creator is not None
    parameters = inspect.signature(creator).parameters.values()
    named = {p.name: p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    return named, any(p.kind is p.VAR_KEYWORD for p in parameters)


def _missing(task_id: str, extra: str) -> UsageError:
    return UsageError(
        f"task.id: {task_id} needs a package that is not installed: pip install 'poolrl[{extra}]'"
    )
