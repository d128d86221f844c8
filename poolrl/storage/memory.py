"""In-memory twins of the store and of the claims, for several workers within one process.

They follow the contract of the versions on disk, so that a worker's decisions can be run without
files; one suite of tests checks both. There are no links and no transient errors here.
"""

from __future__ import annotations

import errno
import io
import os
import threading
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from poolrl import files
from poolrl.clock import SYSTEM_CLOCK, Clock
from poolrl.errors import PoolrlError
from poolrl.storage.claims import LEASE_IGNORED_AFTER, Claims
from poolrl.storage.plain_files import PlainFile, refused
from poolrl.storage.store import MAX_SMALL_BYTES, DatedFile, Store, UnusableFile

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer


@dataclass
class _File:
    """Content of a file; objects are shared between a name and what has opened it.

    Attributes:
        data: its bytes.
        changed: Unix time of the last change.
        holder: claims that keep the file alive as a lease; ``None`` for all other files.
    """

    data: bytes
    changed: float
    holder: MemoryClaims | None = None
    identity: str = field(default_factory=lambda: uuid.uuid4().hex)


class MemoryStore(Store):
    """Files in the memory of this process; workers that share a pool share one object."""

    def __init__(self, root: Path, clock: Clock = SYSTEM_CLOCK) -> None:
        """
        Args:
            root: paths are below it; nothing is read or written there.
            clock: of the times of changes.
        """
        super().__init__(root)
        self._clock = clock
        self._lock = threading.RLock()
        self._files: dict[Path, _File] = {}
        self._folders: set[Path] = {root, *root.parents}

    def __eq__(self, other: object) -> bool:
        return self is other  # two of the same root have different files

    def __hash__(self) -> int:
        return id(self)

    def publish(self, path: Path, data: bytes) -> bool:
        with self._lock:
            self._check_folder("write", path, path.parent)
            if path in self._folders:
                return False
            existing = self._files.setdefault(path, _File(data, self._clock.time()))
            return existing.data == data

    def replace(self, path: Path, data: bytes) -> None:
        with self._lock:
            self._check_folder("write", path, path.parent)
            if path in self._folders:
                raise _refused("write", path, errno.EISDIR)
            self._files[path] = _File(data, self._clock.time())

    def read(self, path: Path, most: int = files.RECORD) -> bytes:
        data = self.read_if_there(path, most)
        if data is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        return data

    def read_if_there(self, path: Path, most: int = files.RECORD) -> bytes | None:
        with self._lock:
            if path in self._folders:
                raise UnusableFile(path, os.strerror(errno.EISDIR))
            file = self._files.get(path)
            if file is None:
                return None
            if len(file.data) > most:
                raise UnusableFile(path, f"larger than the {most:,} bytes that it may have")
            return file.data

    def read_dated(self, path: Path) -> DatedFile | None:
        with self._lock:
            file = self._files.get(path)
            if file is None or len(file.data) > MAX_SMALL_BYTES:
                return None
            return DatedFile(file.data, file.changed)

    def modification_time(self, path: Path) -> float | None:
        with self._lock:
            file = self._files.get(path)
            return None if file is None else file.changed

    def names_in(self, folder: Path) -> set[str]:
        with self._lock:
            if folder in self._files:
                raise _refused("list", folder, errno.ENOTDIR)
            paths = [*self._files, *self._folders]
            return {path.name for path in paths if path.parent == folder and path != folder}

    def files_in(self, folder: Path) -> dict[str, PlainFile]:
        with self._lock:
            own = sorted(path for path in self._files if path.parent == folder)
            return {
                path.name: PlainFile(len(self._files[path].data), self._files[path].changed)
                for path in own
            }

    def remove_files(self, folder: Path, names: Iterable[str]) -> list[str]:
        with self._lock:
            return [name for name in names if self._files.pop(folder / name, None) is not None]

    def remove(self, path: Path) -> None:
        with self._lock:
            if path in self._folders:
                raise _refused("remove", path, errno.EISDIR)
            self._files.pop(path, None)

    def set_aside(self, path: Path) -> Path:
        aside = path.with_name(f"{path.name}.corrupt-{uuid.uuid4().hex}")
        with self._lock:
            file = self._files.pop(path, None)
            if file is not None:
                self._files[aside] = file
        return aside

    def make_folder(self, folder: Path, *, parents: bool = True) -> None:
        with self._lock:
            if not parents:
                self._check_folder("make", folder, folder.parent)
            for each in (folder, *folder.parents):
                if each in self._files:
                    number = errno.EEXIST if each == folder else errno.ENOTDIR
                    raise _refused("make", folder, number)
            self._folders |= {folder, *folder.parents}

    def open_log(self, path: Path) -> BinaryIO:
        with self._lock:
            self._check_folder("write", path, path.parent)
            if path in self._folders:
                raise _refused("write", path, errno.EISDIR)
            file = self._files.setdefault(path, _File(b"", self._clock.time()))
        return cast(BinaryIO, io.BufferedWriter(_Log(self, file)))

    def refuse_links(self, folder: Path) -> None:
        """Accept every folder: there are no links in memory."""

    def append(self, file: _File, data: bytes) -> None:
        """Append to an open file."""
        with self._lock:
            file.data += data
            file.changed = self._clock.time()

    def lease(self, path: Path) -> _File | None:
        """The file at a lease's path; ``None`` if there is none."""
        with self._lock:
            return self._files.get(path)

    def take_lease(self, path: Path, holder: MemoryClaims, expected: _File | None) -> bool:
        """Create a lease, or replace it if it is still the expected one, in one step.

        Args:
            path: of the lease.
            holder: who takes it.
            expected: the file that is there now; ``None`` for none.
        """
        with self._lock:
            self._check_folder("claim", path, path.parent)
            if self._files.get(path) is not expected or path in self._folders:
                return False
            self._files[path] = _File(b"", self._clock.time(), holder)
            return True

    def give_lease_back(self, path: Path, holder: MemoryClaims) -> None:
        """Remove a lease, unless another holder has taken it over."""
        with self._lock:
            file = self._files.get(path)
            if file is not None and file.holder is holder:
                del self._files[path]

    def _check_folder(self, verb: str, path: Path, folder: Path) -> None:
        if folder not in self._folders:
            above = next(each for each in (folder, *folder.parents) if self._exists(each))
            number = errno.ENOTDIR if above in self._files else errno.ENOENT
            raise _refused(verb, path, number)

    def _exists(self, path: Path) -> bool:
        return path in self._files or path in self._folders


