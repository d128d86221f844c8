"""Whether the file system of a directory can hold a pool: tried, not guessed from its name."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from poolrl.doctor import checks as calls
from poolrl.doctor import mounts, room
from poolrl.doctor.check_result import Finding, refusal, tried
from poolrl.doctor.scratch import scratch
from poolrl.doctor.two_process_checks import pair_findings
from poolrl.errors import UsageError

__all__ = ["Finding", "brief", "examine"]


def examine(directory: Path) -> list[Finding]:
    """Try everything that a pool needs of a file system, with a second process; a few seconds.

    Args:
        directory: a pool, another folder, or a path that a folder can be made at.

    Raises:
        UsageError: there is no such folder, nor one above it.
    """
    if directory.is_dir():
        base = directory
    elif directory.parent.is_dir() and not os.path.lexists(directory):
        base = directory.parent
    else:
        raise UsageError(f"{directory}: no such directory, and none can be made there")
    findings = [mounts.kind(base)]
    try:
        with scratch(base) as folder:
            findings += [
                Finding("write", "ok", "folders and files can be made"),
                tried("exclusive create", calls.exclusive_create, folder),
                tried("hard link", calls.hard_link, folder),
                tried("rename", calls.rename, folder),
                tried("exchange", calls.exchange, folder),
                tried("fsync", calls.flush, folder),
                tried("long names", calls.long_names, folder),
                tried("clock", room.clock, folder),
                tried("space", room.space, folder),
                tried("inodes", room.inodes, folder),
                tried("permissions", room.permissions, folder),
            ]
            if not any(finding.level == "refused" for finding in findings):
                findings += pair_findings(folder)
    except OSError as error:
        findings.append(refusal("write", error))
        findings += [tried("space", room.space, base), tried("inodes", room.inodes, base)]
    return findings


def brief(root: Path) -> None:
    """Refuse a directory in which no pool can be safe, by the few calls that everything hangs on;
    a few milliseconds. The directory is made, unless it is refused, and nothing is left in it.

    Args:
        root: where a pool is to be made; what lies above it may be missing too.

    Raises:
        UsageError: exclusive creation, hard links or fsync do not work, it cannot be written to,
            or it is full.
    """
    made = []
    try:
        above = root
        while not os.path.lexists(above):
            made.append(above)
            above = above.parent
        for each in reversed(made):
            each.mkdir(exist_ok=True)
        with scratch(root) as folder:
            for name, check in (
                ("space", room.space),
                ("inodes", room.inodes),
                ("exclusive create", calls.exclusive_create),
                ("hard link", calls.hard_link),
                ("fsync", calls.flush),
            ):
                finding = tried(name, check, folder)
                if finding.level == "refused":
                    raise UsageError(f"{root}: no pool can be made here: {finding.found}")
    except (OSError, UsageError) as error:
        for each in made:
            with contextlib.suppress(OSError):  # not made, or no longer empty
                each.rmdir()
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"{root}: cannot make: {error.strerror or error}") from error
