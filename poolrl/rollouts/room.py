"""Room for large arrays, in memory or in a folder, which is refused before it runs out."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from poolrl.errors import UsageError
from poolrl.formatting import file_size

_FOLDER: ContextVar[Path | None] = ContextVar("folder", default=None)


@contextmanager
def use_folder(folder: Path | None) -> Iterator[None]:
    """Let replays that are made within map their arrays to files in a folder; ``None`` to keep them
    in memory. A context, since nothing that is learned depends on it."""
    token = _FOLDER.set(folder)
    try:
        yield
    finally:
        _FOLDER.reset(token)


def chosen_folder() -> Path | None:
    """The folder of ``use_folder``."""
    return _FOLDER.get()


def available_memory() -> int | None:
    """Bytes that this process may still take, by the machine and by its control group (cgroup v2);
    ``None`` where neither says."""
    known = []
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                known.append(1024 * int(line.split()[1]))
    except (OSError, ValueError, IndexError):
        pass
    try:
        group = Path("/sys/fs/cgroup")
        limit, used = ((group / f"memory.{n}").read_text().strip() for n in ("max", "current"))
        if limit != "max":
            known.append(max(0, int(limit) - int(used)))
    except (OSError, ValueError):
        pass
    return min(known, default=None)


def check_room(size: int, folder: Path | None, what: str) -> None:
    """Check that arrays fit.

    Args:
        size: of all of them, in bytes.
        folder: whose disk they go to; ``None`` for memory.
        what: key and description, for the error.

    Raises:
        UsageError: they do not fit, or the folder is not there; says how much they take.
    """
    if folder is None:
        free, where = available_memory(), "of memory"
    else:
        try:
            free, where = shutil.disk_usage(folder).free, f"on the disk of {folder}"
        except OSError as error:
            raise UsageError(f"run.replay_folder: {folder}: {error.strerror}") from error
    if free is not None and size > free:
        raise UsageError(f"{what} takes {file_size(size)}, but {file_size(free)} {where} are free")


def zeros(shape: tuple[int, ...], dtype: DTypeLike, folder: Path | None) -> NDArray[Any]:
    """An array of zeros, in memory or mapped to a file without a name, which ends with the array
    or with the process.

    Args:
        shape, dtype: of the array; not empty.
        folder: of the file; ``None`` for memory.

    Raises:
        OSError: the file cannot be made as large.
    """
    if folder is None:
        return np.zeros(shape, dtype)
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    with tempfile.TemporaryFile(dir=folder) as file:
        # A full disk is an error here, and would be a signal that ends the process later.
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            file.truncate(size)
        array: NDArray[Any] = np.memmap(file, dtype, "r+", shape=shape)
        return array
