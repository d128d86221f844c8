"""Type of the file system of a directory, and known properties of that type."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from poolrl.doctor.checks import CheckResult, Level

_CACHED = "other machines see what is published within seconds, as their caches let them"
_KNOWN: dict[str, tuple[Level, str]] = {
    "nfs": ("note", _CACHED),
    "nfs4": ("note", _CACHED),
    "cifs": ("note", _CACHED),
    "smb3": ("note", _CACHED),
    "smbfs": ("note", _CACHED),
    "fuse.sshfs": ("warning", "sshfs caches folders and flushes late; prefer NFS"),
    "tmpfs": ("note", "in memory: a pool here is gone with the next start of the machine"),
    "ramfs": ("note", "in memory: a pool here is gone with the next start of the machine"),
}


def kind(folder: Path) -> CheckResult:
    """Return the type of the file system, if the operating system reports it."""
    found = name_of(folder)
    if found is None:
        return CheckResult("file system", "ok", "the system does not tell its type")
    name, options = found
    level, advice = _KNOWN.get(name, ("ok", ""))
    if name.startswith("nfs") and "soft" in options:
        advice = (
            "mounted soft: when the server is away, workers fail instead of waiting; mount hard"
        )
        level = "warning"
    return CheckResult("file system", level, name, advice)


def name_of(folder: Path) -> tuple[str, set[str]] | None:
    """Return the type of the file system of a folder and its mount options; ``None`` if the
    operating system does not report them."""
    real = os.path.realpath(folder)
    try:
        text = Path("/proc/self/mountinfo").read_text(errors="replace")
    except OSError:
        return from_mount_command(_mount_command(), real)
    return from_mountinfo(text, real)


def from_mountinfo(text: str, real: str) -> tuple[str, set[str]] | None:
    """Look up a path in ``/proc/self/mountinfo`` of Linux.

    Args:
        text: content of the file.
        real: absolute path without symbolic links.
    """
    best: tuple[int, str, set[str]] = (-1, "", set())
    for line in text.splitlines():
        fields, _, rest = line.partition(" - ")
        words, tail = fields.split(" "), rest.split(" ")
        if len(words) < 6 or len(tail) < 1:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), words[4])
        # The last of several mounts on one mount point hides the others.
        if _lies_in(real, point) and len(point) >= best[0]:
            best = (len(point), tail[0], {*words[5].split(","), *tail[-1].split(",")})
    return None if best[0] < 0 else best[1:]


def from_mount_command(text: str, real: str) -> tuple[str, set[str]] | None:
    """Look up a path in the output of ``mount`` on macOS and the BSDs."""
    best: tuple[int, str, set[str]] = (-1, "", set())
    for line in text.splitlines():
        match = re.fullmatch(r".* on (.+) \(([^()]*)\)", line)
        if match and _lies_in(real, match[1]) and len(match[1]) >= best[0]:
            name, *options = re.split(r", *", match[2])
            best = (len(match[1]), name, set(options))
    return None if best[0] < 0 else best[1:]


def _lies_in(path: str, point: str) -> bool:
    return path == point or path.startswith(point.rstrip("/") + "/")


def _mount_command() -> str:
    try:
        done = subprocess.run(
            ["mount"], capture_output=True, text=True, errors="replace", timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout
