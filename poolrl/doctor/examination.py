"""Checks whether the file system of a directory can hold a pool."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from poolrl.doctor import checks, mounts
from poolrl.doctor.checks import CheckResult, refusal, run_check
from poolrl.doctor.scratch import scratch
from poolrl.doctor.two_process_checks import run_two_process_checks
from poolrl.errors import UsageError


def check_file_system(directory: Path) -> list[CheckResult]:
    """Run all checks, with a second process; takes a few seconds.

    Args:
        directory: a pool, another folder, or a path at which a folder can be created.

    Returns:
        One result per check, in the order in which they ran.

    Raises:
        UsageError: neither the folder nor its parent exists.
    """
    # Not Path.is_dir, which raises where the folder above may not be searched.
    if os.path.isdir(directory):
        base = directory
    elif os.path.isdir(directory.parent) and not os.path.lexists(directory):
        base = directory.parent
    else:
        raise UsageError(f"{directory}: no such directory, and none can be made there")
    results = [mounts.kind(base)]
    try:
        with scratch(base) as folder:
            results += [
                CheckResult("write", "ok", "folders and files can be made"),
                run_check("exclusive create", checks.exclusive_create, folder),
                run_check("hard link", checks.hard_link, folder),
                run_check("rename", checks.rename, folder),
                run_check("exchange", checks.exchange, folder),
                run_check("fsync", checks.flush, folder),
                run_check("long names", checks.long_names, folder),
                run_check("clock", checks.clock, folder),
                run_check("space", checks.space, folder),
                run_check("inodes", checks.inodes, folder),
                run_check("permissions", checks.permissions, folder),
            ]
            if not any(result.level == "refused" for result in results):
                results += run_two_process_checks(folder)
    except OSError as error:
        results.append(refusal("write", error))
        results += [
            run_check("space", checks.space, base),
            run_check("inodes", checks.inodes, base),
        ]
    return results


def check_briefly(root: Path) -> None:
    """Refuse a directory in which no pool can be safe, by the most important checks.

    Takes a few milliseconds. The directory is created unless it is refused; nothing is left in it.

    Args:
        root: where to create a pool; its parents may be missing too.

    Raises:
        UsageError: exclusive creation, hard links or fsync do not work, the directory is not
            writable, or the file system is full.
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
                ("space", checks.space),
                ("inodes", checks.inodes),
                ("exclusive create", checks.exclusive_create),
                ("hard link", checks.hard_link),
                ("fsync", checks.flush),
            ):
                result = run_check(name, check, folder)
                if result.level == "refused":
                    raise UsageError(f"{root}: no pool can be made here: {result.found}")
    except (OSError, UsageError) as error:
        for each in made:
            with contextlib.suppress(OSError):  # not created, or no longer empty
                each.rmdir()
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"{root}: cannot make: {error.strerror or error}") from error
