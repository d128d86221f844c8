"""Which networks may run a user's code; the command line permits what was named on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from msgspec.structs import replace

from poolrl.config.networks import ModuleSpec, NetworkSpec
from poolrl.errors import UsageError
from poolrl.extras import require
from poolrl.process_state import PROCESS_STATE
from poolrl.trusted_code import PermittedCode, TrustedCode, absolute, is_same_code

_KEY = "network.source"


def _base_classes() -> tuple[type, ...]:
    from torch import nn

    return (nn.Module,)


USER_NETWORKS = TrustedCode(_KEY, base_classes=_base_classes, base_name="torch.nn.Module")
"""The users' networks that this process may run."""


def require_torch(what: str) -> None:
    """Check that torch is installed.

    Args:
        what: needs it.

    Raises:
        UsageError: it is not; names the extra.
    """
    require("torch", "torch", f"{what} needs torch")


def same(named: str, network: NetworkSpec) -> bool:
    """Whether a name on the command line means a network's code: by its path, or, where the file
    has moved, by its class and the SHA-256 of its file.

    Raises:
        UsageError: the file that is named cannot be found or read.
    """
    if not isinstance(network, ModuleSpec):
        return False
    recorded = absolute(network.source)
    return is_same_code(absolute(named), recorded, network.source_sha256, _KEY)


def permit(network: NetworkSpec, named: str | None = None, *, trust: bool = False) -> NetworkSpec:
    """Permit a network to run the user's code that it names, if the command line says so.

    Args:
        network: possibly read from a pool or an agent file.
        named: the network that was named on the command line.
        trust: whether the command line trusts the network, whatever it names.

    Returns:
        The network, with the SHA-256 of the user's file.

    Raises:
        UsageError: the command line named another network or none, the code cannot be loaded, or
            torch is not installed.
        IncompatiblePool: the file has another SHA-256 than the network says; none of it was run.
    """
    if not isinstance(network, ModuleSpec):
        if named is not None:
            raise UsageError(f"--network {named}: the network is of poolrl's own")
        return network
    if named is not None and not same(named, network):
        raise UsageError(f"--network {named}: the network is {network.source}")
    if named is None and not trust:
        raise UsageError(
            f"network.source: {network.source} runs a user's code, and so must be named on the "
            f"command line: add --network {network.source}, or --trust"
        )
    require_torch("a user's own network")
    digest = USER_NETWORKS.permit(network.source, named, network.source_sha256)
    return replace(network, source_sha256=digest)


def permitted(network: ModuleSpec) -> PermittedCode:
    """Return what was loaded for a network that was permitted.

    Raises:
        UsageError: it was not permitted.
    """
    known = USER_NETWORKS.permitted(network.source, network.source_sha256)
    if known is None:
        permit(network)  # raises, with the reason
        raise UsageError(f"network.source: {network.source} was not permitted")
    return known


@contextmanager
def blamed(network: NetworkSpec) -> Iterator[None]:
    """Convert an exception in a user's network into one line with its file and line number, and
    keep the process as it is meanwhile.

    Raises:
        UsageError: names file and line.
    """
    if not isinstance(network, ModuleSpec):
        yield
        return
    with USER_NETWORKS.blamed(network.source), PROCESS_STATE.lent():
        yield
