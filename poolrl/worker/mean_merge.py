"""The agent of the merge rule ``mean``, from the files of an iteration's branches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from poolrl.agent import Agent
from poolrl.algorithms.averaging import mean_agent
from poolrl.config.merging import MergeSpec
from poolrl.errors import Divergence
from poolrl.records.records import AgentRef, Champion, MergeRecord, UnitRecord
from poolrl.records.work_units import Unit
from poolrl.storage.deposits import DepositStore


class MissingAgent(Exception):
    """The agent or rollout of a deposit is missing or damaged; the deposit was set aside, or the
    iteration has been merged by another worker."""


def read_branch(deposit_store: DepositStore, record: UnitRecord) -> Agent:
    """Read the agent of a branch that is not merged yet.

    Raises:
        MissingAgent: its file is missing or damaged.
    """
    stem = record.unit.stem
    data = deposit_store.branch_agent(record)
    if data is None:
        raise MissingAgent(stem)
    return Agent.from_bytes(data, stem)


def publish_mean(
    deposit_store: DepositStore,
    previous: MergeRecord,
    deposits: Sequence[UnitRecord],
    weights: Mapping[int, float],
    rule: MergeSpec,
) -> AgentRef | None:
    """Make the mean of an iteration's branches, and publish it.

    Args:
        deposit_store: files of the pool.
        previous: merge of the previous iteration.
        deposits: of the iteration.
        weights: of ``poolrl.pool.merge_rules.mean_weights``.
        rule: step and momentum.

    Returns:
        Its file; ``None`` if it is not finite.

    Raises:
        MissingAgent: an agent of a branch cannot be read.
        IncompatiblePool: that of a champion cannot be read.
    """
    records = {record.index: record for record in deposits if record.kind == "branch"}
    branches = [read_branch(deposit_store, records[index]) for index in weights]
    mean = mean_of(deposit_store, previous, branches, list(weights.values()), rule)
    if mean is None:
        return None
    unit = Unit(previous.iteration + 1, "mean", 0)
    return deposit_store.publish_agent(unit, mean.to_bytes())


def mean_of(
    deposit_store: DepositStore,
    previous: MergeRecord,
    branches: Sequence[Agent],
    weights: Sequence[float],
    rule: MergeSpec,
) -> Agent | None:
    """The mean of branches that started from the champion of a merge; ``None`` if it is not finite.

    Args:
        deposit_store: has the champion, and the one before it.
        previous: the merge.
        branches: in the order of their indices.
        weights: of each of them.
        rule: step and momentum.

    Raises:
        IncompatiblePool: a champion cannot be read.
    """

    def champion(named: Champion) -> Agent:
        return Agent.from_bytes(deposit_store.champion(named), named.path)

    before = None
    if rule.momentum and previous.iteration > 0 and previous.rule != "best-ever fallback":
        before = champion(deposit_store.merge(previous.iteration - 1).champion)
    try:
        return mean_agent(
            champion(previous.champion),
            branches,
            weights,
            step=rule.step,
            before=before,
            momentum=rule.momentum,
        )
    except Divergence:
        return None
