"""From an iteration's deposits to its one merge."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from msgspec.structs import replace

from poolrl.errors import PoolrlError
from poolrl.pool.directory import Pool
from poolrl.pool.merge_rules import NothingToSelect, merge
from poolrl.records.records import MergeRecord, WorkerInfo
from poolrl.records.work_units import Unit
from poolrl.storage.deposits import Archive

log = logging.getLogger("poolrl.worker")


def merge_deposits(
    pool: Pool,
    archive: Archive,
    previous: MergeRecord | None,
    units: Sequence[Unit],
    worker: WorkerInfo,
    least: int | None,
) -> bool:
    """Publish the merge of an iteration.

    Args:
        pool: whose iteration it is.
        archive: its files.
        previous: the merge of the iteration before.
        units: the iteration's units.
        worker: who merges.
        least: branches that must have succeeded for a merge of fewer deposits than units; ``None``
            where all units must be there.

    Returns:
        Whether there is a merge now, this one or another worker's; not where a deposit is missing
        or had to be set aside.

    Raises:
        PoolrlError: there is nothing to select, since the initial agent failed.
    """
    parent = previous.champion.sha256 if previous else ""
    found = (archive.deposit(unit, parent) for unit in units)
    deposits = [deposit for deposit in found if deposit is not None]
    missing = len(units) - len(deposits)
    succeeded = sum(deposit.kind == "branch" and deposit.score is not None for deposit in deposits)
    if missing and (least is None or succeeded < least):
        return False
    iteration = units[0].iteration
    try:
        record = merge(
            previous,
            deposits,
            iteration=iteration,
            branches=pool.spec.pool.count,
            selection=pool.spec.selection,
            spec_sha256=pool.spec_sha256,
        )
    except NothingToSelect as error:
        reasons = "; ".join(deposit.reason for deposit in deposits)
        raise PoolrlError(f"{pool.layout.root}: {error}: {reasons}") from error
    if not archive.publish_merge(replace(record, worker=worker, finished=time.time())):
        return False
    if missing:
        log.warning("iteration %d: merged without %d deposits", iteration, missing)
    return True
