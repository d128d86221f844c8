"""The merge: a pure function from an iteration's deposits to its champion. No file is touched."""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec.structs import replace

from poolrl.config.schema import SelectionSpec
from poolrl.records.records import (
    AgentRef,
    Candidate,
    Champion,
    Difference,
    MergeRecord,
    UnitRecord,
    paired_difference,
)
from poolrl.records.work_units import units_of


class NothingToSelect(ValueError):
    """There is no agent at all: the initial unit failed."""


def merge(
    previous: MergeRecord | None,
    deposits: Sequence[UnitRecord],
    *,
    iteration: int,
    branches: int,
    selection: SelectionSpec,
    spec_sha256: str,
) -> MergeRecord:
    """Name the champion of an iteration.

    The order of the deposits does not matter, nor who made them and when. The highest score wins,
    of equal ones the lowest index; what failed, or whose score is not finite, never does.

    Args:
        previous: the merge of the iteration before; ``None`` for iteration 0.
        deposits: the records of the iteration's units.
        iteration: its number.
        branches: how many branches it has.
        selection: the rule.
        spec_sha256: identity of the pool.

    Raises:
        NothingToSelect: iteration 0 has no agent.
    """
    deposits = sorted(deposits, key=lambda record: (record.kind, record.index))
    ranked = sorted(
        (record for record in deposits if record.kind != "parent" and _succeeded(record)),
        key=lambda record: (-_score(record), record.index),
    )
    parent = next((r for r in deposits if r.kind == "parent" and _succeeded(r)), None)
    common = MergeRecord(
        spec_sha256=spec_sha256,
        iteration=iteration,
        champion=_champion(ranked[0]) if ranked else _standing(previous, parent),
        rule="no branch succeeded",
        deposits=tuple(_candidate(record) for record in deposits),
        parent_score=parent.score if parent else None,
        timing_dependent=len(deposits) < len(units_of(iteration, branches))
        or any(record.status == "abandoned" for record in deposits),
        environment_steps=sum(record.environment_steps for record in deposits)
        + (previous.environment_steps if previous else 0),
        training_steps=sum(r.training.environment_steps for r in deposits if r.training)
        + (previous.training_steps if previous else 0),
    )
    kept_before = previous.parent_kept if previous else 0
    if previous is None:
        return replace(common, rule="initial")
    if not ranked:
        return replace(
            common,
            parent_kept=kept_before + 1,
            failed_iterations=previous.failed_iterations + 1,
        )

    best, runner_up = ranked[0], (ranked[1] if len(ranked) > 1 else None)
    beaten = parent is None or _score(best) > _score(parent)
    if beaten or not selection.keep_parent:
        rule = "best branch"
    elif kept_before >= selection.patience:
        rule = "patience"
    else:
        return replace(
            common,
            champion=_standing(previous, parent),
            rule="parent kept",
            parent_kept=kept_before + 1,
            to_parent=Difference(mean=0.0, standard_error=0.0),
            to_runner_up=_difference(parent, best),
        )
    return replace(
        common,
        rule=rule,
        to_parent=_difference(best, parent),
        to_runner_up=_difference(best, runner_up),
    )


def _succeeded(record: UnitRecord) -> bool:
    return record.score is not None and math.isfinite(record.score) and record.agent is not None


def _score(record: UnitRecord) -> float:
    assert record.score is not None
    return record.score


def _champion(record: UnitRecord) -> Champion:
    agent: AgentRef | None = record.agent
    assert agent is not None
    return Champion(
        path=agent.path,
        sha256=agent.sha256,
        score=record.score,
        iteration=record.iteration,
        kind=record.kind,
        index=record.index,
    )


def _standing(previous: MergeRecord | None, parent: UnitRecord | None) -> Champion:
    if previous is None:
        raise NothingToSelect("there is no initial agent")
    # A score belongs to its seeds, so the standing champion's is the one on this iteration's.
    return replace(previous.champion, score=parent.score if parent else None)


def _candidate(record: UnitRecord) -> Candidate:
    return Candidate(
        kind=record.kind,
        index=record.index,
        status=record.status,
        score=record.score,
        sha256=record.agent.sha256 if record.agent else "",
    )


def _difference(a: UnitRecord | None, b: UnitRecord | None) -> Difference | None:
    if a is None or b is None or a.evaluation is None or b.evaluation is None:
        return None
    return paired_difference(a.evaluation, b.evaluation)
