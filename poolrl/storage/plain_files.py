"""File-system calls that the store is built on: retries, their errors, and plain files of folders.

A pool may come from an archive: a folder in it that is a symbolic link leads out of the pool, and
files outside of the pool must not be removed.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TypeVar

from poolrl.errors import PoolrlError, UsageError

T = TypeVar("T")

TRANSIENT = frozenset({errno.ESTALE, errno.EIO, errno.EACCES})
"""Errors that a file server may return once and not again."""

TRIES = 4


class StoreError(PoolrlError):
    """The file system refused a call; the message names the file and the reason."""


def retry(call: Callable[[], T], transient: Collection[int]) -> T:
    """Make a call up to ``TRIES`` times, with growing pauses from 10 ms on.

    Args:
        call: raises OSError where the file system refuses.
        transient: error numbers after which the call is repeated.

    Raises:
        OSError: of the last try, or the first one that is not transient.
    """
    for attempt in range(TRIES - 1):
        try:
            return call()
        except OSError as error:
            if error.errno not in transient:
                raise
        time.sleep(0.01 * 4**attempt)
    return call()


def refused(verb: str, path: Path, error: OSError) -> PoolrlError:
    """The error for a refused call: a ``UsageError`` if the path cannot be written to.

    Args:
        verb: what was tried, as in "cannot write".
        path: of the file or folder.
        error: of the call.
    """
    message = f"{path}: cannot {verb}: {error.strerror or error}"
    if error.errno in (errno.EROFS, errno.EACCES, errno.ENOTDIR):
        return UsageError(message)
    return StoreError(message)


class PlainFile(NamedTuple):
    """Size in bytes, and Unix time of the last change."""

    size: int
    changed: float


def plain_files(root: Path, folder: str) -> dict[str, PlainFile]:
    """List the plain files of a folder; empty if there is no folder.

    Args:
        root: the pool's directory, which itself may be a symbolic link.
        folder: path relative to it.

    Raises:
        StoreError: the file system refused, or the folder is reached through a symbolic link.
    """
    files = {}
    with _opened(root, folder, "list") as descriptor:
        if descriptor is None:
            return {}
        for name in sorted(os.listdir(descriptor)):
            status = _status(name, descriptor)
            if status is not None:
                files[name] = PlainFile(status.st_size, status.st_mtime)
    return files


def remove_files(root: Path, folder: str, names: Iterable[str]) -> list[str]:
    """Remove plain files of a folder; names without a plain file are skipped.

    Args:
        root: the pool's directory, which itself may be a symbolic link.
        folder: path relative to it.
        names: of the files.

    Returns:
        The names of the files that this call removed.

    Raises:
        StoreError: as for ``plain_files``.
    """
    removed = []
    with _opened(root, folder, "remove from") as descriptor:
        for name in names if descriptor is not None else ():
            if _status(name, descriptor) is None:
                continue
            try:
                os.unlink(name, dir_fd=descriptor)
            except FileNotFoundError:
                continue  # another worker was first
            removed.append(name)
    return removed


@contextmanager
def _opened(root: Path, folder: str, verb: str) -> Iterator[int | None]:
    """A descriptor of a folder; ``None`` if there is no folder."""
    path, descriptors = root, []
    try:
        try:
            descriptors.append(os.open(root, os.O_RDONLY | os.O_DIRECTORY))
            for part in PurePosixPath(folder).parts:
                _check_name(part)
                path = path / part
                flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
                descriptors.append(os.open(part, flags, dir_fd=descriptors[-1]))
        except FileNotFoundError:
            yield None
        else:
            yield descriptors[-1]
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise StoreError(f"{path}: a symbolic link or no folder; it is left alone") from error
        reason = error.strerror or error
        raise StoreError(f"{path}: cannot {verb}: {reason}") from error
    finally:
        for descriptor in reversed(descriptors):
            with suppress(OSError):  # the folder was only read: nothing is lost
                os.close(descriptor)


def _status(name: str, descriptor: int | None) -> os.stat_result | None:
    """Status of a plain file; ``None`` if there is none."""
    _check_name(name)
    try:
        status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
    except FileNotFoundError:
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def _check_name(name: str) -> None:
    if name in ("", ".", "..") or "/" in name:
        raise ValueError(f"{name!r} is no name in a folder")
