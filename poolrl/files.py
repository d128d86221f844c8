"""Files of users: untrusted ones are plain and of limited size; new ones are whole or not there."""

from __future__ import annotations

import errno
import os
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Limits in bytes, so that no file exhausts the memory of its reader.
SPECIFICATION = 2**20
"""Of a configuration, ``pool.toml`` or ``run.toml``."""
RECORD = 2**24
"""Of a unit's record; one with the most episodes that there may be takes a fifth of it."""
MERGE = 2**26
"""Of a merge; one with the most branches that there may be takes half of it."""
AGENT = 2**31
"""Of an agent, which the largest network with its optimiser's moments stays below."""
ROLLOUT = 2**34
"""Of a rollout: what one branch has sampled."""

_EXPLAINED = {errno.ELOOP: "a symbolic link", errno.ENXIO: "no plain file"}


class NotAPlainFile(ValueError):
    """The path is that of a link, a pipe or a device, or of a file that is too large."""


def read_plain(path: str | Path, most: int, *, follow: bool = True) -> bytes:
    """Read a whole file; a pipe or a device is refused at once, without blocking.

    Args:
        path: path of the file.
        most: maximum size in bytes.
        follow: whether the last part of the path may be a symbolic link.

    Raises:
        OSError: the file cannot be opened or read.
        NotAPlainFile: it is no plain file, or too large; the message does not name the path.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        if error.errno == errno.ENXIO or (error.errno == errno.ELOOP and not follow):
            raise NotAPlainFile(_EXPLAINED[error.errno]) from error
        raise
    except ValueError as error:  # a NUL, or what is no text for the file system
        raise NotAPlainFile("no name of a file") from error
    try:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise NotAPlainFile(os.strerror(errno.EISDIR))
        if not stat.S_ISREG(status.st_mode):
            raise NotAPlainFile(_EXPLAINED[errno.ENXIO])
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
    raise NotAPlainFile(f"larger than the {most:,} bytes that it may have")


def absolute(text: str) -> str:
    """Return an absolute path without ``~``, through folders that are no links.

    The file itself may be a link, since its neighbours are those of the link: a store that keeps
    contents by their hash has none beside the target. What is no path is returned unchanged.
    """
    try:
        path = os.path.expanduser(text)
        folder, name = os.path.split(path)
        if name in ("", os.curdir, os.pardir):
            return os.path.realpath(path)
        return os.path.join(os.path.realpath(folder), name)
    except ValueError:
        return text


def path_text(path: Path) -> str:
    """Return a path as text, with escapes for the bytes that are no text."""
    return os.fsencode(path).decode(errors="backslashreplace")


def is_same(one: str, other: str) -> bool:
    """Whether two paths are those of one file, without ``~`` and links; it need not exist."""
    try:
        return os.path.realpath(os.path.expanduser(one)) == os.path.realpath(
            os.path.expanduser(other)
        )
    except ValueError:
        return False


def printable(text: str, most: int = 2000) -> str:
    """Make untrusted text safe to print within one line: escape control characters.

    Args:
        text: any text.
        most: maximum length in characters; what is longer ends with ``…``.
    """
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a path beside a file's own, which what is written there takes at the end, or nothing.

    A link stays one: the file that it names is replaced.

    Args:
        path: of the file, which may be there.

    Raises:
        OSError: there is no such folder, or something else than a plain file.
    """
    place = Path(os.path.realpath(path))
    if place.exists() and not place.is_file():
        raise OSError(errno.EEXIST, "there is something else than a plain file", str(path))
    temporary = place.with_name(f".tmp-{uuid.uuid4().hex}")
    try:
        yield temporary
        os.replace(temporary, place)
    finally:
        temporary.unlink(missing_ok=True)