class _Log(io.RawIOBase):
    """A file opened for appending."""

    def __init__(self, store: MemoryStore, file: _File) -> None:
        self._store = store
        self._file = file

    def writable(self) -> bool:
        return True

    def write(self, data: Buffer) -> int:
        content = bytes(data)
        self._store.append(self._file, content)
        return len(content)


class MemoryClaims(Claims):
    """One worker's claims in a ``MemoryStore``."""

    def __init__(self, store: MemoryStore, duration: float, clock: Clock = SYSTEM_CLOCK) -> None:
        """
        Args:
            store: shared by the workers.
            duration: of a lease, in seconds.
            clock: by which leases expire.
        """
        super().__init__(store, duration, clock)
        self._memory = store
        self._held: set[Path] = set()
        self._silent_since: float | None = None

    def claim(self, path: Path) -> bool:
        file = self._memory.lease(path)
        if file is None or self._expired(file):
            if self._memory.take_lease(path, self, file):
                self._held.add(path)
                return True
            file = self._memory.lease(path)
        if file is not None and file.holder is self:
            return True
        return file is not None and self._ignored(path, file)

    def release(self, path: Path) -> None:
        self._observed.pop(path, None)
        self._held.discard(path)
        self._memory.give_lease_back(path, self)

    def forget(self) -> None:
        for path in list(self._held):
            self.release(path)
        self._observed.clear()

    def is_marked(self, path: Path) -> bool:
        return self._memory.lease(path) is not None

    def fall_silent(self) -> None:
        """Stop touching the leases, as a worker that was killed or stopped."""
        self._silent_since = self._clock.monotonic()

    def _expired(self, file: _File) -> bool:
        since = file.holder._silent_since if file.holder is not None else None
        return since is not None and self._clock.monotonic() - since > self._duration

    def _ignored(self, path: Path, file: _File) -> bool:
        """Whether a file that is no lease has not changed for long enough, by this clock."""
        if file.holder is not None:
            return False
        return self._unchanged_for(path, file.identity) > LEASE_IGNORED_AFTER * self._duration


def _refused(verb: str, path: Path, number: int) -> PoolrlError:
    return refused(verb, path, OSError(number, os.strerror(number)))
