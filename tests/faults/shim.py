"""Python interface of the preloaded library that counts file-system calls and causes faults."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import subprocess
import sys
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

SOURCE = Path(__file__).with_name("shim.c")


class Mode(IntEnum):
    """The fault at the call of the given number; values as in the C code."""

    COUNT = 0
    KILL_BEFORE = 1
    KILL_AFTER = 2
    FAIL = 3
    LOSE_REPLY = 4
    FULL_DISK = 5


class Call(NamedTuple):
    """A counted file-system call.

    Attributes:
        name: as in the shim.
        reads: whether it changes nothing.
        needs_space: whether it fails on a full disk.
        has_reply: whether a server can execute it and its reply be lost.
        path: its path, relative to the pool's root.
    """

    name: str
    reads: bool
    needs_space: bool
    has_reply: bool
    path: str


class Unavailable(Exception):
    """The shim cannot be built here; the message says why."""


def build(folder: Path) -> Path:
    """Compile the shim.

    Raises:
        Unavailable: this is no Linux, or there is no C compiler.
    """
    compiler = shutil.which("gcc") or shutil.which("cc")
    if not sys.platform.startswith("linux"):
        raise Unavailable("preloading is done on Linux alone")
    if compiler is None:
        raise Unavailable("no C compiler")
    library = folder / "shim.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-ldl"]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    if built.returncode:
        raise Unavailable(f"{SOURCE.name} does not compile: {built.stderr[:500]}")
    return library


class Shim:
    """The functions of the library that this process was started with."""

    def __init__(self) -> None:
        library = ctypes.CDLL(None)
        self._arm = library.faults_arm
        self._arm.argtypes = [ctypes.c_char_p, ctypes.c_long, *[ctypes.c_int] * 3]
        self._arm.restype = None
        self.disarm = library.faults_disarm
        self._text = {}
        for name in ("fired", "outside", "calls"):
            function = getattr(library, f"faults_{name}")
            function.restype = ctypes.c_char_p
            self._text[name] = function

    def arm(
        self, root: Path, number: int, mode: Mode, error: int = errno.ENOSPC, *, others: bool
    ) -> None:
        """Start to count the calls in a folder, from 1.

        Args:
            root: the folder.
            number: of the call with the fault; 0 for none.
            mode: the fault.
            error: the errno with which it fails.
            others: count the calls of all other threads, instead of this thread.
        """
        self._arm(os.fsencode(root), number, mode, error, others)

    def fired(self) -> str:
        """The call with the fault; empty if there was none."""
        return self._text["fired"]().decode()

    def outside(self) -> str:
        """A call that would change something outside the folder; empty if there was none."""
        return self._text["outside"]().decode()

    def calls(self, root: Path) -> list[Call]:
        """The calls since `arm`."""
        calls = []
        for line in self._text["calls"]().decode().splitlines():
            name, kind, path = line.split("\t")
            bits = int(kind)
            path = os.path.relpath(path, root)
            calls.append(Call(name, bool(bits & 1), bool(bits & 2), bool(bits & 4), path))
        return calls
