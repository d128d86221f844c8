"""Run a user's own code, ``path/to/file.py:Class`` or ``package.module:Class``, by permission.

Such a reference may come from a pool or an agent file that was written by another user. So nothing
is run before ``TrustedCode.permit`` was called for it, and only the bytes that were hashed are run.
"""

from __future__ import annotations

import hashlib
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from poolrl import files, user_modules
from poolrl.errors import IncompatiblePool, PoolrlError, UsageError
from poolrl.process_state import PROCESS_STATE


def names_code(reference: str) -> bool:
    """Whether an id is a reference to code, ``file.py:Class`` or ``module:Class``."""
    return ":" in reference


def absolute(reference: str) -> str:
    """Make a reference's path absolute, so that it does not depend on the working directory.

    References to modules, and ids that are no references, are returned as they are.
    """
    location, colon, name = reference.rpartition(":")
    if not colon or not _is_path(location):
        return reference
    return f"{files.absolute(location)}:{name}"


def source(reference: str, key: str) -> Path:
    """Find the file that a reference names, without running any of it.

    Args:
        reference: ``path/to/file.py:Class`` or ``package.module:Class``.
        key: the configuration key that holds the reference, for errors.

    Raises:
        UsageError: the reference is malformed, or there is no such file.
    """
    location, _, name = reference.rpartition(":")
    if not location or not name:
        raise UsageError(f"{key}: {reference!r}: expected path/to/file.py:Class or module:Class")
    if _is_path(location):
        path = Path(files.absolute(location))
        if not os.path.isfile(path):
            raise UsageError(f"{key}: {reference}: no such file: {path}")
        return path
    folders: Any = [*sys.path, str(Path.cwd())]
    spec = None
    # importlib.util.find_spec would import the parent packages, and so run them.
    for i in range(len(parts := location.split("."))):
        spec = PathFinder.find_spec(".".join(parts[: i + 1]), folders) if folders else None
        folders = spec.submodule_search_locations if spec is not None else None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        raise UsageError(f"{key}: {reference}: no module {location} in Python's path")
    return Path(files.absolute(spec.origin))


def sha256(reference: str, key: str) -> str:
    """Compute the SHA-256 of the file that a reference names.

    Args:
        reference: as for ``source``.
        key: as for ``source``.

    Raises:
        UsageError: as for ``source``, or the file cannot be read.
    """
    return hashlib.sha256(_read(source(reference, key), key)).hexdigest()


def is_same_code(named: str, reference: str, recorded: str, key: str) -> bool:
    """Whether two references, absolute ones, mean the same class: by their paths, which may go
    through links, or, where the file has moved, by its SHA-256.

    Args:
        named: on the command line.
        reference: that is recorded.
        recorded: SHA-256 of its file; empty where there is none.
        key: as for ``source``.

    Raises:
        UsageError: the file that is named cannot be found or read.
    """
    location, _, name = named.rpartition(":")
    other, _, own = reference.rpartition(":")
    if name != own:
        return False
    if location == other or files.is_same(location, other):
        return True
    return bool(recorded) and sha256(named, key) == recorded


@dataclass(frozen=True)
class PermittedCode:
    """A permitted reference.

    Attributes:
        entry: the class, or the name that the file registered; ``None`` for an id of an installed
            package, for which nothing was loaded.
        file: the user's file.
        sha256: of the file.
    """

    entry: Any
    file: Path
    sha256: str


