"""Files of a pool in a shared directory: published whole or not at all, read with retries.

The directory may be on NFS: a folder is listed once and the names are opened, since polling
``exists()`` may return stale answers for half a minute there, and calls that a server may fail once
are repeated a few times.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import stat
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeVar

from poolrl import files
from poolrl.errors import IncompatiblePool
from poolrl.storage import plain_files
from poolrl.storage.plain_files import TRANSIENT, TRIES, PlainFile, StoreError, refused, retry

log = logging.getLogger("poolrl.storage")

T = TypeVar("T")

MAX_SMALL_BYTES = 2**16
"""Bytes of a heartbeat or a lease at most."""

_NO_HARD_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


class UnusableFile(IncompatiblePool):
    """A path is no plain file, or the file is far too large.

    Attributes:
        reason: without the file's name.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.reason = reason


class DatedFile(NamedTuple):
    """Content of a file, and Unix time of its last change by the file server's clock."""

    data: bytes
    changed: float


class Store:
    """The files below one directory.

    Paths are absolute. Folders below the root that are symbolic links are refused, since what is
    written or removed there would lie outside of the pool; the root itself may be reached by one,
    and paths outside of the root are not checked.

    Attributes:
        root: the directory.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.root == self.root

    def __hash__(self) -> int:
        return hash((type(self), self.root))

    def publish(self, path: Path, data: bytes) -> bool:
        """Create a file whole and durably, unless it exists.

        The data is on disk before the name is: temporary file, fsync, hard link, fsync of the
        folder.

        Returns:
            Whether the file now contains ``data``; ``False`` if other content was published first.

        Raises:
            StoreError: the file system refused, or has no hard links.
        """
        self.refuse_links(path.parent)
        try:
            # With a new temporary file: after a failed fsync the state of the old one is unknown.
            return retry(lambda: self._publish(path, data), TRANSIENT)
        except OSError as error:
            if error.errno in _NO_HARD_LINKS:
                raise StoreError(
                    f"{path.parent}: this file system has no hard links, which a pool needs"
                ) from error
            raise refused("write", path, error) from error

    def replace(self, path: Path, data: bytes) -> None:
        """Write a file that no decision depends on; readers see either the old or the new content.

        Raises:
            StoreError: the file system refused.
        """
        self.refuse_links(path.parent)
        try:
            retry(lambda: _replace(path, data), {*TRANSIENT, errno.ENOENT})
        except OSError as error:
            raise refused("write", path, error) from error

    def read(self, path: Path, most: int = files.RECORD) -> bytes:
        """Read a file that should exist.

        Args:
            path: of the file.
            most: bytes that it may have.

        Raises:
            FileNotFoundError: it does not exist, after a few tries.
            UnusableFile: it is no plain file, or larger.
            StoreError: the file system refused.
        """
        return self._read(path, most, {*TRANSIENT, errno.ENOENT})

    def read_if_there(self, path: Path, most: int = files.RECORD) -> bytes | None:
        """Read a file, or return ``None`` at once where there is none; otherwise as ``read``.

        Raises:
            UnusableFile: it is no plain file, or larger.
            StoreError: the file system refused.
        """
        try:
            return self._read(path, most, TRANSIENT)
        except FileNotFoundError:
            return None

    def read_dated(self, path: Path) -> DatedFile | None:
        """Read a small file and the time of its change through one descriptor: on NFS that is fresh
        where ``stat`` is not.

        Returns:
            ``None`` if there is no readable plain file of at most ``MAX_SMALL_BYTES`` bytes.
        """
        with _opened(path) as (descriptor, status):
            if status is None or status.st_size > MAX_SMALL_BYTES:
                return None
            try:
                return DatedFile(os.read(descriptor, MAX_SMALL_BYTES), status.st_mtime)
            except OSError:
                return None

    def modification_time(self, path: Path) -> float | None:
        """Unix time of a file's last change; ``None`` where there is no plain file."""
        with _opened(path) as (_, status):
            return status.st_mtime if status is not None else None

    def names_in(self, folder: Path) -> set[str]:
        """The names in a folder; none where there is no folder.

        Raises:
            StoreError: the file system refused.
        """
        self.refuse_links(folder)
        try:
            return _retried("list", folder, lambda: set(os.listdir(folder)), TRANSIENT)
        except FileNotFoundError:
            return set()

    def files_in(self, folder: Path) -> dict[str, PlainFile]:
        """The plain files of a folder by name; none where there is no folder.

        Raises:
            StoreError: the file system refused, or the folder is reached through a symbolic link.
        """
        return plain_files.plain_files(self.root, self._relative(folder))

    def remove_files(self, folder: Path, names: Iterable[str]) -> list[str]:
        """Remove plain files of a folder; what is gone already, or is no plain file, is skipped.

        Returns:
            The names that were removed.

        Raises:
            StoreError: as for ``files_in``.
        """
        return plain_files.remove_files(self.root, self._relative(folder), names)

    def remove(self, path: Path) -> None:
        """Remove a file; one that is gone already is no error.

        Raises:
            StoreError: the file system refused.
        """
        self.refuse_links(path.parent)
        try:
            retry(lambda: path.unlink(missing_ok=True), TRANSIENT)
        except OSError as error:
            raise refused("remove", path, error) from error

    def set_aside(self, path: Path) -> Path:
        """Rename a file that cannot be used, so that its name is free and nothing is lost.

        Returns:
            The new path.

        Raises:
            StoreError: the file system refused.
        """
        self.refuse_links(path.parent)
        aside = path.with_name(f"{path.name}.corrupt-{uuid.uuid4().hex}")
        try:
            retry(lambda: os.rename(path, aside), TRANSIENT)
        except FileNotFoundError:
            pass  # another worker was first
        except OSError as error:
            raise refused("rename", path, error) from error
        return aside

    def make_folder(self, folder: Path, *, parents: bool = True) -> None:
        """Make a folder durably, unless it exists.

        Args:
            folder: its path.
            parents: whether missing folders above it are made too. A worker must not: where its
                pool has been moved away, it would continue in a directory of its own.

        Raises:
            StoreError: the file system refused.
        """
        self.refuse_links(folder)
        try:
            retry(lambda: _make_folder(folder, parents=parents), TRANSIENT)
        except OSError as error:
            raise refused("make", folder, error) from error

    def open_log(self, path: Path) -> BinaryIO:
        """Open a file to append to.

        Raises:
            UnusableFile: the path is no plain file.
            StoreError: the file system refused.
        """
        self.refuse_links(path.parent)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        try:
            descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_NOFOLLOW, 0o666)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENXIO):
                raise UnusableFile(path, "no plain file") from error
            raise refused("write", path, error) from error
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise UnusableFile(path, "no plain file")
        return open(descriptor, "ab")

    def refuse_links(self, folder: Path) -> None:
        """Check that neither a folder below the root nor one on the way to it is a symbolic link.

        A folder that is swapped for a link after this check is not noticed: who can do that in a
        pool's directory at the right instant is trusted.

        Raises:
            IncompatiblePool: one of them is a symbolic link.
        """
        below = []
        for each in (folder, *folder.parents[:3]):
            if each == self.root:
                break
            below.append(each)
        else:
            return
        for each in reversed(below):
            try:
                mode = os.lstat(each).st_mode
            except OSError:
                return  # the call that follows meets the error too
            if stat.S_ISLNK(mode):
                raise IncompatiblePool(f"{each}: a symbolic link, which no folder of a pool may be")

    def _publish(self, path: Path, data: bytes) -> bool:
        temporary = _temporary(path)
        try:
            with open(temporary, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            for attempt in range(TRIES):
                try:
                    os.link(temporary, path)
                    break
                except FileExistsError:
                    # A repeated NFS request may report this for its own success.
                    try:
                        found = self.read_if_there(path, len(data))
                    except UnusableFile:
                        return False
                    if found is not None and found != data:
                        return False
                    if found is not None:
                        break
                    # The file was removed since; the name is free again.
                    if attempt == TRIES - 1:
                        raise
        finally:
            _discard(temporary)
        _sync_folder(path.parent)
        return True

    def _read(self, path: Path, most: int, transient: Collection[int]) -> bytes:
        self.refuse_links(path.parent)
        try:
            return _retried(
                "read", path, lambda: files.read_plain(path, most, follow=False), transient
            )
        except files.NotAPlainFile as error:
            raise UnusableFile(path, str(error)) from error

    def _relative(self, folder: Path) -> str:
        return folder.relative_to(self.root).as_posix()


def _temporary(path: Path) -> Path:
    return path.with_name(f".tmp-{uuid.uuid4().hex}")


def _replace(path: Path, data: bytes) -> None:
    temporary = _temporary(path)
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except BaseException:
        _discard(temporary)
        raise


def _make_folder(folder: Path, *, parents: bool) -> None:
    missing = [folder]
    while parents and not missing[-1].parent.exists():
        missing.append(missing[-1].parent)
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        # Also where another worker made it, who may have been killed before this.
        with contextlib.suppress(PermissionError):  # writable is not always readable
            _sync_folder(path.parent)


def _retried(verb: str, path: Path, call: Callable[[], T], transient: Collection[int]) -> T:
    try:
        return retry(call, transient)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise refused(verb, path, error) from error


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


@contextmanager
def _opened(path: Path) -> Iterator[tuple[int, os.stat_result | None]]:
    """A descriptor of a plain file with its status, which is ``None`` where there is none."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
    try:
        descriptor = os.open(path, flags)
    except OSError:
        yield -1, None
        return
    try:
        status = os.fstat(descriptor)
        yield descriptor, status if stat.S_ISREG(status.st_mode) else None
    finally:
        os.close(descriptor)
