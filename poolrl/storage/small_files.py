"""Small files with the time of their last change, read through one descriptor: on NFS that is
fresh where ``stat`` is not."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

MOST = 2**16
"""Bytes of a heartbeat or a lease."""


class Small(NamedTuple):
    """Content, and Unix time of the last change by the file server's clock."""

    data: bytes
    changed: float


def read_small(path: Path) -> Small | None:
    """Read a file; ``None`` where there is no plain file of such a size, or it cannot be read."""
    with _opened(path) as (descriptor, status):
        if status is None or status.st_size > MOST:
            return None
        try:
            return Small(os.read(descriptor, MOST), status.st_mtime)
        except OSError:
            return None


def changed_at(path: Path) -> float | None:
    """Unix time of a file's last change; ``None`` where there is no plain file."""
    with _opened(path) as (_, status):
        return status.st_mtime if status is not None else None


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


def lease_owner(data: bytes) -> tuple[str, int] | None:
    """Host and process of a lease's holder, as filelock writes them into it (with ``?`` and the
    space of process ids behind the host, where that is not the host's own); ``None`` where it is
    empty or somebody else's."""
    lines = data.decode(errors="replace").splitlines()
    fields = dict(line.split("=", 1) for line in lines if "=" in line)
    host, pid = fields.get("host", "").partition("?")[0], fields.get("pid", "")
    # As far as digits go that a process can have.
    return (host[:1000], int(pid)) if re.fullmatch("[0-9]{1,9}", pid) else None
