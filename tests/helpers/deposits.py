"""Make deposits and merges in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from msgspec.structs import replace

from poolrl.config.schema import SelectionSpec
from poolrl.pool.merge_rules import merge
from poolrl.records.evaluation import Evaluation
from poolrl.records.records import AgentRef, MergeRecord, UnitRecord, WorkerInfo
from poolrl.records.work_units import KindName, Unit

WORKER = WorkerInfo(id="w", host="h", pid=1, versions={})
RULE = SelectionSpec(keep_parent=True, patience=3)


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def agent(unit: Unit) -> AgentRef:
    """The agent that a unit's record names."""
    if unit.kind == "parent":
        unit, digest = Unit(0, "initial", 0), sha256("parent")
    else:
        digest = sha256(unit.stem)
    return AgentRef(path=unit.agent_path(digest), sha256=digest)


def deposit(kind: KindName, index: int, returns: Sequence[float] | None) -> UnitRecord:
    """A deposit of iteration 1.

    Args:
        kind: of its unit.
        index: of its unit.
        returns: of its evaluation; ``None`` for a deposit that failed.
    """
    unit = Unit(1, kind, index)
    record = UnitRecord(
        spec_sha256=sha256("spec"),
        iteration=1,
        kind=kind,
        index=index,
        status="failed",
        parent_sha256=sha256("parent") if kind != "initial" else "",
        worker=WORKER,
    )
    if returns is None:
        return replace(record, reason="diverged")
    return replace(
        record,
        status="done",
        agent=agent(unit),
        evaluation=Evaluation.of(returns, [5] * len(returns), deterministic=True),
    )


def first(kept: int = 0) -> MergeRecord:
    """The merge of iteration 0, with the number of iterations that kept the parent."""
    unit = Unit(0, "initial", 0)
    initial = replace(deposit("initial", 0, [0.0]), iteration=0, agent=agent(unit))
    record = merge(
        None, [initial], iteration=0, branches=2, selection=RULE, spec_sha256=sha256("spec")
    )
    return replace(record, parent_kept=kept)


def choose(
    deposits: Sequence[UnitRecord], rule: SelectionSpec = RULE, kept: int = 0
) -> MergeRecord:
    """Merge the deposits of iteration 1.

    Args:
        deposits: of its branches and their parent.
        rule: the merge rule.
        kept: how many iterations before kept the parent.
    """
    branches = max(1, sum(d.kind == "branch" for d in deposits))
    return merge(
        first(kept),
        deposits,
        iteration=1,
        branches=branches,
        selection=rule,
        spec_sha256=sha256("spec"),
    )
