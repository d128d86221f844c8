"""Files that somebody else may have written: read with a limit, and only where they are plain."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

# The most bytes that are read, so that no file takes the memory of whoever looks at it.
SPECIFICATION = 2**20
"""Of a configuration, ``pool.toml`` or ``run.toml``."""
RECORD = 2**24
"""Of a unit's record; one with the most episodes that there may be takes a fifth of it."""
MERGE = 2**26
"""Of a merge; one with the most branches that there may be takes half of it."""
AGENT = 2**31
"""Of an agent, which the largest network with its optimiser's moments stays below."""

_EXPLAINED = {errno.ELOOP: "a symbolic link", errno.ENXIO: "no plain file"}


class Strange(ValueError):
    """What is there cannot be read as a file: a link, a pipe, a device, or far too large."""


def read_plain(path: str | Path, most: int, *, follow: bool = True) -> bytes:
    """Read a file whole; a pipe or a device is refused at once instead of being waited for.

    Args:
        path: of the file.
        most: the most bytes that it may have.
        follow: whether the last part of the path may be a symbolic link.

    Raises:
        OSError: the file system refused.
        Strange: there is no plain file, or it is too large; the path is not named.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        if error.errno == errno.ENXIO or (error.errno == errno.ELOOP and not follow):
            raise Strange(_EXPLAINED[error.errno]) from error
        raise
    except ValueError as error:  # a NUL, or what is no text for the file system
        raise Strange("no name of a file") from error
    try:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise Strange(os.strerror(errno.EISDIR))
        if not stat.S_ISREG(status.st_mode):
            raise Strange(_EXPLAINED[errno.ENXIO])
        if status.st_size <= most:
            with open(descriptor, "rb", closefd=False) as file:
                data = b""
                # Never more memory than there is file: room for `most` may not be had.
                while len(data) <= most and (more := file.read(status.st_size + 1)):
                    data += more
            if len(data) <= most:
                return data
    finally:
        os.close(descriptor)
    raise Strange(f"larger than the {most:,} bytes that it may have")


def absolute(text: str) -> str:
    """A path, maybe from ``~``, that means the same from wherever a process stands; what is no path
    stays as it is."""
    try:
        return os.path.realpath(os.path.expanduser(text))
    except ValueError:
        return text


def printable(text: str, most: int = 2000) -> str:
    """Somebody else's words as a part of one line: without what moves a terminal's cursor."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"
