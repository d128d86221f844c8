"""Plain files in a pool's own folders, looked at and removed without following a link.

A pool may have been unpacked from somebody's archive: a folder in it that is a symbolic link leads
out of the pool, and nothing there is ours to remove.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from poolrl.storage.store import StoreError


class PlainFile(NamedTuple):
    """Size in bytes, and Unix time of the last change."""

    size: int
    changed: float


def plain_files(root: Path, folder: str) -> dict[str, PlainFile]:
    """The plain files of a folder; none where there is no folder.

    Args:
        root: the pool's directory, which itself may be a symbolic link.
        folder: by its path from there.

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
    """Remove plain files of a folder; what is gone already, or is no plain file, is passed over.

    Args, Raises:
        as for ``plain_files``.

    Returns:
        The names of what was removed.
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
    """A descriptor of a folder; ``None`` where there is none."""
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
            with suppress(OSError):  # of a folder that was only looked at: nothing is lost
                os.close(descriptor)


def _status(name: str, descriptor: int | None) -> os.stat_result | None:
    """Of a plain file; ``None`` for anything else, and where it is gone."""
    _check_name(name)
    try:
        status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
    except FileNotFoundError:
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def _check_name(name: str) -> None:
    if name in ("", ".", "..") or "/" in name:
        raise ValueError(f"{name!r} is no name in a folder")