class TrustedCode:
    """The references that this process may run, and what was loaded for them.

    Args:
        key: the configuration key that holds a reference, such as ``task.id``, for errors.
        base_classes: returns the classes of which one must be a base of a class that is loaded.
        base_name: public name of the base class that users derive from, for errors.
        is_registered: whether a name that is no attribute of the file was registered by it.
    """

    def __init__(
        self,
        key: str,
        *,
        base_classes: Callable[[], tuple[type, ...]],
        base_name: str,
        is_registered: Callable[[str], bool] = lambda name: False,
    ) -> None:
        self._key = key
        self._base_classes = base_classes
        self._base_name = base_name
        self._is_registered = is_registered
        self._permitted: dict[str, PermittedCode] = {}
        # (name of the module, SHA-256) -> the module that was run.
        self._modules: dict[tuple[str, str], ModuleType] = {}

    def permit(self, reference: str, location: str | None = None, sha256: str = "") -> str:
        """Load the code of a reference, and permit its use from now on.

        Args:
            reference: as it is recorded.
            location: a reference to the same file where it has moved; ``None`` where it has not.
            sha256: the recorded SHA-256 of the file; empty where there is none.

        Returns:
            The SHA-256 of the file.

        Raises:
            UsageError: the code cannot be found or loaded.
            IncompatiblePool: the file has another SHA-256 than the recorded one; none of it was
                run.
        """
        location = absolute(reference if location is None else location)
        file = source(location, self._key)
        data = _read(file, self._key)
        digest = hashlib.sha256(data).hexdigest()
        if sha256 not in ("", digest):
            section = self._key.partition(".")[0]
            raise IncompatiblePool(
                f"{section}.source_sha256: {file} is {digest}, but what was recorded is "
                f"{sha256}: the {section} is another one"
            )
        known = self._permitted.get(reference)
        if known is None or known.sha256 != digest:
            with _blame(file):
                module = self._run(location, file, data, digest)
            entry = self._entry(module, location.rpartition(":")[2], file)
            self._permitted[reference] = PermittedCode(entry, file, digest)
        return digest

    def permit_installed(self, name: str) -> None:
        """Permit an id of an installed package, which is no reference and loads nothing here."""
        self._permitted[name] = PermittedCode(None, Path(), "")

    def permitted(self, reference: str, sha256: str = "") -> PermittedCode | None:
        """Return what was permitted under a reference; ``None`` where nothing was, or where the
        file had another SHA-256 than a recorded one."""
        known = self._permitted.get(reference)
        return None if known is None or sha256 not in ("", known.sha256) else known

    @contextmanager
    def blamed(self, reference: str) -> Iterator[None]:
        """Convert an exception in a user's code into one line with its file and line number.

        It has no effect for a reference that was not permitted, or that loaded nothing.

        Raises:
            UsageError: names file and line.
        """
        known = self._permitted.get(reference)
        if known is None or known.entry is None:
            yield
            return
        with _blame(known.file):
            yield

    def _run(self, reference: str, file: Path, data: bytes, digest: str) -> ModuleType:
        """Run exactly the bytes that were hashed: neither a newer file nor a ``.pyc`` of it."""
        location = reference.rpartition(":")[0]
        if _is_path(location):
            name, folder, package = user_modules.module_name(file), str(file.parent), ""
        else:
            name, folder, package = location, str(Path.cwd()), location.rpartition(".")[0]
        if (name, digest) in self._modules:
            return self._modules[name, digest]
        # So that the file can import its neighbours: those of a link before those of its target.
        for each in (folder, str(file.resolve().parent)) if _is_path(location) else (folder,):
            if each not in sys.path:
                sys.path.append(each)
        if package:
            with PROCESS_STATE.lent():
                import_module(package)
        if _is_path(location):
            user_modules.announce(name, file, digest)  # before it runs: it may start processes
        module = sys.modules[name] = ModuleType(name)
        try:
            with PROCESS_STATE.lent():
                user_modules.fill(module, file, data, package)
                PROCESS_STATE.imported()
        except BaseException:
            del sys.modules[name]
            raise
        self._modules[name, digest] = module
        return module

    def _entry(self, module: ModuleType, name: str, file: Path) -> Any:
        """Return the class of this name, or the name itself where the file registered it."""
        entry = getattr(module, name, None)
        base_classes = self._base_classes()
        if isinstance(entry, type) and issubclass(entry, base_classes):
            return entry
        if entry is None and self._is_registered(name):
            return name
        classes = ", ".join(
            key
            for key, value in vars(module).items()
            if isinstance(value, type)
            and issubclass(value, base_classes)
            and value.__module__ == module.__name__
        )
        what = (
            f"is no class derived from {self._base_name}" if entry is not None else "is not in it"
        )
        raise UsageError(f"{self._key}: {file}: {name} {what}; there: {classes or 'no such class'}")


@contextmanager
def _blame(file: Path) -> Iterator[None]:
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
            raise  # it was not raised through the user's file
        text = " ".join(str(getattr(error, "msg", None) or error).split())
        raise UsageError(f"{file}:{line or 1}: {type(error).__name__}: {text}") from error


def _is_path(location: str) -> bool:
    return location.endswith(".py") or "/" in location or location.startswith("~")


def _read(file: Path, key: str) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise UsageError(f"{key}: {file}: {error.strerror}") from error
