"""From the deposits of an iteration to its one merge."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from poolrl.clock import SYSTEM_CLOCK, Clock
from poolrl.errors import PoolrlError
from poolrl.pool.directory import Pool
from poolrl.pool.merge_rules import NothingToSelect, merge
from poolrl.records.records import AgentRef, MergeRecord, WorkerInfo
from poolrl.records.work_units import Unit
from poolrl.worker.mean_merge import MissingAgent, publish_mean

log = logging.getLogger("poolrl.worker")


def merge_deposits(
    pool: Pool,
    previous: MergeRecord | None,
    units: Sequence[Unit],
    worker: WorkerInfo,
    min_deposits: int | None,
    clock: Clock = SYSTEM_CLOCK,
) -> bool:
    """Publish the merge of an iteration.

    Args:
        pool: the pool.
        previous: merge of the previous iteration; ``None`` for iteration 0.
        units: units of the iteration.
        worker: that merges.
        min_deposits: number of branches that must have succeeded for a merge of fewer deposits
            than units; ``None`` if all units must be deposited.
        clock: of the record.

    Returns:
        Whether the iteration has a merge now, this one or another worker's; ``False`` if a deposit
        is missing or had to be set aside.

    Raises:
        PoolrlError: there is nothing to select, since the initial unit failed.
    """
    deposit_store = pool.deposit_store()
    parent = previous.champion.sha256 if previous else ""
    found = (deposit_store.deposit(unit, parent) for unit in units)
    deposits = [deposit for deposit in found if deposit is not None]
    missing = len(units) - len(deposits)
    succeeded = sum(deposit.kind == "branch" and deposit.status == "done" for deposit in deposits)
    if missing and (min_deposits is None or succeeded < min_deposits):
        return False
    iteration = units[0].iteration
    rule = pool.spec.merge

    def mean(weights: Mapping[int, float]) -> AgentRef | None:
        assert previous is not None
        return publish_mean(deposit_store, previous, deposits, weights, rule)

    try:
        record = merge(
            previous,
            deposits,
            iteration=iteration,
            branches=pool.spec.pool.count,
            selection=pool.spec.selection,
            spec_sha256=pool.spec_sha256,
            rule=rule,
            mean=mean,
        )
    except MissingAgent:
        return False
    except NothingToSelect as error:
        reasons = "; ".join(deposit.reason for deposit in deposits)
        raise PoolrlError(f"{pool.layout.root}: {error}: {reasons}") from error
    if not deposit_store.publish_merge(replace(record, worker=worker, finished=clock.time())):
        return False
    if missing:
        log.warning("iteration %d: merged without %d deposits", iteration, missing)
    return True
