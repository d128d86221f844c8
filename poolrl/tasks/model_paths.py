"""Paths of model files: made absolute, and mapped where a file has moved.

The path of a model has no effect on a pool's results, but is recorded in its specification and its
agents. So a file that has moved is mapped in this process only, and the record does not change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from poolrl import files
from poolrl.config.schema import World
from poolrl.errors import UsageError


class ModelPaths:
    """Recorded paths of models -> their paths on this machine."""

    def __init__(self) -> None:
        self._moved: dict[str, str] = {}

    def move(self, recorded: str, path: str) -> None:
        """Map a recorded path to another one, which is made absolute."""
        self._moved[recorded] = files.absolute(path)

    def moved(self, recorded: str) -> str | None:
        """Return the path that a recorded one is mapped to; ``None`` where there is none."""
        return self._moved.get(recorded)

    def resolve(self, recorded: str) -> str:
        """Return the path of a recorded model on this machine."""
        return self._moved.get(recorded, recorded)


MODEL_PATHS = ModelPaths()
"""The models that have moved, for the functions below and ``poolrl.tasks.make``."""


def move_model(
    world: World, arguments: dict[str, Any], *, model_paths: ModelPaths = MODEL_PATHS
) -> None:
    """Map the path of a recorded world's model to its new path.

    Whether both are the same model is for the caller to check, by ``fingerprint``.

    Args:
        world: of a pool.
        arguments: of the command line; only ``xml_file`` is permitted.
        model_paths: where the new path is stored.

    Raises:
        UsageError: there is another argument, or the world names no file.
    """
    for name, value in arguments.items():
        recorded = world.kwargs.get(name)
        if name != "xml_file" or not isinstance(value, str):
            raise UsageError(
                f"--task-arg {name}: a pool's arguments are its own; none but xml_file=PATH may "
                f"be given, where the model has moved"
            )
        if not isinstance(recorded, str):
            raise UsageError(f"--task-arg {name}: the pool's task, {world.id}, names no such file")
        model_paths.move(recorded, value)


def new_place(world: World, *, model_paths: ModelPaths = MODEL_PATHS) -> str | None:
    """Return the path that a world's model was moved to; ``None`` where it was not."""
    recorded = world.kwargs.get("xml_file")
    return model_paths.moved(recorded) if isinstance(recorded, str) else None


def with_absolute_paths(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Make the model's path absolute in keyword arguments, for workers with another working
    directory."""
    file = kwargs.get("xml_file")
    if not isinstance(file, str) or not file.startswith((".", "~")):
        return dict(kwargs)
    return {**kwargs, "xml_file": files.absolute(file)}
