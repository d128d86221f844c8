"""Faults of file systems: disks that are full, read-only or dead, and calls that fail."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.faults import refuse, scenarios
from tests.faults.file_systems import ext4, tmpfs
from tests.faults.scenarios import Case


def no_room(folder: Path) -> Case:
    """The disk becomes full."""
    with tmpfs(folder / "small", "size=1m") as directory:
        filler = directory / "filler"
        return scenarios.midway(
            directory, "disk full midway", lambda: void(scenarios.fill(directory)), filler.unlink
        )


def no_inodes(folder: Path) -> Case:
    """The inodes run out."""
    with tmpfs(folder / "small", "size=2m,nr_inodes=40") as directory:
        more = ["mount", "-o", "remount,nr_inodes=400", str(directory)]
        return scenarios.midway(
            directory,
            "no inodes midway",
            lambda: None,  # forty are not enough
            lambda: void(subprocess.run(more, check=True)),
        )


def read_only(folder: Path) -> Case:
    """The kernel remounts the file system read-only."""
    with ext4(folder) as system:
        return scenarios.midway(
            system.point,
            "file system turns read-only midway, as ext4 does when it finds damage",
            system.turn_read_only,
            system.mount_again,
        )


def dead_disk(folder: Path) -> Case:
    """Every call fails from an instant on."""
    with ext4(folder) as system:
        return scenarios.midway(
            system.point,
            "disk dies midway, every call fails",
            system.cut,
            system.mount_again,
        )


MIDWAY: dict[str, tuple[Callable[[Path], Case], tuple[str, ...]]] = {
    "no room": (no_room, ("No space left on device",)),
    "no inodes": (no_inodes, ("No space left on device",)),
    "read-only": (read_only, ("Read-only file system",)),
    "dead disk": (dead_disk, ("Input/output error",)),
}


def full_when_made(folder: Path) -> Case:
    with tmpfs(folder / "small", "size=1m") as directory:
        scenarios.fill(directory)
        return scenarios.refused(directory, "disk full when the pool is made")


def no_inodes_when_made(folder: Path) -> Case:
    with tmpfs(folder / "small", "size=1m,nr_inodes=3") as directory:
        for name in "ab":
            (directory / name).touch()
        return scenarios.refused(directory, "no inode left when the pool is made")


def read_only_when_made(folder: Path) -> Case:
    with tmpfs(folder / "small", "size=1m") as directory:
        subprocess.run(["mount", "-o", "remount,ro", str(directory)], check=True)
        return scenarios.refused(directory, "read-only when the pool is made")


WHEN_MADE: dict[str, tuple[Callable[[Path], Case], str]] = {
    "no room": (full_when_made, "no space"),
    "no inodes": (no_inodes_when_made, "No space left on device"),
    "read-only": (read_only_when_made, "Read-only file system"),
}


LACKING = {
    "link=EPERM": ("without hard links (EPERM)", "no hard links"),
    "link=EOPNOTSUPP": ("without hard links (EOPNOTSUPP)", "no hard links"),
    "fsync=EIO": ("whose fsync fails (EIO)", "fsync of a file fails"),
    "fsync=EINVAL": ("that refuses fsync (EINVAL)", "fsync of a file fails"),
}


def lacking(folder: Path, call: str) -> Case:
    """A call of the file system fails always; ``call`` is a key of LACKING."""
    prefix = refuse.prefix(call)
    return scenarios.refused(folder, f"a file system {LACKING[call][0]}", prefix)


def void(_: object) -> None:
    """Discard a result."""
    pass
