"""The preloaded library that counts and faults file-system calls, from Python's side."""

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
    """What happens at the call of the given number; numbers as in the C code."""

    COUNT = 0
    KILL_BEFORE = 1
    KILL_AFTER = 2
    FAIL = 3
    LOSE_REPLY = 4
    FULL_DISK = 5


class Call(NamedTuple):
    """A file-system call that was seen.

    Attributes:
        name: as the shim calls it.
        reads: whether it changes nothing.
        needs_space: whether a full disk refuses it.
        has_reply: whether a server may do it and the reply be lost.
        path: what it concerned, from the pool's root.
    """

    name: str
    reads: bool
    needs_space: bool
    has_reply: bool
    path: str


class Unavailable(Exception):
    """There is no such thing as this shim here; the message says why."""


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
        """Start to count, from 1, the calls that concern a folder.

        Args:
            root: the folder.
            number: of the call that is to be hit; 0 for none.
            mode: what happens to it.
            error: what it fails with.
            others: count the calls of all threads but this one, instead of this one's.
        """
        self._arm(os.fsencode(root), number, mode, error, others)

    def fired(self) -> str:
        """The call that was hit; empty where none was."""
        return self._text["fired"]().decode()

    def outside(self) -> str:
        """A call that would change something outside the folder; empty where there is none."""
        return self._text["outside"]().decode()

    def calls(self, root: Path) -> list[Call]:
        """What has been counted since it was armed."""
        calls = []
        for line in self._text["calls"]().decode().splitlines():
            name, kind, path = line.split("\t")
            bits = int(kind)
            path = os.path.relpath(path, root)
            calls.append(Call(name, bool(bits & 1), bool(bits & 2), bool(bits & 4), path))
        return calls
