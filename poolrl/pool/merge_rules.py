"""The merge: a pure function from the deposits of an iteration to its champion."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from poolrl.config.merging import MergeSpec
from poolrl.config.schema import SelectionSpec
from poolrl.records.records import (
    BestEver,
    Champion,
    Difference,
    MergedDeposit,
    MergeRecord,
    MergeRuleName,
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
    rule: MergeSpec | None = None,
) -> MergeRecord:
    """Select the champion of an iteration.

    The result does not depend on the order of the deposits, nor on who made them and when. The
    branch with the highest score wins, the lowest index among equal scores. Deposits that failed,
    or have a score that is not finite, never win.

    Args:
        previous: merge of the previous iteration; ``None`` for iteration 0.
        deposits: records of the iteration's units.
        iteration: its number.
        branches: number of branches of an iteration.
        selection: when the champion is kept.
        spec_sha256: identity of the pool.
        rule: by which the champion comes from the branches; the default one by default.

    Raises:
        NothingToSelect: iteration 0 has no agent.
    """
    deposits = sorted(deposits, key=lambda record: (record.kind, record.index))
    parent = next((r for r in deposits if r.kind == "parent" and _succeeded(r)), None)
    ranked = sorted(
        (record for record in deposits if record.kind != "parent" and _succeeded(record)),
        key=lambda record: (-_score(record), record.index),
    )
    choice = _choose(previous, ranked, parent, selection)
    best_ever: BestEver | UnsetType = UNSET
    if rule is not None and rule.fallback is not None:
        choice, best_ever = _fall_back(previous, choice, rule.fallback)
    return MergeRecord(
        spec_sha256=spec_sha256,
        iteration=iteration,
        champion=choice.champion,
        rule=choice.rule,
        deposits=tuple(_listed(record) for record in deposits),
        parent_score=parent.score if parent else None,
        parent_kept=choice.parent_kept,
        failed_iterations=choice.failed_iterations,
        to_parent=choice.to_parent,
        to_runner_up=choice.to_runner_up,
        best_ever=best_ever,
        timing_dependent=len(deposits) < len(units_of(iteration, branches))
        or any(record.status == "abandoned" for record in deposits),
        environment_steps=sum(record.environment_steps for record in deposits)
        + (previous.environment_steps if previous else 0),
        training_steps=sum(r.training.environment_steps for r in deposits if r.training)
        + (previous.training_steps if previous else 0),
    )


class _Choice(NamedTuple):
    """The fields of a merge that depend on the rule."""

    rule: MergeRuleName
    champion: Champion
    parent_kept: int = 0
    failed_iterations: int = 0
    to_parent: Difference | None = None
    to_runner_up: Difference | None = None


def _choose(
    previous: MergeRecord | None,
    ranked: Sequence[UnitRecord],
    parent: UnitRecord | None,
    selection: SelectionSpec,
) -> _Choice:
    """Apply the rule.

    Args:
        previous: merge of the previous iteration; ``None`` for iteration 0.
        ranked: deposits that succeeded, the best one first, without the parent's.
        parent: the parent's deposit; ``None`` if it is missing or failed.
        selection: the rule.
    """
    if previous is None:
        if not ranked:
            raise NothingToSelect("there is no initial agent")
        return _Choice("initial", _champion(ranked[0]))
    # A score belongs to its seeds: that of a kept champion is the one on this iteration's seeds.
    kept = replace(previous.champion, score=parent.score if parent else None)
    if not ranked:
        return _Choice(
            "no branch succeeded",
            kept,
            parent_kept=previous.parent_kept + 1,
            failed_iterations=previous.failed_iterations + 1,
        )
    best, runner_up = ranked[0], (ranked[1] if len(ranked) > 1 else None)
    beaten = parent is None or _score(best) > _score(parent)
    if selection.keep_parent and not beaten and previous.parent_kept < selection.patience:
        return _Choice(
            "parent kept",
            kept,
            parent_kept=previous.parent_kept + 1,
            to_parent=Difference(mean=0.0, standard_error=0.0),
            to_runner_up=_difference(parent, best),
        )
    return _Choice(
        "best branch" if beaten or not selection.keep_parent else "patience",
        _champion(best),
        to_parent=_difference(best, parent),
        to_runner_up=_difference(best, runner_up),
    )


def _fall_back(
    previous: MergeRecord | None, choice: _Choice, most: int
) -> tuple[_Choice, BestEver]:
    """Apply the best-ever fallback: note a new best-ever selection score, or go back to the
    best-ever champion.

    Args:
        previous: merge of the previous iteration; ``None`` for iteration 0.
        choice: the choice without fallback.
        most: iterations without a new best-ever score after which the choice still counts.
    """
    if previous is None or previous.best_ever is UNSET:
        return choice, BestEver(champion=choice.champion, iterations_since=0)
    best, since = previous.best_ever.champion, previous.best_ever.iterations_since + 1
    # A champion that is kept where no branch succeeded was selected before, by another score.
    selected = choice.champion.score if choice.rule == "best branch" else None
    assert best.score is not None  # it was selected by it
    if selected is not None and selected > best.score:
        return choice, BestEver(champion=choice.champion, iterations_since=0)
    if since <= most:
        return choice, BestEver(champion=best, iterations_since=since)
    return (
        _Choice(
            "best-ever fallback",
            replace(best, score=None),  # it was not evaluated on this iteration's seeds
            failed_iterations=choice.failed_iterations,
        ),
        BestEver(champion=best, iterations_since=0),
    )


def _succeeded(record: UnitRecord) -> bool:
    return record.score is not None and math.isfinite(record.score) and record.agent is not None


def _score(record: UnitRecord) -> float:
    assert record.score is not None
    return record.score


def _champion(record: UnitRecord) -> Champion:
    agent = record.agent
    assert agent is not None
    return Champion(
        path=agent.path,
        sha256=agent.sha256,
        score=record.score,
        iteration=record.iteration,
        kind=record.kind,
        index=record.index,
    )


def _listed(record: UnitRecord) -> MergedDeposit:
    return MergedDeposit(
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
