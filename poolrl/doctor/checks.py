"""The calls that publishing, taking over and setting aside are made of, tried by one process."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
import time
from pathlib import Path

from poolrl.doctor.check_result import Finding

PROBE = bytes(range(256)) * 256
"""64 KiB, so that a disk without a free block shows."""

NEEDED_NAME = 128
"""Bytes that the longest name in a pool stays under, with what a lease's take-over adds."""


def exclusive_create(folder: Path) -> Finding:
    """A file can be made only once."""
    path = folder / "exclusive"
    path.touch(exist_ok=False)
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        return Finding("exclusive create", "ok", "a second creation is refused")
    return Finding(
        "exclusive create",
        "refused",
        "exclusive creation does not work: a file was created twice",
        "a pool needs it; take another file system",
    )


def hard_link(folder: Path) -> Finding:
    """A file appears under its final name whole, and only once."""
    first, second, name = folder / "link-1", folder / "link-2", folder / "link"
    first.write_bytes(b"first")
    second.write_bytes(b"second")
    try:
        os.link(first, name)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        return Finding(
            "hard link",
            "refused",
            f"this file system has no hard links, which a pool needs ({error.strerror})",
            "take another file system",
        )
    try:
        os.link(second, name)
    except FileExistsError:
        if name.read_bytes() == b"first":
            return Finding("hard link", "ok", "made at once; a second one is refused")
    return Finding(
        "hard link",
        "refused",
        "hard links are not safe here: one took the place of another file",
        "take another file system",
    )


def rename(folder: Path) -> Finding:
    """A name moves, and takes another's place."""
    old, new = folder / "rename-old", folder / "rename-new"
    old.write_bytes(b"old")
    os.rename(old, new)
    if old.exists() or new.read_bytes() != b"old":
        return _rename_failed("a renamed file is not where it should be")
    old.write_bytes(b"newer")
    os.replace(old, new)
    if new.read_bytes() != b"newer":
        return _rename_failed("a replaced file has its old content")
    return Finding("rename", "ok", "a file moves, and replaces another")


def exchange(folder: Path) -> Finding:
    """Two names are exchanged in one step: how a lease is taken over where that works."""
    one, two = folder / "exchange-1", folder / "exchange-2"
    one.write_bytes(b"1")
    two.write_bytes(b"2")
    reason = _exchange(one, two)
    if reason is None and one.read_bytes() == b"2" and two.read_bytes() == b"1":
        return Finding("exchange", "ok", "two names exchange places in one step")
    return Finding(
        "exchange",
        "note",
        f"two names cannot exchange places in one step ({reason or 'it had no effect'})",
        "nothing to do: a dead worker's lease stays, and is gone round once it has been silent",
    )


def flush(folder: Path) -> Finding:
    """Data and names are put on disk when asked."""
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
        return Finding("fsync", "warning", found, "each deposit waits for this four times")
    return Finding("fsync", "ok", found)


def long_names(folder: Path) -> Finding:
    """The longest names that a pool makes."""
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
        return Finding(
            "long names",
            "refused",
            f"names of {NEEDED_NAME} bytes are refused",
            "a pool's are longer than this takes, or the path to it is; take another directory",
        )
    return Finding("long names", "ok", f"names of {longest} bytes")


def _rename_failed(found: str) -> Finding:
    return Finding("rename", "refused", found, "take another file system")


def _not_flushed(what: str, error: OSError) -> Finding:
    return Finding(
        "fsync",
        "refused",
        f"fsync of {what} fails ({error.strerror}): a deposit could be lost in a power cut",
        "take another file system",
    )


def _exchange(one: Path, two: Path) -> str | None:
    """Exchange two names; the reason why not, or ``None``."""
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        if sys.platform == "darwin":
            code = libc.renamex_np(os.fsencode(one), os.fsencode(two), 2)  # RENAME_SWAP
        else:
            here = -100  # AT_FDCWD
            code = libc.renameat2(here, os.fsencode(one), here, os.fsencode(two), 2)
    except AttributeError:
        return "the C library has no such call"
    return None if code == 0 else os.strerror(ctypes.get_errno())
