"""Reading and writing of HDF5 files: what is wrong with a file is one line; writes are atomic."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from poolrl.errors import UsageError, one_line
from poolrl.extras import require
from poolrl.files import replacing

if TYPE_CHECKING:
    import h5py

SYNTHETIC = "synthetic"
"""Attribute of a file whose clips were made, and not recorded."""

NEED = "HDF5 files need h5py"
"""What the extra is needed for."""

BLOCK_FRAMES = 2**14
"""Frames that are transposed at a time, so that no array is in memory twice."""


def status_of(path: str | Path) -> os.stat_result:
    """Return what the file system says of a file.

    Raises:
        UsageError: there is none.
    """
    try:
        return os.stat(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no name of a file"
        raise UsageError(f"{path}: {reason}") from error


def open_file(path: str | Path) -> h5py.File:
    """Open a file for reading.

    Raises:
        UsageError: there is none, it is no plain file or no HDF5 file, or h5py is not installed.
    """
    require("h5py", "clips", NEED)
    import h5py

    status = status_of(path)
    if not stat.S_ISREG(status.st_mode):
        raise UsageError(f"{path}: no plain file")
    if status.st_size == 0:
        raise UsageError(f"{path}: an empty file")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise UsageError(f"{path}: no HDF5 file, or a damaged one: {one_line(error)}") from error


class ReadFile:
    """A file that is read piece by piece; a context manager.

    Args:
        path: of the file.

    Attributes:
        path: of the file.

    Raises:
        UsageError: as ``open_file``.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = path
        self._file = open_file(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


@contextmanager
def damage_named(path: str | Path, field: str = "") -> Iterator[None]:
    """Raise what h5py raises at a damaged file as one line.

    Args:
        path: of the file.
        field: what is read.

    Raises:
        UsageError: names both.
    """
    try:
        yield
    except (OSError, RuntimeError, LookupError, ValueError, TypeError, MemoryError) as error:
        where = f"{path}: {field}" if field else f"{path}"
        raise UsageError(f"{where}: cannot be read: {one_line(error)}") from error


def dataset(path: str | Path, group: h5py.Group, name: str) -> h5py.Dataset:
    """Return a dataset of numbers.

    Args:
        path: of the file, for messages.
        group: of the file.
        name: of the dataset in the group.

    Raises:
        UsageError: there is none, or it holds something else.
    """
    import h5py

    full = f"{group.name.rstrip('/')}/{name}".lstrip("/")
    with damage_named(path, full):
        found = group.get(name)
        is_array = isinstance(found, h5py.Dataset) and found.shape is not None
        is_numbers = is_array and found.dtype.kind in "fiu"
    if found is None:
        raise UsageError(f"{path}: {full}: missing")
    if not is_numbers:
        raise UsageError(f"{path}: {full}: expected a dataset of numbers")
    return found


def read_transposed(
    source: h5py.Dataset, start: int = 0, stop: int | None = None
) -> NDArray[np.float64]:
    """Return columns of a (width, T) dataset as a new array (frames, width).

    Args:
        source: the dataset.
        start: first column.
        stop: column after the last; ``None`` for all that there are.

    Raises:
        OSError: the file is damaged; as other errors of h5py.
    """
    width, length = source.shape
    first, last, _ = slice(start, stop).indices(length)
    result = np.empty((last - first, width))
    for begin in range(first, last, BLOCK_FRAMES):
        end = min(begin + BLOCK_FRAMES, last)
        result[begin - first : end - first] = source[:, begin:end].T
    return result


def write_transposed(group: h5py.Group, name: str, array: NDArray[np.float64]) -> None:
    """Write a (T, width) array as a (width, T) dataset.

    Args:
        group: in which it is made.
        name: of the dataset.
        array: the numbers.
    """
    target = group.create_dataset(name, shape=array.shape[::-1], dtype=np.float64)
    if target.size == 0:
        return
    for start in range(0, len(array), BLOCK_FRAMES):
        block = slice(start, start + BLOCK_FRAMES)
        target[:, block] = array[block].T


def mark(file: h5py.File, *, synthetic: bool) -> None:
    """Write whether the clips of a new file were made, and not recorded."""
    if synthetic:
        file.attrs[SYNTHETIC] = True


def single(value: Any) -> Any:
    """Return an attribute's value, which some programs write as an array of one."""
    return value.ravel()[0] if isinstance(value, np.ndarray) and value.size == 1 else value


def text(value: Any) -> str:
    """Return an attribute as text, which files hold as bytes, text, an array of one, or a null
    where it is empty."""
    import h5py

    if isinstance(value, h5py.Empty):
        return ""
    value = single(value)
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


class _Sink(io.FileIO):
    """A new file whose writes seem to succeed, since HDF5 crashes where one fails.

    Attributes:
        error: the first error, or what a signal has raised meanwhile; after it nothing is written.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "x+")
        self.error: BaseException | None = None

    def write(self, data: Any) -> int:
        try:
            left = memoryview(data).cast("B")
            while self.error is None and left:
                left = left[super().write(left) :]
        except BaseException as error:
            self.error = error
        return len(data)

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        done = 0
        while done < view.nbytes and (more := super().readinto(view[done:])):
            done += more
        view[done:] = bytes(view.nbytes - done)  # where writing has failed
        return view.nbytes

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size)
        except BaseException as error:
            self.error = self.error or error
            return 0


class NewFile:
    """A file that is being written.

    Args:
        path: as the user named it.
        sink: what it is written to.

    Attributes:
        file: the file.
    """

    def __init__(self, path: str | Path, sink: _Sink) -> None:
        import h5py

        self.file = h5py.File(sink, "w")
        self._path, self._sink = path, sink

    def check(self) -> None:
        """Check that all that was written is there.

        Raises:
            UsageError: it is not, as where a disk is full.
        """
        if self.file:  # it is not closed
            self.file.flush()
        if isinstance(self._sink.error, OSError):
            raise cannot_write(self._path, self._sink.error)
        if self._sink.error is not None:
            raise self._sink.error


def require_other(output: str | Path, *inputs: str | Path) -> None:
    """Check that a file to be written is none of those that are read for it.

    Raises:
        UsageError: it is one of them, maybe by another name.
    """
    for path in inputs:
        if os.path.exists(output) and os.path.exists(path) and os.path.samefile(output, path):
            raise UsageError(f"{output}: it is read for this; name another file")


def cannot_write(path: str | Path, error: OSError) -> UsageError:
    """The error of a file that cannot be written.

    Args:
        path: of the file.
        error: what happened.
    """
    return UsageError(f"{path}: cannot write: {error.strerror or error}")


@contextmanager
def new_file(path: str | Path) -> Iterator[NewFile]:
    """Write a file, whole or not at all: beside its place first.

    Raises:
        UsageError: it cannot be written, or h5py is not installed.
    """
    require("h5py", "clips", NEED)
    parent = os.path.dirname(os.path.realpath(path))
    if not os.path.isdir(parent):
        raise UsageError(f"{path}: no such directory: {parent}")
    with ExitStack() as stack:
        try:
            sink = stack.enter_context(closing(_Sink(stack.enter_context(replacing(path)))))
        except OSError as error:
            raise cannot_write(path, error) from error
        new = NewFile(path, sink)
        with new.file:
            yield new
        new.check()
        sink.close()
        try:
            stack.close()
        except OSError as error:
            raise cannot_write(path, error) from error
