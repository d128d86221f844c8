"""How much room there is, whose the files are, and what time it is on the other side."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

from poolrl.doctor.check_result import Finding

LEAST_BYTES, FEW_BYTES = 256 << 10, 256 << 20
LEAST_INODES, FEW_INODES = 16, 2000
"""Below the first no pool is made; below the second one is warned of."""

CLOCK_NOTE, CLOCK_WARNING = 1.0, 300.0
"""Seconds between the file server's clock and ours."""


def space(folder: Path) -> Finding:
    """Free bytes, for us and not for root."""
    status = os.statvfs(folder)
    free, size = status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize
    found = f"{_size(free)} of {_size(size)} free"
    if size and free < LEAST_BYTES:
        return Finding("space", "refused", f"no space: {found}", "make room")
    if size and free < FEW_BYTES:
        return Finding("space", "warning", found, "a pool of torch policies needs more; make room")
    return Finding("space", "ok", found if size else "the file system does not say")


def inodes(folder: Path) -> Finding:
    """Free inodes: an iteration takes three more than it has branches, and up to three times that
    while it is worked on."""
    status = os.statvfs(folder)
    if not status.f_files:  # they are made as needed
        return Finding("inodes", "ok", "not limited")
    free = status.f_favail
    found = f"{free:,} of {status.f_files:,} free"
    if free < LEAST_INODES:
        return Finding("inodes", "refused", f"no inodes: {found}", "remove files")
    if free < FEW_INODES:
        return Finding("inodes", "warning", found, "each unit of each iteration takes one for good")
    return Finding("inodes", "ok", found)


def clock(folder: Path) -> Finding:
    """The difference between the times that files get here and our own clock."""
    path = folder / "clock"
    before = time.time()
    path.touch()
    after = time.time()
    with open(path, "rb") as file:  # fresh where a cached stat is not
        stamped = os.fstat(file.fileno()).st_mtime
    # Kernels stamp with the time of their last tick.
    difference = stamped - min(max(stamped, before - 0.01), after)
    if abs(difference) < CLOCK_NOTE:
        return Finding("clock", "ok", "files are dated as this machine's clock says")
    found = f"files are dated {abs(difference):.1f} s {'later' if difference > 0 else 'earlier'}"
    return Finding(
        "clock",
        "note" if abs(difference) < CLOCK_WARNING else "warning",
        f"{found} than this machine's clock says",
        "no decision hangs on it; times in the history will be off",
    )


def permissions(folder: Path) -> Finding:
    """Whether those who share the directory can work with what we make in it."""
    base = folder.parent.stat()
    made, inner = folder / "mode", folder / "folder"
    made.touch()
    inner.mkdir()
    file_mode, folder_mode = made.stat().st_mode, inner.stat().st_mode
    umask = os.umask(0o077)
    os.umask(umask)
    found = f"umask {umask:03o}: {stat.filemode(file_mode)}, {stat.filemode(folder_mode)}"
    for_all = base.st_mode & stat.S_IWOTH  # as /tmp is
    if base.st_mode & (stat.S_ISGID | stat.S_IWGRP) and not for_all:
        shared = file_mode & stat.S_IRGRP and folder_mode & stat.S_IRWXG == stat.S_IRWXG
        if not shared:
            return Finding(
                "permissions",
                "warning",
                f"the directory is its group's, but not what is made in it ({found})",
                "umask 002 before every worker, if others of the group are to work on the pool",
            )
        if made.stat().st_gid != base.st_gid:
            return Finding(
                "permissions",
                "warning",
                f"the directory is its group's, but files get another group ({found})",
                "chmod g+s on it, if others of the group are to work on the pool",
            )
    return Finding("permissions", "ok", found)


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if count >= 10 or unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} PiB"
