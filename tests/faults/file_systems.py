"""Real file systems to break: small ones in memory, and ext4 on a file, mounted for a test."""

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

from tests.waiting import until

_SHUTDOWN = 0x8004587D  # EXT4_IOC_SHUTDOWN
_WITHOUT_FLUSH = struct.pack("I", 2)  # EXT4_GOING_FLAGS_NOLOGFLUSH: as when the power goes


@functools.cache
def why_no_mounts() -> str:
    """Why nothing can be mounted here; empty where it can."""
    if not sys.platform.startswith("linux"):
        return "mounts of Linux's"
    if os.geteuid() != 0:
        return "only root mounts file systems"
    if shutil.which("mkfs.ext4") is None:
        return "no mkfs.ext4"
    with tempfile.TemporaryDirectory() as place:
        try:
            with ext4(Path(place)):
                pass
            with tmpfs(Path(place) / "memory", "size=1m"):
                pass
        except (OSError, subprocess.CalledProcessError) as error:
            return f"file systems cannot be mounted here: {error}"
    return ""


def unmount(point: Path) -> None:
    """Unmount, as soon as nothing is busy there."""
    for _ in range(100):
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
    """An ext4 on a file."""

    image: Path
    point: Path

    def mount(self) -> None:
        _run("mount", "-o", "loop", str(self.image), str(self.point))

    def unmount(self) -> None:
        """Unmount, and see that nobody has it any longer: another test's mount namespace holds a
        copy of every mount, and what is mounted again meanwhile is the same that was cut."""
        unmount(self.point)
        loops = ["losetup", "-j", str(self.image)]
        until(
            lambda: not subprocess.run(loops, capture_output=True, check=True).stdout,
            "that no mount namespace keeps the file system",
            seconds=60,
        )

    def mount_again(self) -> None:
        """As when the machine is started again."""
        self.unmount()
        self.mount()

    def cut(self) -> None:
        """What was not flushed is lost from here on, and every call fails."""
        descriptor = os.open(self.point, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, _SHUTDOWN, _WITHOUT_FLUSH)
        finally:
            os.close(descriptor)

    def turn_read_only(self) -> None:
        """What the kernel does to an ext4 with damage, or with a disk that fails."""
        _run("mount", "-o", "remount,abort", str(self.point))


@contextlib.contextmanager
def ext4(folder: Path, size: str = "32M") -> Iterator[Ext4]:
    """An ext4 on a new file, mounted on a new folder."""
    system = Ext4(folder / "ext4.image", folder / "ext4")
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
