"""Event file of a pool for TensorBoard, with one value a key and iteration however often its writer
is killed.

What is written is a function of the pool's records. After each append and fsync a cursor file says
how far the event file is good; the next writer truncates it there and writes the same bytes again
in the same place. So a TensorBoard that reads along, which may have read further than the cursor,
sees nothing twice, and two writers at a time, which the advisory lease does not exclude, do no
harm.
"""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from poolrl.errors import UsageError
from poolrl.extras import require
from poolrl.monitoring.history import History
from poolrl.pool.directory import Pool
from poolrl.report.scalars import Position, Scalars, position, scalars
from poolrl.storage.claims import Claims
from poolrl.storage.plain_files import refused
from poolrl.storage.store import Store

LEASE_SECONDS = 10.0
"""Duration of a writer's lease; then another process takes over."""

_CURSOR = "poolrl-cursor.json"
_LEASE = "poolrl-writer.lease"


class _Cursor(msgspec.Struct, frozen=True):
    """What is known to be on disk.

    Attributes:
        file: name of the event file.
        length: its first bytes that are good.
        position: in the pool's history.
    """

    file: str
    length: int = 0
    position: Position = Position()


def require_tensorboard() -> None:
    """Check that tensorboardX is installed.

    Raises:
        UsageError: it is not; names the extra.
    """
    require("tensorboardX", "tensorboard", "--tensorboard needs tensorboardX")


class EventLog:
    """Writer of the event file of one pool in one folder.

    Args:
        pool: the pool.
        folder: of the event file; made if it is missing.

    Raises:
        UsageError: tensorboardX is missing, or the folder cannot be written to or holds event files
            of something else.
        StoreError: the file system refused.
    """

    def __init__(self, pool: Pool, folder: Path) -> None:
        require_tensorboard()
        self._pool = pool
        self._folder = folder
        self._store = Store(folder)
        self._claims = Claims(self._store, LEASE_SECONDS)
        self._cursor: _Cursor | None = None
        own = f".poolrl-{pool.spec_sha256[:16]}"
        for name in sorted(self._store.names_in(folder)):
            if "tfevents" in name and not name.endswith(own):
                raise UsageError(
                    f"{folder}: {name} is of another pool or program; TensorBoard would mix them: "
                    "name another folder"
                )
        self._suffix = own
        pool.store.make_folder(folder)

    def update(self, history: History) -> bool:
        """Append what is new in a history, durably.

        Args:
            history: refreshed by the caller.

        Returns:
            Whether the event file has it all; ``False`` while another process holds the lease.

        Raises:
            StoreError: the file system refused.
        """
        if not history.merges:
            return True
        end = position(history)
        if self._cursor is not None and self._cursor.position >= end:
            return True
        if not self._claims.claim(self._folder / _LEASE):
            self._cursor = None  # another process moves it
            return self._read_cursor(history).position >= end
        path = self._folder / self._name(history)
        try:
            self._append(path, history)
        except OSError as error:
            self._cursor = None
            raise refused("write", path, error) from error
        return True

    def close(self) -> None:
        """Release the lease."""
        self._claims.forget()

    def _name(self, history: History) -> str:
        """Name of the event file: the same for every writer, another one for a pool made again."""
        return f"events.out.tfevents.{int(history.merges[0].finished):010d}{self._suffix}"

    def _read_cursor(self, history: History) -> _Cursor:
        """The cursor on disk; of an empty file where there is none, or it is of another file."""
        name = self._name(history)
        data = self._store.read_if_there(self._folder / _CURSOR)
        try:
            cursor = msgspec.json.decode(data or b"", type=_Cursor)
        except msgspec.DecodeError:
            return _Cursor(name)  # none yet, or torn by a power cut: everything is written again
        return cursor if cursor.file == name else _Cursor(name)

    def _append(self, path: Path, history: History) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(path, flags, 0o666)
        try:
            cursor = self._cursor
            if cursor is None:
                cursor = self._read_cursor(history)
                size = os.fstat(descriptor).st_size
                if size < cursor.length:  # another program has shortened it
                    cursor = _Cursor(path.name)
                if size > cursor.length:
                    os.ftruncate(descriptor, cursor.length)
            if cursor.position >= position(history):  # another writer has seen more
                self._cursor = cursor
                return
            data = b"".join(self._records(cursor, history))
            written = 0
            while written < len(data):
                # At a given place: see the module.
                written += os.pwrite(descriptor, data[written:], cursor.length + written)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._cursor = _Cursor(path.name, cursor.length + len(data), position(history))
        self._store.replace(self._folder / _CURSOR, msgspec.json.encode(self._cursor) + b"\n")

    def _records(self, cursor: _Cursor, history: History) -> Iterator[bytes]:
        """Yield the records of the event file after a cursor."""
        events = _Events()
        if cursor.length == 0:
            yield events.header(history.merges[0].finished)
        for each in scalars(history, cursor.position):
            yield events.record(each)


class _Events:
    """Records of an event file, framed as TensorFlow frames them.

    Not by tensorboardX's own writers: its queue loses the newest values in a kill, and its
    ``RecordWriter`` truncates the file that it opens.
    """

    def __init__(self) -> None:
        # torch, which tensorboardX imports where it can, takes seconds, and scalars need none.
        without = sys.modules.setdefault("torch", None)  # type: ignore[arg-type]
        try:
            from tensorboardX.proto import event_pb2
            from tensorboardX.record_writer import masked_crc32c
        finally:
            if without is None:
                del sys.modules["torch"]
        self._event: Any = event_pb2.Event
        self._crc: Any = masked_crc32c

    def header(self, wall_time: float) -> bytes:
        """The first record of a file."""
        return self._framed(self._event(wall_time=wall_time, file_version="brain.Event:2"))

    def record(self, point: Scalars) -> bytes:
        """One record with all values of a point."""
        event = self._event(wall_time=point.wall_time, step=point.step)
        for tag, value in sorted(point.values.items()):
            event.summary.value.add(tag=tag, simple_value=value)
        return self._framed(event)

    def _framed(self, event: Any) -> bytes:
        data: bytes = event.SerializeToString(deterministic=True)
        length = struct.pack("<Q", len(data))
        return b"".join(
            (length, struct.pack("<I", self._crc(length)), data, struct.pack("<I", self._crc(data)))
        )
