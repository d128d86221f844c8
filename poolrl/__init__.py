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
    from poolrl.api import Pool, evaluate, train

__all__ = ["Agent", "Pool", "__version__", "evaluate", "load", "train"]


def load(path: Any, *, network: str | None = None, trust: bool = False) -> Agent:
    """Read an agent file: ``poolrl.load(path).act(observations)``.

    Args:
        path: of the file.
        network: ``FILE.py:CLASS``, to let an agent's network run if it is this user's module.
        trust: let a user's network run, whatever it is.

    Raises:
        poolrl.errors.UsageError: the file cannot be read, is not that of an agent, or its network
            is another one.
        poolrl.errors.IncompatiblePool: the network's file is not the one that was recorded.
    """
    from poolrl.agent import Agent

    agent = Agent.load(path)
    if network is not None or trust:
        from poolrl.networks.permissions import permit

        permit(agent.metadata.network, network, trust=trust)
    return agent


def __getattr__(name: str) -> Any:
    # Lazy, so that `poolrl --help` does not import NumPy.
    if name == "Agent":
        from poolrl.agent import Agent

        return Agent
    if name in ("Pool", "evaluate", "train"):
        from poolrl import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
