"""Files in a shared directory: publish whole or not at all, read with patience.

The directory may be on NFS: a folder is listed once and names are opened, since polling
``exists()`` can be stale for half a minute there, and an error that a server's hiccup may cause is
tried again a few times.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import stat
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, TypeVar

from poolrl import files
from poolrl.errors import IncompatiblePool, PoolrlError, UsageError
from poolrl.storage.links import refuse_links

log = logging.getLogger("poolrl.pool")

T = TypeVar("T")

PASSING = {errno.ESTALE, errno.EIO, errno.EACCES}
"""Errors that a server's hiccup may cause."""

_TRIES = 4
_NO_HARD_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


class StoreError(PoolrlError):
    """The file system refused; the message names the file and the reason."""


class Strange(IncompatiblePool):
    """No plain file is where one should be, or it is far too large.

    Attributes:
        reason: without the file's name.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.reason = reason


def publish(path: Path, data: bytes) -> bool:
    """Make a file appear whole and durably, unless it is there already.

    The data is on disk before the name is: temporary file, fsync, hard link, fsync of the folder.

    Returns:
        Whether the file now holds ``data``; ``False`` where another content was first.

    Raises:
        StoreError: the file system refused, or has no hard links.
    """
    refuse_links(path.parent)
    try:
        # Again with a new file: what an fsync that failed has left of the old one is unknown.
        return again(lambda: _publish(path, data), PASSING)
    except OSError as error:
        if error.errno in _NO_HARD_LINKS:
            raise StoreError(
                f"{path.parent}: this file system has no hard links, which a pool needs"
            ) from error
        raise refused("write", path, error) from error


def _publish(path: Path, data: bytes) -> bool:
    temporary = path.with_name(f".tmp-{uuid.uuid4().hex}")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        for attempt in range(_TRIES):
            try:
                os.link(temporary, path)
                break
            except FileExistsError:
                # A retried NFS request may report this for our own success.
                try:
                    found = read_if_there(path, len(data))
                except Strange:
                    return False
                if found is not None and found != data:
                    return False
                if found is not None:
                    break
                # Somebody removed it since; there is room again.
                if attempt == _TRIES - 1:
                    raise
    finally:
        _discard(temporary)
    _sync_folder(path.parent)
    return True


def replace(path: Path, data: bytes) -> None:
    """Write a file that nobody's decision hangs on; readers see the old or the new content.

    Raises:
        StoreError: the file system refused.
    """
    refuse_links(path.parent)
    try:
        again(lambda: _replace(path, data), {*PASSING, errno.ENOENT})
    except OSError as error:
        raise refused("write", path, error) from error


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".tmp-{uuid.uuid4().hex}")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except BaseException:
        _discard(temporary)
        raise


def read(path: Path, most: int = files.RECORD) -> bytes:
    """Read a file that should be there, of so many bytes at most.

    Raises:
        FileNotFoundError: it is not, after a few tries.
        Strange: it is no plain file, or larger.
        StoreError: the file system refused.
    """
    return _read(path, most, {*PASSING, errno.ENOENT})


def read_if_there(path: Path, most: int = files.RECORD) -> bytes | None:
    """Read a file of so many bytes at most, or say at once that there is none.

    Raises:
        Strange: it is no plain file, or larger.
        StoreError: the file system refused.
    """
    try:
        return _read(path, most, PASSING)
    except FileNotFoundError:
        return None


def open_log(path: Path) -> BinaryIO:
    """Open a file to append to.

    Raises:
        Strange: no plain file is there.
        StoreError: the file system refused.
    """
    refuse_links(path.parent)
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
    try:
        descriptor = os.open(path, flags, 0o666)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise Strange(path, "no plain file") from error
        raise refused("write", path, error) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Strange(path, "no plain file")
    return open(descriptor, "ab")


def names_in(folder: Path) -> set[str]:
    """The names in a folder; none where there is no folder.

    Raises:
        StoreError: the file system refused.
    """
    refuse_links(folder)
    try:
        return _patiently("list", folder, lambda: set(os.listdir(folder)), PASSING)
    except FileNotFoundError:
        return set()


def make_folder(folder: Path, *, parents: bool = True) -> None:
    """Make a folder, durably, unless it is there.

    Args:
        folder: its path.
        parents: whether what lies above it is made too. A worker must not: where its pool has been
            moved away, it would go on in a directory of its own.

    Raises:
        StoreError: the file system refused.
    """
    refuse_links(folder)
    try:
        again(lambda: _make_folder(folder, parents=parents), PASSING)
    except OSError as error:
        raise refused("make", folder, error) from error


def _make_folder(folder: Path, *, parents: bool) -> None:
    missing = [folder]
    while parents and not missing[-1].parent.exists():
        missing.append(missing[-1].parent)
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        # Also where another worker made it, who may have been killed before this.
        with contextlib.suppress(PermissionError):  # writable is not always readable
            _sync_folder(path.parent)


def set_aside(path: Path) -> Path:
    """Rename a file that cannot be used, so that its place is free and nothing is lost.

    Returns:
        The new path.
    """
    refuse_links(path.parent)
    aside = path.with_name(f"{path.name}.corrupt-{uuid.uuid4().hex}")
    try:
        again(lambda: os.rename(path, aside), PASSING)
    except FileNotFoundError:
        pass  # another worker was first
    except OSError as error:
        raise refused("rename", path, error) from error
    return aside


def remove(path: Path) -> None:
    """Remove a file; one that is gone already is no error."""
    refuse_links(path.parent)
    try:
        again(lambda: path.unlink(missing_ok=True), PASSING)
    except OSError as error:
        raise refused("remove", path, error) from error


def _read(path: Path, most: int, passing: set[int]) -> bytes:
    refuse_links(path.parent)
    try:
        return _patiently("read", path, lambda: files.read_plain(path, most, follow=False), passing)
    except files.Strange as error:
        raise Strange(path, str(error)) from error


def _patiently(verb: str, path: Path, call: Callable[[], T], passing: set[int]) -> T:
    """Make a call, again a few times where its error may pass."""
    try:
        return again(call, passing)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise refused(verb, path, error) from error


def again(call: Callable[[], T], passing: set[int]) -> T:
    """Make a call, again a few times where its error may pass; raises what the last try raised."""
    for attempt in range(_TRIES - 1):
        try:
            return call()
        except OSError as error:
            if error.errno not in passing:
                raise
        time.sleep(0.01 * 4**attempt)
    return call()


def _discard(temporary: Path) -> None:
    """Remove a temporary file; one that stays does no harm."""
    try:
        temporary.unlink(missing_ok=True)
    except OSError as error:
        log.warning("%s: cannot remove: %s", temporary, error.strerror or error)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def refused(verb: str, path: Path, error: OSError) -> PoolrlError:
    message = f"{path}: cannot {verb}: {error.strerror or error}"
    if error.errno in (errno.EROFS, errno.EACCES, errno.ENOTDIR):
        return UsageError(message)
    return StoreError(message)
