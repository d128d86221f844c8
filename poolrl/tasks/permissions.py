"""Which worlds may run a user's code, or hand a file to a package that may load objects from it.

The command line permits what was named on it, or everything under ``--trust``. Each function takes
a ``TrustedCode`` that holds the permissions; ``USER_TASKS`` is the one that is used by default.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium
import msgspec

from poolrl.config.schema import World
from poolrl.errors import UsageError
from poolrl.process_state import PROCESS_STATE
from poolrl.tasks.base import Task
from poolrl.tasks.registry import REGISTRY
from poolrl.trusted_code import PermittedCode, TrustedCode, absolute, is_same_code, names_code

_KEY = "task.id"

USER_TASKS = TrustedCode(
    _KEY,
    base_classes=lambda: (Task, gymnasium.Env),
    base_name="poolrl.tasks.Task",
    is_registered=lambda name: name in gymnasium.registry,
)
"""The users' tasks that this process may run."""


def same(named: str, world: World) -> bool:
    """Whether a name on the command line means a world's task.

    It does by its id, which may go through links, or, where the file has moved, by its class and
    the SHA-256 of its file.

    Raises:
        UsageError: the file that is named cannot be found or read.
    """
    named = absolute(named)
    if named == absolute(world.id):
        return True
    if not (names_code(named) and names_code(world.id)) or not world.source_sha256:
        return False
    return is_same_code(named, world.id, world.source_sha256, _KEY)


def needs_permission(world: World) -> bool:
    """Whether a world names code, or gives a file to a package other than poolrl: some packages
    load Python objects from files."""
    if names_code(world.id):
        return True
    return world.id not in REGISTRY and any(map(_may_be_a_file, _strings(world.kwargs)))


def permit(
    world: World,
    named: str | None = None,
    *,
    trust: bool = False,
    code: TrustedCode = USER_TASKS,
) -> World:
    """Permit a world to run the user's code that it names, if the command line says so.

    Args:
        world: possibly read from a pool or an agent file.
        named: the task that was named on the command line.
        trust: whether the command line trusts the world, whatever it names.
        code: holds the permissions.

    Returns:
        The world, with the SHA-256 of the user's file.

    Raises:
        UsageError: the command line named another task or none, or the code cannot be loaded.
        IncompatiblePool: the file has another SHA-256 than the world says; none of it was run.
    """
    if named is not None and not same(named, world):
        raise UsageError(f"--task {named}: the task is {world.id}")
    if not needs_permission(world):
        return world
    if named is None and not trust:
        reason = "runs a user's code" if names_code(world.id) else "is given a file to load"
        raise UsageError(
            f"task.id: {world.id} {reason}, and so must be named on the command line: add "
            f"--task {world.id}, or --trust"
        )
    if not names_code(world.id):
        code.permit_installed(world.id)
        return world
    digest = code.permit(world.id, named, world.source_sha256)
    return msgspec.structs.replace(world, source_sha256=digest)


def permitted(world: World, *, code: TrustedCode = USER_TASKS) -> PermittedCode:
    """Return what was loaded for a world that was permitted.

    Args:
        world: that ``needs_permission``.
        code: holds the permissions.

    Raises:
        UsageError: it was not permitted.
    """
    known = code.permitted(world.id, world.source_sha256)
    if known is None:
        permit(world, code=code)  # raises, with the reason
        raise UsageError(f"task.id: {world.id} was not permitted")
    return known


@contextmanager
def blamed(world: World, *, code: TrustedCode = USER_TASKS) -> Iterator[None]:
    """Run the code of others, unless the world is one of poolrl's own: convert an exception in a
    user's code into one line with its file and line number, and lend the state of this process.

    Args:
        world: the world that runs.
        code: holds the permissions.

    Raises:
        UsageError: names file and line.
    """
    if world.id in REGISTRY:
        yield
        return
    with code.blamed(world.id), PROCESS_STATE.lent():
        yield


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in (*value, *value.values()):
            yield from _strings(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _strings(part)


def _may_be_a_file(text: str) -> bool:
    return re.fullmatch(r"[\w-]*", text) is None or os.path.exists(text)
