"""What a check of a file system found."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

Level = Literal["ok", "note", "warning", "refused"]

_ADVICE = {
    errno.ENOSPC: "make room, blocks or inodes, or take another file system",
    errno.EDQUOT: "the quota is used up; make room, or take another file system",
    errno.EROFS: "mount it writable, or take another directory",
    errno.EACCES: "take a directory that you may write to",
    errno.EPERM: "take another file system",
}


class Finding(msgspec.Struct, frozen=True):
    """One check's result.

    Attributes:
        check: its name.
        level: ``refused`` where no pool can be safe here.
        found: what was seen.
        advice: what to do, or what it means; empty where there is nothing to.
    """

    check: str
    level: Level
    found: str
    advice: str = ""


def refusal(check: str, error: OSError) -> Finding:
    """A call that a pool cannot do without has failed."""
    advice = _ADVICE.get(error.errno or 0, "a pool needs this; take another file system")
    return Finding(check, "refused", f"{check}: {error.strerror or error}", advice)


def tried(name: str, check: Callable[[Path], Finding], folder: Path) -> Finding:
    """Do a check; an error of the file system that it does not expect is a refusal."""
    try:
        return check(folder)
    except OSError as error:
        return refusal(name, error)
