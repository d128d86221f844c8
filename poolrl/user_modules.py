"""Users' files as modules that child processes can import.

A child process that ``multiprocessing`` makes by ``spawn`` or ``forkserver`` imports, by its name,
the module of each function and class that it is sent. The modules of users' files are named as if
they were in this one, which therefore is a package; its import in the child installs a finder that
runs the files that the parent had permission to run, if they still have the same SHA-256. An
environment variable tells it which these are.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

__path__: list[str] = []  # makes this module a package

VARIABLE = "POOLRL_PERMITTED_FILES"
"""Environment variable: a JSON object of names of modules, each with the file and its SHA-256."""


def module_name(file: Path) -> str:
    """Return the name of the module of a file, which differs from that of any other file."""
    stem = re.sub(r"\W", "_", file.parent.name if file.name == "__init__.py" else file.stem)
    return f"{__name__}.{stem}_{hashlib.sha256(str(file).encode()).hexdigest()[:16]}"


def announce(name: str, file: Path, sha256: str) -> None:
    """Let the child processes of this one import a file that it has permission to run.

    Args:
        name: of the module.
        file: to run for it.
        sha256: of the file.
    """
    os.environ[VARIABLE] = json.dumps(_announced() | {name: [str(file), sha256]})


def fill(module: ModuleType, file: Path, data: bytes, package: str = "") -> None:
    """Run the content of a file in a new module.

    Args:
        module: the module.
        file: the file.
        data: its content.
        package: name of the package that the file is in.
    """
    is_package = file.name == "__init__.py"
    module.__file__ = str(file)
    module.__package__ = module.__name__ if is_package else package
    if is_package:
        module.__path__ = [str(file.parent)]
    exec(compile(data, str(file), "exec"), module.__dict__)


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith(f"{__name__}.") or fullname not in (announced := _announced()):
            return None
        return ModuleSpec(fullname, _FileLoader(*announced[fullname]))


class _FileLoader(Loader):
    def __init__(self, file: str, sha256: str) -> None:
        self._file = Path(file)
        self._sha256 = sha256

    def exec_module(self, module: ModuleType) -> None:
        data = self._file.read_bytes()
        if hashlib.sha256(data).hexdigest() != self._sha256:
            raise ImportError(f"{self._file} has changed since it was permitted to run")
        fill(module, self._file, data)


def _announced() -> dict[str, list[str]]:
    announced: dict[str, list[str]] = json.loads(os.environ.get(VARIABLE) or "{}")
    return announced


sys.meta_path.append(_Finder())
