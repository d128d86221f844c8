"""List the available tasks, and describe one of them."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete
from msgspec import Struct
from msgspec.structs import replace

from poolrl.config.schema import World
from poolrl.errors import UsageError
from poolrl.extras import MissingExtra
from poolrl.process_state import PROCESS_STATE
from poolrl.spaces import ActionSpace, without_vast
from poolrl.tasks.base import Task
from poolrl.tasks.closing import closing
from poolrl.tasks.factory import make
from poolrl.tasks.gymnasium_ids import (
    PACKAGES,
    REFUSED,
    Package,
    arguments,
    creator_of,
    environment_spec,
    import_package,
    missing_extra,
)
from poolrl.tasks.permissions import blamed, permitted
from poolrl.tasks.registry import REGISTRY, NoTimeLimit, keyword_arguments, task_class
from poolrl.trusted_code import names_code


class Entry(Struct, frozen=True):
    """A task in a list.

    Attributes:
        id: its id.
        origin: "native" for poolrl's own, else the package that it is adapted from.
        observation_size, action: its spaces; ``None`` where the task must be created to know them.
        max_episode_steps: time limit in control steps; ``None`` as above.
        missing: the extra of poolrl that it needs, if that is not installed.
    """

    id: str
    origin: str
    observation_size: int | None = None
    action: str | None = None
    max_episode_steps: int | None = None
    missing: str | None = None


class Description(Struct, frozen=True):
    """A single task in detail.

    Attributes:
        id: its id.
        origin: as for ``Entry``, or the file of a user's own task.
        summary: first paragraph of its docstring.
        observation, action: its spaces with their bounds; ``None`` where they follow from arguments
            without a default.
        max_episode_steps: time limit in control steps; ``None`` where it must be set.
        arguments: name -> type and default.
        needs: the message about the first argument that it cannot do without, if there is one.
    """

    id: str
    origin: str
    summary: str
    observation: str | None
    action: str | None
    max_episode_steps: int | None
    arguments: dict[str, str]
    needs: str | None = None


def entries(*, everything: bool = False) -> list[Entry]:
    """List the native tasks; with ``everything`` also the adapted ones, without creating them."""
    found = []
    for task_id, (_, limit) in REGISTRY.items():
        try:
            task = make(task_id, 1)
        except MissingExtra as error:
            missing = f"poolrl[{error.extra}]"
            found.append(Entry(task_id, "native", max_episode_steps=limit, missing=missing))
            continue
        except UsageError:  # its model must be passed as an argument
            found.append(Entry(task_id, "native", max_episode_steps=limit))
            continue
        size = task.observation_space.shape[0]
        action = short(task.action_space)
        task.close()
        found.append(Entry(task_id, "native", size, action, limit))
    return found + _adapted() if everything else found


def families() -> dict[str, str]:
    """Map each package that tasks are adapted from to the extra to install, "" if installed."""
    found = {"gymnasium": ""}
    return found | {p.requires: "" if _is_installed(p) else f"poolrl[{p.extra}]" for p in PACKAGES}


def describe(world: World) -> Description:
    """Describe a task: spaces, arguments and documentation.

    Args:
        world: a user's own task must have been permitted.

    Raises:
        UsageError: there is no such task, or it cannot be created.
    """
    parameters: Mapping[str, inspect.Parameter]
    documented: Any
    entry: Any = None
    if world.id in REGISTRY:
        entry, origin = task_class(world.id), "native"
    elif names_code(world.id):
        known = permitted(world)
        entry, origin = known.entry, str(known.file)
    if isinstance(entry, type) and issubclass(entry, Task):
        parameters, documented = keyword_arguments(entry), entry
    else:
        with blamed(world):  # the package of an id may be imported
            spec = environment_spec(world.id, entry)
            creator = creator_of(spec)
        documented = getattr(creator, "func", creator)  # of a functools.partial
        origin = origin if entry else _origin(world.id)
        parameters = {
            name: p.replace(default=spec.kwargs.get(name, p.default))
            for name, p in arguments(spec)[0].items()
            if name != "render_mode"
        }
    described = Description(
        id=world.id,
        origin=origin,
        summary=_summary(documented),
        observation=None,
        action=None,
        max_episode_steps=REGISTRY[world.id][1] if world.id in REGISTRY else None,
        arguments={name: _argument(p) for name, p in parameters.items()},
    )
    try:
        made, limit = _made(world)
    except MissingExtra:
        raise
    except UsageError as error:
        if world.id not in REGISTRY:
            raise
        return replace(described, needs=str(error))
    with closing(made, world) as task, blamed(world):
        return replace(
            described,
            observation=_long(task.observation_space),
            action=_long(task.action_space),
            max_episode_steps=limit,
        )


def _made(world: World) -> tuple[Task, int | None]:
    """Create a task, if need be with a time limit that stands in for its missing one; return the
    limit of its own too."""
    with blamed(world):
        try:
            task = make(world, 1)
        except NoTimeLimit:
            return make(replace(world, max_episode_steps=1), 1), None
    return task, task.max_episode_steps


def short(space: ActionSpace) -> str:
    """Format a space briefly: ``Box 6``, ``Discrete 2``, ``MultiDiscrete 2×3``."""
    if isinstance(space, Box):
        return f"Box {space.shape[0]}"
    if isinstance(space, Discrete):
        return f"Discrete {space.n}"
    return f"MultiDiscrete {'×'.join(map(str, space.nvec))}"


def _long(space: ActionSpace) -> str:
    text = short(space)
    if isinstance(space, Discrete) and space.start:
        return f"{text}, from {space.start}"
    if not isinstance(space, Box):
        return text
    low, high = without_vast(space.low, space.high)
    if not (np.isfinite(low).any() or np.isfinite(high).any()):
        return f"{text}, unbounded"
    return f"{text}, from {_numbers(low)} to {_numbers(high)}"


def _numbers(values: Iterable[Any]) -> str:
    numbers = [f"{value:.6g}" for value in values]
    return numbers[0] if len(set(numbers)) == 1 else f"({', '.join(numbers)})"


def _adapted() -> list[Entry]:
    with PROCESS_STATE.lent():
        for package in PACKAGES:
            if _is_installed(package):
                import_package(package.prefixes[0])
    found = []
    for task_id, spec in gymnasium.registry.items():
        # Ids of removed environments are registered with a function that raises.
        removed = getattr(spec.entry_point, "__name__", "").startswith("_raise")
        if task_id not in REGISTRY and not removed and not task_id.startswith(REFUSED):
            extra = missing_extra(spec)
            found.append(
                Entry(
                    task_id,
                    _origin(task_id),
                    max_episode_steps=spec.max_episode_steps,
                    missing=f"poolrl[{extra}]" if extra else None,
                )
            )
    return found


def _origin(task_id: str) -> str:
    names = (p.requires for p in PACKAGES if task_id.startswith(p.prefixes))
    return next(names, "gymnasium")


def _is_installed(package: Package) -> bool:
    return find_spec(package.requires) is not None and find_spec(package.module) is not None


def _summary(documented: Any) -> str:
    text = inspect.getdoc(documented) or ""
    paragraphs = (part for part in text.split("\n\n") if part and not part.startswith("#"))
    return " ".join(next(paragraphs, "").split())


def _argument(parameter: inspect.Parameter) -> str:
    annotation, default = parameter.annotation, parameter.default
    kind = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    if annotation is parameter.empty:
        kind = type(default).__name__ if default is not parameter.empty else ""
    text = "" if default is parameter.empty else f" = {default!r}"
    return f"{kind}{text}".strip()
