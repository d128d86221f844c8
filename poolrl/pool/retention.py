"""Retention: removal of agents that lost, of rollouts, and of temporary files of killed processes.

Merges, records, attempts, champions and the initial agent of the pool are never removed, nor is
anything outside the pool's own folders.
"""

from __future__ import annotations

import logging
import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from poolrl.config.run_options import RetentionRule
from poolrl.pool.directory import Pool
from poolrl.records.records import MergeRecord
from poolrl.storage.deposits import DepositStore
from poolrl.storage.plain_files import StoreError

log = logging.getLogger("poolrl.pool")

STALE_SECONDS = 86_400.0
"""Age at which a temporary file counts as abandoned; far above any difference of clocks."""

_TEMPORARY = re.compile(r"\.tmp-[0-9a-f]{32}")
_SET_ASIDE = re.compile(
    r"[a-z]+(-\d{3,6}(-[0-9a-f]{16})?)?\.(json|safetensors)\.corrupt-[0-9a-f]{32}"
)

Category = Literal["agents that lost", "rollouts", "temporary files", "files set aside"]

LOST: Category = "agents that lost"


@dataclass(frozen=True)
class Removable:
    """A file that may be removed.

    Attributes:
        folder: path relative to the pool's root.
        name: file name.
        size: bytes.
        category: kind of file, as reported to the user.
    """

    folder: str
    name: str
    size: int
    category: Category


def remove_expired(deposit_store: DepositStore, newest: MergeRecord, rule: RetentionRule) -> None:
    """Remove the losing agents, and the rollouts, of the iteration that expires with a merge, and
    the chunks of iterations before it that are no longer in the window of a shared replay.

    Refusals of the file system are logged, not raised: a file that stays costs only space.

    Args:
        deposit_store: files of the pool.
        newest: the newest merge.
        rule: retention rule.
    """
    expired = rule.newest_expired(newest.iteration)
    if expired < 0:
        return
    left: set[int] = set()
    if newest.iteration > 0 and newest.window:
        before = deposit_store.merge(newest.iteration - 1).window
        left = {chunk.iteration for chunk in before if chunk not in newest.window}
    for number in sorted({expired, *(number for number in left if number < expired)}):
        merged = newest if number == newest.iteration else deposit_store.merge(number)
        _remove_losers(deposit_store, merged, newest)


def remove_late_agents(deposit_store: DepositStore, iteration: int, rule: RetentionRule) -> None:
    """Remove the losing agents of an iteration, and its rollouts, again, after one was deposited
    too late.

    Args:
        deposit_store: files of the pool.
        iteration: number of the iteration.
        rule: retention rule.
    """
    newest = deposit_store.newest_merge()
    if newest is not None and iteration <= rule.newest_expired(newest.iteration):
        _remove_losers(deposit_store, deposit_store.merge(iteration), newest)


def _remove_losers(deposit_store: DepositStore, merged: MergeRecord, newest: MergeRecord) -> None:
    try:
        deposit_store.remove_losers(merged, newest.window)
    except StoreError as error:
        log.warning("%s", error)


def removable(pool: Pool, rule: RetentionRule, *, set_aside: bool = False) -> list[Removable]:
    """List the files that may be removed; workers may run meanwhile.

    Args:
        pool: the pool.
        rule: retention rule of the agents of merged iterations.
        set_aside: whether damaged files that were set aside are listed too.

    Raises:
        IncompatiblePool: a merge is damaged or belongs to another pool.
        StoreError: the file system refused, or a folder is a symbolic link.
    """
    layout, deposit_store = pool.layout, pool.deposit_store()
    numbers = deposit_store.iterations()
    files = {number: pool.store.files_in(layout.iteration(number).folder) for number in numbers}
    merges = [
        deposit_store.merge(number)
        for number in numbers
        if layout.iteration(number).merge.name in files[number]
    ]
    champions = {merged.champion.path for merged in merges}
    expired = rule.newest_expired(merges[-1].iteration) if merges else -1
    window = merges[-1].window if merges else ()
    found: list[Removable] = []
    for merged in merges:
        if merged.iteration > expired:
            continue
        iteration = layout.iteration(merged.iteration)
        folder = layout.relative(iteration.folder)
        own = files[merged.iteration]
        found += [
            Removable(
                folder, name, own[name].size, "rollouts" if iteration.is_rollout(name) else LOST
            )
            for name in deposit_store.losers(merged, window)
            if name in own and f"{folder}/{name}" not in champions
        ]
    folders = [layout.relative(layout.iteration(number).folder) for number in numbers]
    for folder in [".", "workers", *folders]:
        found += _abandoned_files(pool, folder, set_aside=set_aside)
    return found


def _abandoned_files(pool: Pool, folder: str, *, set_aside: bool) -> Iterator[Removable]:
    now = time.time()
    for name, file in pool.store.files_in(pool.layout.root / folder).items():
        if _TEMPORARY.fullmatch(name) and now - file.changed > STALE_SECONDS:
            yield Removable(folder, name, file.size, "temporary files")
        elif set_aside and _SET_ASIDE.fullmatch(name):
            yield Removable(folder, name, file.size, "files set aside")


def remove(pool: Pool, files: list[Removable]) -> list[Removable]:
    """Remove files of a pool.

    Returns:
        The files that this call removed; those that another process removed first are missing.

    Raises:
        StoreError: the file system refused.
    """
    removed: list[Removable] = []
    for folder in Counter(file.folder for file in files):
        own = {file.name: file for file in files if file.folder == folder}
        removed += [own[name] for name in pool.store.remove_files(pool.layout.root / folder, own)]
    return removed
