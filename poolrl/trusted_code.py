"""A user's own task, ``path/to/file.py:Class`` or ``package.module:Class``.

Such a task is code, and its id may come from a pool or an agent file that somebody else wrote. So
nothing here runs before ``permit`` was called for it, which the command line does for what was
named on it, or for everything under ``--trust``; and only where the file is still the one that was
recorded.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from poolrl import files
from poolrl.config.schema import World
from poolrl.errors import IncompatiblePool, PoolrlError, UsageError


@dataclass(frozen=True)
class Permitted:
    """What a permitted id stands for.

    Attributes:
        entry: the class, or the id that the file registered with Gymnasium; ``None`` for a task
            of somebody else's package that was merely permitted its arguments.
        file: the user's file.
        sha256: of the file.
    """

    entry: Any
    file: Path
    sha256: str


_permitted: dict[str, Permitted] = {}
_modules: dict[tuple[str, str], ModuleType] = {}
"""(module's name, SHA-256) -> what has run."""


def is_user_task(task_id: str) -> bool:
    """Whether an id names code instead of a registered task."""
    return ":" in task_id


def absolute(task_id: str) -> str:
    """The id that means the same file from wherever a worker stands."""
    place, colon, name = task_id.rpartition(":")
    if not colon or not _is_path(place):
        return task_id
    return f"{files.absolute(place)}:{name}"


def source(task_id: str) -> Path:
    """The file behind a user's task, found without running any of it.

    Raises:
        UsageError: the id is none, or there is no such file.
    """
    place, _, name = task_id.rpartition(":")
    if not place or not name:
        raise UsageError(f"task.id: {task_id!r}: expected path/to/file.py:Class or module:Class")
    if _is_path(place):
        path = Path(files.absolute(place))
        if not os.path.isfile(path):
            raise UsageError(f"task.id: {task_id}: no such file: {path}")
        return path
    folders: Any = [*sys.path, str(Path.cwd())]
    spec = None
    for i in range(len(parts := place.split("."))):  # importing the last one would run the others
        spec = PathFinder.find_spec(".".join(parts[: i + 1]), folders) if folders else None
        folders = spec.submodule_search_locations if spec is not None else None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        raise UsageError(f"task.id: {task_id}: no module {place} in Python's path")
    return Path(spec.origin).resolve()


def sha256(task_id: str) -> str:
    """SHA-256 of the file behind a user's task.

    Raises:
        UsageError: as for ``source``, or the file cannot be read.
    """
    return hashlib.sha256(_read(source(task_id))).hexdigest()


def same(named: str, world: World) -> bool:
    """Whether a name on the command line means a world's task: by its id, or, where the file has
    moved, by its class and its content."""
    named = absolute(named)
    if named == absolute(world.id):
        return True
    if not (is_user_task(named) and is_user_task(world.id)) or not world.source_sha256:
        return False
    if named.rpartition(":")[2] != world.id.rpartition(":")[2]:
        return False
    return sha256(named) == world.source_sha256


def needs_permission(world: World) -> bool:
    """Whether a world names code, or hands a package that is not ours what could be a file: some
    load Python objects from those."""
    if is_user_task(world.id):
        return True
    from poolrl.tasks.registry import REGISTRY

    return world.id not in REGISTRY and any(map(_may_be_a_file, _strings(world.kwargs)))


def permit(world: World, named: str | None = None, *, trust: bool = False) -> World:
    """Let a world run the user's code that it names, if the command line says so.

    Args:
        world: maybe out of a pool or an agent file.
        named: the task that was named on the command line.
        trust: whether the command line trusts the world, whatever it names.

    Returns:
        The world, with the SHA-256 of the user's file.

    Raises:
        UsageError: the command line named another task or none, or the code cannot be loaded.
        IncompatiblePool: the file has another SHA-256 than the world says; none of it has run.
    """
    if named is not None and not same(named, world):
        raise UsageError(f"--task {named}: the task is {world.id}")
    if not needs_permission(world):
        return world
    if named is None and not trust:
        reason = "runs a user's code" if is_user_task(world.id) else "is given a file to load"
        raise UsageError(
            f"task.id: {world.id} {reason}, and so must be named on the command line: add "
            f"--task {world.id}, or --trust"
        )
    if not is_user_task(world.id):
        _permitted[world.id] = Permitted(None, Path(), "")
        return world
    where = absolute(named if named is not None else world.id)
    file = source(where)
    data = _read(file)
    digest = hashlib.sha256(data).hexdigest()
    if world.source_sha256 not in ("", digest):
        raise IncompatiblePool(
            f"task.source_sha256: {file} is {digest}, but what was recorded is "
            f"{world.source_sha256}: the task is another one"
        )
    known = _permitted.get(world.id)
    if known is None or known.sha256 != digest:
        with _blamed(file):
            module = _load(where, file, data, digest)
        entry = _entry(module, where.rpartition(":")[2], file)
        _permitted[world.id] = Permitted(entry, file, digest)
    return msgspec.structs.replace(world, source_sha256=digest)


def permitted(world: World) -> Permitted:
    """What stands behind a world that was permitted.

    Raises:
        UsageError: it was not.
    """
    known = _permitted.get(world.id)
    if known is None or world.source_sha256 not in ("", known.sha256):
        permit(world)  # says why not
        raise UsageError(f"task.id: {world.id} was not permitted")
    return known


@contextmanager
def blamed(world: World) -> Iterator[None]:
    """Turn an exception in a user's code into one line that names its place; nothing for worlds
    without any.

    Raises:
        UsageError: names file and line.
    """
    known = _permitted.get(world.id)
    if known is None or known.entry is None:
        yield
        return
    with _blamed(known.file):
        yield


@contextmanager
def _blamed(file: Path) -> Iterator[None]:
    try:
        yield
    except (PoolrlError, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        line = None
        if isinstance(error, SyntaxError) and error.filename == str(file):
            line = error.lineno
        for frame in traceback.extract_tb(error.__traceback__):
            if frame.filename == str(file):
                line = frame.lineno
        if line is None and not isinstance(error, (SyntaxError, ImportError)):
            raise  # not theirs
        text = " ".join(str(getattr(error, "msg", None) or error).split())
        raise UsageError(f"{file}:{line or 1}: {type(error).__name__}: {text}") from error


def _is_path(place: str) -> bool:
    return place.endswith(".py") or "/" in place or place.startswith("~")


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise UsageError(f"task.id: {file}: {error.strerror}") from error


def _load(task_id: str, file: Path, data: bytes, digest: str) -> ModuleType:
    """Run just the bytes that were hashed: neither a newer file nor a compiled copy beside it."""
    place = task_id.rpartition(":")[0]
    if _is_path(place):
        folder, package = str(file.parent), ""
        name = f"poolrl_user_{hashlib.sha256(str(file).encode()).hexdigest()[:16]}"
    else:
        name, folder, package = place, str(Path.cwd()), place.rpartition(".")[0]
    if (name, digest) in _modules:
        return _modules[name, digest]
    if folder not in sys.path:
        sys.path.append(folder)  # so that the file can import what lies beside it
    if package:
        import_module(package)
    module = ModuleType(name)
    module.__file__ = str(file)
    module.__package__ = name if file.name == "__init__.py" else package
    if file.name == "__init__.py":
        module.__path__ = [str(file.parent)]
    sys.modules[name] = module
    try:
        exec(compile(data, str(file), "exec"), module.__dict__)
    except BaseException:
        del sys.modules[name]
        raise
    _modules[name, digest] = module
    return module


def _entry(module: ModuleType, name: str, file: Path) -> Any:
    """A class derived from ``Task`` or from Gymnasium's ``Env``, or an id that was registered."""
    import gymnasium

    from poolrl.tasks.base import Task

    entry = getattr(module, name, None)
    if isinstance(entry, type) and issubclass(entry, (Task, gymnasium.Env)):
        return entry
    if entry is None and name in gymnasium.registry:
        return name
    classes = ", ".join(
        key
        for key, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, (Task, gymnasium.Env))
        and value.__module__ == module.__name__
    )
    what = "is no class derived from poolrl.tasks.Task" if entry is not None else "is not in it"
    raise UsageError(f"task.id: {file}: {name} {what}; there: {classes or 'no such class'}")


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
