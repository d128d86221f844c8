"""Models that lie elsewhere than a pool has recorded: for this process alone, since where a model
lies is no part of what a pool computes, but stands in its specification and in its agents."""

from __future__ import annotations

from typing import Any

from poolrl import files
from poolrl.config.schema import World
from poolrl.errors import UsageError

_places: dict[str, str] = {}
"""recorded path -> where the model lies here"""


def move_model(world: World, arguments: dict[str, Any]) -> None:
    """Take the model of a recorded world from where it lies here.

    Whether it is the same model is for the caller to see, by its fingerprint.

    Args:
        world: of a pool.
        arguments: of the command line, where none but ``xml_file`` has any business.

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
        _places[recorded] = files.absolute(value)


def place(xml_file: str) -> str:
    """Where a recorded model lies here."""
    return _places.get(xml_file, xml_file)


def new_place(world: World) -> str | None:
    """Where a world's model has been moved to; ``None`` where it has not."""
    recorded = world.kwargs.get("xml_file")
    return _places.get(recorded) if isinstance(recorded, str) else None
