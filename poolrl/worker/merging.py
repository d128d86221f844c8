"""From the deposits of an iteration to its one merge, and to the sources of its second stage."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from msgspec import UNSET
from msgspec.structs import replace

from poolrl.clock import SYSTEM_CLOCK, Clock
from poolrl.errors import PoolrlError
from poolrl.pool.directory import Pool
from poolrl.pool.merge_rules import NothingToSelect, merge, sources_of
from poolrl.pool.replay_window import window_size
from poolrl.records.records import AgentRef, MergeRecord, SourcesRecord, UnitRecord, WorkerInfo
from poolrl.records.work_units import Unit
from poolrl.storage.deposits import DepositStore
from poolrl.worker.mean_merge import MissingAgent, publish_mean
from poolrl.worker.sources import agrees

log = logging.getLogger("poolrl.worker")


def publish_sources(
    pool: Pool, previous: MergeRecord | None, units: Sequence[Unit], min_deposits: int | None
) -> None:
    """Publish which deposits the second stage of an iteration is made of, unless one is missing.

    Args:
        pool: the pool.
        previous: merge of the previous iteration.
        units: of the first stage; those that the merge rule does not list are left out.
        min_deposits: as for ``merge_deposits``.
    """
    assert previous is not None
    parent = previous.champion.sha256
    deposit_store = pool.deposit_store()
    units = [unit for unit in units if pool.spec.merge.is_source(unit.kind)]
    deposits = _enough(_read(deposit_store, units, parent), units, min_deposits)
    if deposits is not None:
        deposit_store.publish_sources(
            sources_of(
                deposits,
                iteration=units[0].iteration,
                parent_sha256=parent,
                spec_sha256=pool.spec_sha256,
            )
        )


def merge_deposits(
    pool: Pool,
    previous: MergeRecord | None,
    units: Sequence[Unit],
    worker: WorkerInfo,
    min_deposits: int | None,
    clock: Clock = SYSTEM_CLOCK,
    sources: tuple[SourcesRecord, str] | None = None,
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
        sources: of the second stage, with their SHA-256; all that they list must be deposited, and
            an update.

    Returns:
        Whether the iteration has a merge now, this one or another worker's; ``False`` if a deposit
        is missing or had to be set aside.

    Raises:
        PoolrlError: there is nothing to select, since the initial unit failed.
    """
    deposit_store = pool.deposit_store()
    parent = previous.champion.sha256 if previous else ""
    deposits = _read(deposit_store, units, parent, sources[1] if sources else None)
    rule = pool.spec.merge
    if sources is not None:
        first_stage = [record for record in deposits if rule.is_source(record.kind)]
        if not _agree(deposit_store, first_stage, sources[0]):
            return False
        # An update is never left out: it would waste all that branches have sampled.
        needs_update = rule.shares_experience and bool(sources[0].done)
        if needs_update and not any(record.kind == "update" for record in deposits):
            return False
    enough = _enough(deposits, units, min_deposits)
    if enough is None or not _have_transitions(deposit_store, enough):
        return False
    deposits, missing = enough, len(units) - len(enough)
    iteration = units[0].iteration

    def mean(weights: Mapping[int, float]) -> AgentRef | None:
        assert previous is not None
        return publish_mean(deposit_store, previous, deposits, weights, rule)

    try:
        record = merge(
            previous,
            deposits,
            iteration=iteration,
            branches=pool.spec.pool.branches(iteration),
            selection=pool.spec.selection,
            spec_sha256=pool.spec_sha256,
            rule=rule,
            evolving=pool.spec.evolving,
            mean=mean,
            replay_window=window_size(pool.spec),
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


def _read(
    deposit_store: DepositStore, units: Sequence[Unit], parent: str, sources: str | None = None
) -> list[UnitRecord]:
    found = (deposit_store.deposit(unit, parent, sources) for unit in units)
    return [deposit for deposit in found if deposit is not None]


def _enough(
    deposits: list[UnitRecord], units: Sequence[Unit], min_deposits: int | None
) -> list[UnitRecord] | None:
    """The deposits if none is missing, or enough branches have succeeded; else ``None``."""
    succeeded = sum(deposit.kind == "branch" and deposit.status == "done" for deposit in deposits)
    missing = len(deposits) < len(units)
    return None if missing and (min_deposits is None or succeeded < min_deposits) else deposits


def _have_transitions(deposit_store: DepositStore, deposits: Sequence[UnitRecord]) -> bool:
    """Whether the transitions of all branches that deposited some are there; sets deposits aside
    whose are not, before a merge makes the next branches depend on them."""
    shared = [record for record in deposits if record.replay_sha256 is not UNSET]
    return all(deposit_store.branch_rollout(record) is not None for record in shared)


def _agree(
    deposit_store: DepositStore, first_stage: Sequence[UnitRecord], sources: SourcesRecord
) -> bool:
    """Whether all that sources list is deposited as they list it; sets them aside if it is not."""
    if not all(agrees(deposit_store, sources, record) for record in first_stage):
        return False
    return len(first_stage) == len(sources.deposits)
