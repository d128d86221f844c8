"""The folder in which the file system is tried, and its removal."""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

STALE_SECONDS = 3600.0
"""Older folders are of a doctor that was killed together with the process that cleans up."""

_OURS = re.compile(r"\.doctor-[0-9a-f]{32}")


@contextmanager
def scratch(base: Path) -> Iterator[Path]:
    """A new folder in ``base``, removed at the end with all that is in it.

    Raises:
        OSError: it cannot be made.
    """
    folder = base / f".doctor-{uuid.uuid4().hex}"
    folder.mkdir()
    try:
        _sweep(base, folder)
        yield folder
    finally:
        clear(folder)


def clear(folder: Path) -> None:
    """Remove a scratch folder, whoever else does so at the same time."""
    assert _OURS.fullmatch(folder.name)
    shutil.rmtree(folder, ignore_errors=True)


def _sweep(base: Path, own: Path) -> None:
    """Remove what a killed doctor has left; ages are told by the file system's own clock."""
    ours: list[os.DirEntry[str]] = []
    # What cannot be swept now is swept the next time.
    with suppress(OSError):
        now = own.lstat().st_mtime
        with os.scandir(base) as entries:
            ours += [entry for entry in entries if _OURS.fullmatch(entry.name)]
    for entry in ours:
        # Ten workers may look at once, and each removes its own.
        with suppress(OSError):
            age = now - entry.stat(follow_symlinks=False).st_mtime
            if entry.is_dir(follow_symlinks=False) and age > STALE_SECONDS:
                clear(Path(entry.path))
