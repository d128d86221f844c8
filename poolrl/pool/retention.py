"""What of a pool may go: agents that lost, and what killed processes left behind.

Never a merge, a record, an attempt, an agent that a merge named champion, or the agent that the
pool was given; and nothing outside the pool's own folders.
"""

from __future__ import annotations

import logging
import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from poolrl.config.retention_rule import Keep
from poolrl.pool.directory import Pool
from poolrl.records.records import MergeRecord
from poolrl.storage.deposits import Archive
from poolrl.storage.plain_files import plain_files, remove_files
from poolrl.storage.store import StoreError

log = logging.getLogger("poolrl.pool")

STALE_SECONDS = 86_400.0
"""Age of a temporary file that nobody is writing any more; far above any difference of clocks."""

_TEMPORARY = re.compile(r"\.tmp-[0-9a-f]{32}")
_SET_ASIDE = re.compile(
    r"[a-z]+(-\d{3,6}(-[0-9a-f]{16})?)?\.(json|safetensors)\.corrupt-[0-9a-f]{32}"
)

What = Literal["agents that lost", "temporary files", "files set aside"]


@dataclass(frozen=True)
class Removable:
    """A file that may go.

    Attributes:
        folder: from the pool's root.
        name: in the folder.
        size: bytes.
        what: why it may go.
    """

    folder: str
    name: str
    size: int
    what: What


def clean_up(archive: Archive, newest: MergeRecord, keep: Keep) -> None:
    """Remove the agents whose time has come with a merge; a file system that refuses is no reason
    to end, since all that it costs is space."""
    expired = keep.expired(newest.iteration)
    if expired >= 0:
        _remove_losers(archive, newest if expired == newest.iteration else archive.merge(expired))


def clean_up_again(archive: Archive, iteration: int, keep: Keep) -> None:
    """Remove an agent that came when its iteration had been merged, and cleaned up."""
    newest = archive.newest_merge()
    if newest is not None and iteration <= keep.expired(newest.iteration):
        _remove_losers(archive, archive.merge(iteration))


def _remove_losers(archive: Archive, merged: MergeRecord) -> None:
    try:
        archive.remove_losers(merged)
    except StoreError as error:
        log.warning("%s", error)


def removable(pool: Pool, keep: Keep, *, set_aside: bool = False) -> list[Removable]:
    """What may go from a pool, which may be at work meanwhile.

    Args:
        pool: whose files.
        keep: the rule for the agents of merged iterations.
        set_aside: whether damaged files that were set aside may go too.

    Raises:
        IncompatiblePool: a merge is damaged or belongs to another pool.
        StoreError: the file system refused, or a folder is a symbolic link.
    """
    layout, archive = pool.layout, Archive(pool)
    numbers = archive.iterations()
    files = {
        number: plain_files(layout.root, layout.relative(layout.iteration(number).folder))
        for number in numbers
    }
    merges = [
        archive.merge(number)
        for number in numbers
        if layout.iteration(number).merge.name in files[number]
    ]
    champions = {merged.champion.path for merged in merges}
    expired = keep.expired(merges[-1].iteration) if merges else -1
    found: list[Removable] = []
    for merged in merges:
        if merged.iteration > expired:
            continue
        folder = layout.relative(layout.iteration(merged.iteration).folder)
        own = files[merged.iteration]
        found += [
            Removable(folder, name, own[name].size, "agents that lost")
            for name in archive.losers(merged)
            if name in own and f"{folder}/{name}" not in champions
        ]
    folders = [layout.relative(layout.iteration(number).folder) for number in numbers]
    for folder in [".", "workers", *folders]:
        found += _left_behind(pool, folder, set_aside=set_aside)
    return found


def _left_behind(pool: Pool, folder: str, *, set_aside: bool) -> Iterator[Removable]:
    now = time.time()
    for name, file in plain_files(pool.layout.root, folder).items():
        if _TEMPORARY.fullmatch(name) and now - file.changed > STALE_SECONDS:
            yield Removable(folder, name, file.size, "temporary files")
        elif set_aside and _SET_ASIDE.fullmatch(name):
            yield Removable(folder, name, file.size, "files set aside")


def remove(pool: Pool, files: list[Removable]) -> list[Removable]:
    """Remove what may go.

    Returns:
        What was removed; less than was asked for where another process was first.

    Raises:
        StoreError: the file system refused.
    """
    removed: list[Removable] = []
    for folder in Counter(file.folder for file in files):
        own = {file.name: file for file in files if file.folder == folder}
        removed += [own[name] for name in remove_files(pool.layout.root, folder, own)]
    return removed
