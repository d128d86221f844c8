"""Optional dependencies: what needs one says in one line which extra brings it."""

from __future__ import annotations

from importlib.util import find_spec

from poolrl.errors import UsageError


class MissingExtra(UsageError):
    """A module of an extra is not installed.

    Attributes:
        extra: of poolrl that brings it.
    """

    def __init__(self, text: str, extra: str) -> None:
        super().__init__(text)
        self.extra = extra


def require(module: str, extra: str, need: str) -> None:
    """Check that a module of an extra is installed.

    Args:
        module: as it is imported.
        extra: of poolrl that brings it.
        need: what needs what, as in "videos need PyAV".

    Raises:
        MissingExtra: it is not installed; names the extra.
    """
    if find_spec(module) is None:
        raise MissingExtra(
            f"{need}, which is not installed: pip install 'poolrl[{extra}]' (in a clone, "
            f"pip install -c constraints.txt -e '.[{extra}]')",
            extra,
        )
