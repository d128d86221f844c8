"""Scratch folder of the checks, and its removal."""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

STALE_SECONDS = 3600.0
"""Age of a folder that was left by killed processes, in seconds."""

_NAME = re.compile(r"\.doctor-[0-9a-f]{32}")


@contextmanager
def scratch(base: Path) -> Iterator[Path]:
    """Create a folder in ``base``, and remove it with its content at the end.

    Raises:
        OSError: the folder cannot be created.
    """
    folder = base / f".doctor-{uuid.uuid4().hex}"
    folder.mkdir()
    try:
        _remove_stale(base, folder)
        yield folder
    finally:
        clear(folder)


def clear(folder: Path) -> None:
    """Remove a scratch folder; other processes may do so at the same time."""
    assert _NAME.fullmatch(folder.name)
    shutil.rmtree(folder, ignore_errors=True)


def _remove_stale(base: Path, own: Path) -> None:
    """Remove folders of killed processes; ages are by the clock of the file system."""
    folders: list[os.DirEntry[str]] = []
    # The next call removes what cannot be removed now.
    with suppress(OSError):
        now = own.lstat().st_mtime
        with os.scandir(base) as entries:
            folders += [entry for entry in entries if _NAME.fullmatch(entry.name)]
    for entry in folders:
        # Other workers may remove the same folders at the same time.
        with suppress(OSError):
            age = now - entry.stat(follow_symlinks=False).st_mtime
            if entry.is_dir(follow_symlinks=False) and age > STALE_SECONDS:
                clear(Path(entry.path))
