"""Paths of models and other files: made absolute, and mapped where a file has moved.

The path of a file has no effect on a pool's results, but is recorded in its specification and its
agents. So a file that has moved is mapped in this process only, and the record does not change.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from poolrl import files
from poolrl.config.schema import World
from poolrl.errors import UsageError
from poolrl.tasks.registry import REGISTRY

FILE_ARGUMENTS = ("xml_file", "clips", "decoder")
"""Arguments of poolrl's own tasks that are paths of files: of a model, which may also be an asset's
name, of recorded movements and of an agent. Their content is in the hash that a pool records."""


class ModelPaths:
    """Recorded paths of files -> their paths on this machine."""

    def __init__(self) -> None:
        self._moved: dict[str, str] = {}

    def move(self, recorded: str, path: str) -> None:
        """Map a recorded path to another one, which is made absolute."""
        self._moved[recorded] = files.absolute(path)

    def moved(self, recorded: str) -> str | None:
        """Return the path that a recorded one is mapped to; ``None`` where there is none."""
        return self._moved.get(recorded)

    def resolve(self, recorded: str) -> str:
        """Return the path of a recorded file on this machine."""
        return self._moved.get(recorded, recorded)

    def resolved(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return a task's arguments with the paths on this machine."""
        return {
            name: self.resolve(value) if isinstance(value, str) else value
            for name, value in kwargs.items()
        }

    def folders(self, kwargs: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Return the folders of the files that have moved: those here, and the recorded ones."""
        moved = [(self._moved.get(value), value) for value in kwargs.values() if _is_text(value)]
        return [(os.path.dirname(here), os.path.dirname(there)) for here, there in moved if here]


MODEL_PATHS = ModelPaths()
"""The files that have moved, for the functions below and ``poolrl.tasks.make``."""


def move_model(
    world: World, arguments: dict[str, Any], *, model_paths: ModelPaths = MODEL_PATHS
) -> None:
    """Map the path of a recorded world's model, or of another file of a user's task, to its new
    path.

    Whether both are the same model is for the caller to check, by ``fingerprint``.

    Args:
        world: of a pool.
        arguments: of the command line; ``xml_file`` and others of ``FILE_ARGUMENTS``, and arguments
            of tasks other than poolrl's for which the pool records an absolute path.
        model_paths: where the new path is stored.

    Raises:
        UsageError: there is another argument, or the world names no file.
    """
    for name, value in arguments.items():
        recorded = world.kwargs.get(name)
        is_file = names_hashed_file(world, name) or names_other_file(world, name)
        if not is_file or not isinstance(value, str):
            raise UsageError(
                f"--task-arg {name}: a pool's arguments are its own; none but paths of files that "
                "have moved may be given, such as xml_file=PATH"
            )
        if not isinstance(recorded, str):
            raise UsageError(f"--task-arg {name}: the pool's task, {world.id}, names no such file")
        model_paths.move(recorded, value)


def names_hashed_file(world: World, name: str) -> bool:
    """Whether an argument is the path of a file whose content is in the hash of a task's model."""
    return name == "xml_file" or (world.id in REGISTRY and name in FILE_ARGUMENTS)


def names_other_file(world: World, name: str) -> bool:
    """Whether an argument of a task other than poolrl's is recorded as an absolute path."""
    recorded = world.kwargs.get(name)
    return world.id not in REGISTRY and isinstance(recorded, str) and os.path.isabs(recorded)


def new_places(world: World, *, model_paths: ModelPaths = MODEL_PATHS) -> dict[str, str]:
    """Return the arguments of a world whose files have moved, with their new paths."""
    moved = {
        name: model_paths.moved(value) for name, value in world.kwargs.items() if _is_text(value)
    }
    return {name: path for name, path in moved.items() if path is not None}


def new_place(world: World, *, model_paths: ModelPaths = MODEL_PATHS) -> str | None:
    """Return the path that a world's model was moved to; ``None`` where it was not."""
    return new_places(world, model_paths=model_paths).get("xml_file")


def with_absolute_paths(kwargs: Mapping[str, Any], task_id: str = "") -> dict[str, Any]:
    """Make paths absolute in keyword arguments, for workers with another working directory.

    Of a native task, ``xml_file`` is a path if it begins with ``.`` or ``~``, and the others of
    ``FILE_ARGUMENTS`` always are. Of other tasks, every text is one, at any depth, that begins with
    ``./``, ``../`` or ``~/`` or names a file that exists; a folder must exist and its name contain
    ``/`` or be ``.`` or ``..``, since a plain word may well be no path.

    Args:
        kwargs: of the task.
        task_id: a native task's by default.
    """
    if task_id and task_id not in REGISTRY:
        return {name: _absolute_in(value, name) for name, value in kwargs.items()}
    return {
        name: files.absolute(value) if _is_own_path(name, value) else value
        for name, value in kwargs.items()
    }


def _is_own_path(name: str, value: Any) -> bool:
    """Whether an argument of a native task is a path that may be relative."""
    if name not in FILE_ARGUMENTS or not isinstance(value, str) or not value:
        return False
    return name != "xml_file" or value.startswith((".", "~"))


def _absolute_in(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        return {key: _absolute_in(part, name) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_absolute_in(part, name) for part in value)
    if not isinstance(value, str) or os.path.isabs(value):
        return value
    return files.absolute(value) if _is_path(value, name) else value


def _is_path(text: str, name: str) -> bool:
    if text.startswith(("./", "../", "~/")):
        return True
    path = os.path.expanduser(text)
    if name == "xml_file" and not text.startswith((".", "~")) and _is_asset(text):
        return False
    return os.path.isfile(path) or (
        ("/" in text or text in (os.curdir, os.pardir)) and os.path.isdir(path)
    )


def _is_asset(name: str) -> bool:
    """Whether a model's name is that of one of poolrl's or Gymnasium's, in any folder."""
    spec = find_spec("gymnasium")
    assert spec is not None
    folders = (
        Path(__file__).parent / "mujoco" / "assets",
        Path(str(spec.origin)).parent / "envs" / "mujoco" / "assets",
    )
    return any(os.path.isfile(folder / name) for folder in folders)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)
