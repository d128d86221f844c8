"""Closing of tasks by those who made them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from poolrl.config.schema import World
from poolrl.errors import PoolrlError, one_line
from poolrl.tasks.base import Task, call_optional
from poolrl.tasks.permissions import USER_TASKS, blamed
from poolrl.trusted_code import TrustedCode

log = logging.getLogger("poolrl.tasks")


def close(task: Task, world: World, *, code: TrustedCode = USER_TASKS) -> None:
    """Close a task; an error of it becomes a warning of one line, since results do not depend on
    it.

    Args:
        task: that was made for ``world``.
        world: for the warning.
        code: holds the permissions to run users' code.
    """
    try:
        with blamed(world, code=code):
            call_optional(task, "close")
    except PoolrlError as error:
        _warn(f"task: {world.id} could not be closed: {error}")
    except (Exception, SystemExit) as error:
        _warn(f"task: {world.id} could not be closed: {one_line(error)}")


@contextmanager
def closing(task: Task, world: World, *, code: TrustedCode = USER_TASKS) -> Iterator[Task]:
    """Close a task at the end of a block, however it ends.

    Args:
        task, world, code: as for ``close``.
    """
    try:
        yield task
    finally:
        close(task, world, code=code)


@lru_cache(maxsize=64)
def _warn(text: str) -> None:
    """Log a warning once: the check alone closes four objects."""
    log.warning("%s", text)
