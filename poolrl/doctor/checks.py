"""File system checks by a single process: the calls that a pool needs, free space, permissions."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from poolrl.formatting import file_size

Level = Literal["ok", "note", "warning", "refused"]

_ADVICE = {
    errno.ENOSPC: "make room, blocks or inodes, or take another file system",
    errno.EDQUOT: "the quota is used up; make room, or take another file system",
    errno.EROFS: "mount it writable, or take another directory",
    errno.EACCES: "take a directory that you may write to",
    errno.EPERM: "take another file system",
}


class CheckResult(msgspec.Struct, frozen=True):
    """Result of one check.

    Attributes:
        check: name of the check.
        level: ``refused`` if no pool can be safe on this file system.
        found: what was observed.
        advice: what to do, or what the result means; empty if there is nothing to do.
    """

    check: str
    level: Level
    found: str
    advice: str = ""


def refusal(check: str, error: OSError) -> CheckResult:
    """Return the result for a failed call that a pool cannot do without."""
    advice = _ADVICE.get(error.errno or 0, "a pool needs this; take another file system")
    return CheckResult(check, "refused", f"{check}: {error.strerror or error}", advice)


def run_check(name: str, check: Callable[[Path], CheckResult], folder: Path) -> CheckResult:
    """Run a check; an ``OSError`` that it does not handle is a refusal.

    Args:
        name: of the check, for a refusal.
        check: called with ``folder``.
        folder: scratch folder on the file system to check.
    """
    try:
        return check(folder)
    except OSError as error:
        return refusal(name, error)


PROBE = bytes(range(256)) * 256
"""64 KiB, so that a disk without a free block is detected."""

NEEDED_NAME = 128
"""Upper bound in bytes for file names in a pool, with the suffix that a lease takeover adds."""

LEAST_BYTES, FEW_BYTES = 256 << 10, 256 << 20
LEAST_INODES, FEW_INODES = 16, 2000
"""Below the first value no pool is made; below the second the check warns."""

CLOCK_NOTE, CLOCK_WARNING = 1.0, 300.0
"""Seconds between the clocks of the file server and of this machine."""


def exclusive_create(folder: Path) -> CheckResult:
    """Check that exclusive creation makes a file only once."""
    path = folder / "exclusive"
    path.touch(exist_ok=False)
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        return CheckResult("exclusive create", "ok", "a second creation is refused")
    return CheckResult(
        "exclusive create",
        "refused",
        "exclusive creation does not work: a file was created twice",
        "a pool needs it; take another file system",
    )


def hard_link(folder: Path) -> CheckResult:
    """Check that a hard link publishes a complete file, and never replaces another."""
    first, second, name = folder / "link-1", folder / "link-2", folder / "link"
    first.write_bytes(b"first")
    second.write_bytes(b"second")
    try:
        os.link(first, name)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        return CheckResult(
            "hard link",
            "refused",
            f"this file system has no hard links, which a pool needs ({error.strerror})",
            "take another file system",
        )
    try:
        os.link(second, name)
    except FileExistsError:
        if name.read_bytes() == b"first":
            return CheckResult("hard link", "ok", "made at once; a second one is refused")
    return CheckResult(
        "hard link",
        "refused",
        "hard links are not safe here: one took the place of another file",
        "take another file system",
    )


def rename(folder: Path) -> CheckResult:
    """Check that a file can be renamed, and can replace another."""
    old, new = folder / "rename-old", folder / "rename-new"
    old.write_bytes(b"old")
    os.rename(old, new)
    if old.exists() or new.read_bytes() != b"old":
        return _rename_failed("a renamed file is not where it should be")
    old.write_bytes(b"newer")
    os.replace(old, new)
    if new.read_bytes() != b"newer":
        return _rename_failed("a replaced file has its old content")
    return CheckResult("rename", "ok", "a file moves, and replaces another")


def exchange(folder: Path) -> CheckResult:
    """Check for an atomic exchange of two names, which a lease takeover uses if available."""
    one, two = folder / "exchange-1", folder / "exchange-2"
    one.write_bytes(b"1")
    two.write_bytes(b"2")
    reason = _exchange(one, two)
    if reason is None and one.read_bytes() == b"2" and two.read_bytes() == b"1":
        return CheckResult("exchange", "ok", "two names exchange places in one step")
    return CheckResult(
        "exchange",
        "note",
        f"two names cannot exchange places in one step ({reason or 'it had no effect'})",
        "nothing to do: a dead worker's lease stays, and is gone round once it has been silent",
    )


def flush(folder: Path) -> CheckResult:
    """Check that ``fsync`` works for files and folders, and measure its duration."""
    path = folder / "fsync"
    start = time.monotonic()
    with open(path, "xb") as file:
        file.write(PROBE)
        file.flush()
        try:
            os.fsync(file.fileno())
        except OSError as error:
            return _not_flushed("a file", error)
    middle = time.monotonic()
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        return _not_flushed("a folder", error)
    finally:
        os.close(descriptor)
    end = time.monotonic()
    found = f"a file in {(middle - start) * 1e3:.1f} ms, a folder in {(end - middle) * 1e3:.1f} ms"
    if end - start > 1.0:
        return CheckResult("fsync", "warning", found, "each deposit waits for this four times")
    return CheckResult("fsync", "ok", found)


def long_names(folder: Path) -> CheckResult:
    """Check that names of ``NEEDED_NAME`` bytes are possible."""
    longest = 0
    for length in (NEEDED_NAME, 255):
        try:
            (folder / ("n" * length)).touch()
        except OSError as error:
            if error.errno not in (errno.ENAMETOOLONG, errno.EINVAL, errno.ENOENT):
                raise
            break
        longest = length
    if longest < NEEDED_NAME:
        return CheckResult(
            "long names",
            "refused",
            f"names of {NEEDED_NAME} bytes are refused",
            "a pool's are longer than this takes, or the path to it is; take another directory",
        )
    return CheckResult("long names", "ok", f"names of {longest} bytes")


def space(folder: Path) -> CheckResult:
    """Check the free bytes available to an unprivileged user."""
    status = os.statvfs(folder)
    free, size = status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize
    found = f"{file_size(free, binary=True)} of {file_size(size, binary=True)} free"
    if size and free < LEAST_BYTES:
        return CheckResult("space", "refused", f"no space: {found}", "make room")
    if size and free < FEW_BYTES:
        return CheckResult(
            "space", "warning", found, "a pool of torch policies needs more; make room"
        )
    return CheckResult("space", "ok", found if size else "the file system does not say")


def inodes(folder: Path) -> CheckResult:
    """Check the free inodes.

    An iteration takes three more than it has branches, and up to three times as many while its
    units are computed.
    """
    status = os.statvfs(folder)
    if not status.f_files:  # the file system creates inodes as needed
        return CheckResult("inodes", "ok", "not limited")
    free = status.f_favail
    found = f"{free:,} of {status.f_files:,} free"
    if free < LEAST_INODES:
        return CheckResult("inodes", "refused", f"no inodes: {found}", "remove files")
    if free < FEW_INODES:
        return CheckResult(
            "inodes", "warning", found, "each unit of each iteration takes one for good"
        )
    return CheckResult("inodes", "ok", found)


def clock(folder: Path) -> CheckResult:
    """Compare the modification time of a new file with the clock of this machine."""
    path = folder / "clock"
    before = time.time()
    path.touch()
    after = time.time()
    with open(path, "rb") as file:  # NFS may answer a plain stat from its cache
        modified = os.fstat(file.fileno()).st_mtime
    # Kernels use the time of their last tick.
    difference = modified - min(max(modified, before - 0.01), after)
    if abs(difference) < CLOCK_NOTE:
        return CheckResult("clock", "ok", "files are dated as this machine's clock says")
    found = f"files are dated {abs(difference):.1f} s {'later' if difference > 0 else 'earlier'}"
    return CheckResult(
        "clock",
        "note" if abs(difference) < CLOCK_WARNING else "warning",
        f"{found} than this machine's clock says",
        "no decision hangs on it; times in the history will be off",
    )


def permissions(folder: Path) -> CheckResult:
    """Check that a group that shares the directory can use the files that are created in it."""
    base = folder.parent.stat()
    made, inner = folder / "mode", folder / "folder"
    made.touch()
    inner.mkdir()
    file_mode, folder_mode = made.stat().st_mode, inner.stat().st_mode
    umask = os.umask(0o077)
    os.umask(umask)
    found = f"umask {umask:03o}: {stat.filemode(file_mode)}, {stat.filemode(folder_mode)}"
    world_writable = base.st_mode & stat.S_IWOTH  # such as /tmp
    if base.st_mode & (stat.S_ISGID | stat.S_IWGRP) and not world_writable:
        shared = file_mode & stat.S_IRGRP and folder_mode & stat.S_IRWXG == stat.S_IRWXG
        if not shared:
            return CheckResult(
                "permissions",
                "warning",
                f"the directory is its group's, but not what is made in it ({found})",
                "umask 002 before every worker, if others of the group are to work on the pool",
            )
        if made.stat().st_gid != base.st_gid:
            return CheckResult(
                "permissions",
                "warning",
                f"the directory is its group's, but files get another group ({found})",
                "chmod g+s on it, if others of the group are to work on the pool",
            )
    return CheckResult("permissions", "ok", found)


def _rename_failed(found: str) -> CheckResult:
    return CheckResult("rename", "refused", found, "take another file system")


def _not_flushed(what: str, error: OSError) -> CheckResult:
    return CheckResult(
        "fsync",
        "refused",
        f"fsync of {what} fails ({error.strerror}): a deposit could be lost in a power cut",
        "take another file system",
    )


def _exchange(one: Path, two: Path) -> str | None:
    """Exchange two names atomically; return the reason of a failure, or ``None``."""
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        if sys.platform == "darwin":
            code = libc.renamex_np(os.fsencode(one), os.fsencode(two), 2)  # RENAME_SWAP
        else:
            cwd = -100  # AT_FDCWD
            code = libc.renameat2(cwd, os.fsencode(one), cwd, os.fsencode(two), 2)
    except AttributeError:
        return "the C library has no such call"
    return None if code == 0 else os.strerror(ctypes.get_errno())
