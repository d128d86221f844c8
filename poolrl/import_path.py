"""Python's path for imports, without the files that merely lie in the working directory.

``python -m poolrl`` puts the working directory first in ``sys.path``, and so does an empty entry of
PYTHONPATH: a ``statistics.py`` there would be imported in place of Python's own.
This module runs before the rest of the package, and imports nothing that Python has not loaded.
"""

import os
import site
import sys


def leave_out_working_directory() -> None:
    """Remove the working directory from ``sys.path``, where ``-m`` or an empty entry of PYTHONPATH
    has put it, and the empty entries from PYTHONPATH, which other processes inherit.

    A directory that PYTHONPATH names stays. Where the working directory is poolrl's own folder and
    poolrl is not installed, it comes last instead of first, and into PYTHONPATH for workers.
    """
    try:
        here = os.path.realpath(os.getcwd())
    except OSError:  # it was removed
        here = ""
    given = os.environ.get("PYTHONPATH", "")
    named = [folder for folder in given.split(os.pathsep) if folder]
    named_here = here in map(os.path.realpath, named)
    if given and given != os.pathsep.join(named):
        if not named_here and here not in map(os.path.realpath, site.getsitepackages()):
            sys.path[:] = [folder for folder in sys.path if os.path.realpath(folder) != here]
        _set_python_path(named)
    if starts_as_module() and sys.path and os.path.realpath(sys.path[0]) == here:
        del sys.path[0]
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if os.path.realpath(root) == here and here not in map(os.path.realpath, sys.path):
        sys.path.append(root)
        _set_python_path([root, *named])


def starts_as_module() -> bool:
    """Whether this process runs ``python -m poolrl``, or a module of it, and is still at its first
    imports."""
    if sys.argv[:1] != ["-m"] or sys.flags.safe_path:
        return False
    words = sys.orig_argv
    return any(
        word.startswith("-mpoolrl")
        or (
            word.partition(".")[0] == "poolrl"
            and before.startswith("-")
            and before.endswith("m")  # -m, or -um
        )
        for before, word in zip(["", *words], words, strict=False)
    )


def python_command(module: str) -> list[str]:
    """Return the command that runs a module with this Python, and imports nothing from the working
    directory."""
    return [sys.executable, "-P", "-m", module]


def _set_python_path(folders: list[str]) -> None:
    if folders:
        os.environ["PYTHONPATH"] = os.pathsep.join(folders)
    else:
        del os.environ["PYTHONPATH"]
