"""poolrl: train control policies in MuJoCo with a pool of processes that branch and merge."""

from __future__ import annotations

import sys

if sys.argv[:1] == ["-m"]:  # `python -m` is about to run a module, of poolrl or of a user of it
    from poolrl import import_path

    if import_path.starts_as_module():
        import_path.leave_out_working_directory()  # before the next import looks there

from typing import TYPE_CHECKING, Any

from poolrl._version import __version__

if TYPE_CHECKING:
    from poolrl.agent import Agent

__all__ = ["Agent", "__version__", "load"]


def load(path: Any) -> Agent:
    """Read an agent file: ``poolrl.load(path).act(observations)``.

    Raises:
        poolrl.errors.UsageError: the file cannot be read, or is not that of an agent.
    """
    from poolrl.agent import Agent

    return Agent.load(path)


def __getattr__(name: str) -> Any:
    # Lazy, so that `poolrl --help` does not import NumPy.
    if name == "Agent":
        from poolrl.agent import Agent

        return Agent
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
