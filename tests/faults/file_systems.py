"""Mount real file systems to damage: small ones in memory, and ext4 on a file."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.helpers.waiting import until

_SHUTDOWN = 0x8004587D  # EXT4_IOC_SHUTDOWN
_WITHOUT_FLUSH = struct.pack("I", 2)  # EXT4_GOING_FLAGS_NOLOGFLUSH: as when the power goes


@functools.cache
def why_no_mounts() -> str:
    """Why nothing can be mounted here; empty if it can."""
    if not sys.platform.startswith("linux"):
        return "only Linux mounts them"
    if os.geteuid() != 0:
        return "only root mounts file systems"
    if shutil.which("mkfs.ext4") is None:
        return "no mkfs.ext4"
    with tempfile.TemporaryDirectory() as directory:
        try:
            with ext4(Path(directory)):
                pass
            with tmpfs(Path(directory) / "memory", "size=1m"):
                pass
        except (OSError, subprocess.CalledProcessError) as error:
            return f"file systems cannot be mounted here: {error}"
    return ""


def unmount(point: Path) -> None:
    """Unmount as soon as no process uses the mount."""
    for _ in range(600):
        done = subprocess.run(["umount", str(point)], capture_output=True, check=False)
        if done.returncode == 0 or not os.path.ismount(point):
            return
        time.sleep(0.05)
    subprocess.run(["umount", "-l", str(point)], check=True)


@contextlib.contextmanager
def tmpfs(point: Path, options: str) -> Iterator[Path]:
    """A small file system in memory, ``size=…,nr_inodes=…``."""
    point.mkdir(exist_ok=True)
    _run("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(point))
    try:
        yield point
    finally:
        unmount(point)


@dataclass
class Ext4:
    """An ext4 on a file.

    Attributes:
        image: the file.
        point: where it is mounted.
        commit_seconds: the interval after which the kernel commits the journal by itself.
    """

    image: Path
    point: Path
    commit_seconds: int = 5

    def mount(self) -> None:
        options = f"loop,commit={self.commit_seconds}"
        _run("mount", "-o", options, str(self.image), str(self.point))

    def sync(self) -> None:
        """Write everything to the file."""
        _run("sync", "--file-system", str(self.point))

    def num_commits(self) -> int:
        """How often the kernel has committed the journal since the mount; 0 if it is unknown."""
        (line,) = [
            line
            for line in Path("/proc/mounts").read_text().splitlines()
            if line.split()[1] == str(self.point)
        ]
        journal = Path("/proc/fs/jbd2") / f"{Path(line.split()[0]).name}-8" / "info"
        return int(journal.read_text().split()[0]) if journal.exists() else 0

    def unmount(self) -> None:
        """Unmount, and wait until no mount namespace has it: another test's namespace holds a copy
        of every mount, and a mount meanwhile would return the file system that was cut."""
        unmount(self.point)
        loops = ["losetup", "-j", str(self.image)]
        until(
            lambda: not subprocess.run(loops, capture_output=True, check=True).stdout,
            "that no mount namespace keeps the file system",
        )

    def mount_again(self) -> None:
        """As when the machine is started again."""
        self.unmount()
        self.mount()

    def cut(self) -> None:
        """Discard everything that was not flushed; from now on every call fails."""
        descriptor = os.open(self.point, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, _SHUTDOWN, _WITHOUT_FLUSH)
        finally:
            os.close(descriptor)

    def turn_read_only(self) -> None:
        """As the kernel does to a damaged ext4, or one whose disk fails."""
        _run("mount", "-o", "remount,abort", str(self.point))


@contextlib.contextmanager
def ext4(folder: Path, size: str = "32M", commit_seconds: int = 5) -> Iterator[Ext4]:
    """An ext4 on a new file, mounted on a new folder.

    Args:
        folder: for both; made.
        size: of the file.
        commit_seconds: see `Ext4`.
    """
    folder.mkdir(exist_ok=True)
    system = Ext4(folder / "ext4.image", folder / "ext4", commit_seconds)
    _run("truncate", "-s", size, str(system.image))
    _run("mkfs.ext4", "-q", "-F", str(system.image))
    system.point.mkdir()
    system.mount()
    try:
        yield system
    finally:
        system.unmount()


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
