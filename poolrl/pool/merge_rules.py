"""The merge: a pure function from the deposits of an iteration to its champion."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from poolrl.config.merging import MergeSpec
from poolrl.config.scoring import SelectionSpec
from poolrl.pool.evolution import mean_values, values_of
from poolrl.pool.replay_window import next_window
from poolrl.records.evaluation import Difference, paired_difference
from poolrl.records.records import (
    AgentRef,
    BestEver,
    Champion,
    MergedDeposit,
    MergeRecord,
    MergeRuleName,
    SourcesRecord,
    UnitRecord,
)
from poolrl.records.work_units import second_stage_of, units_of


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
    evolving: Mapping[str, float] | None = None,
    mean: Callable[[Mapping[int, float]], AgentRef | None] | None = None,
    replay_window: int = 0,
) -> MergeRecord:
    """Select the champion of an iteration.

    The result does not depend on the order of the deposits, nor on who made them and when.
    Deposits that failed, or have a score that is not finite, never win, nor are they part of a
    mean. By the rule ``best`` the branch with the highest score wins, the lowest index among equal
    scores; candidates compete with branches, and of equal scores a branch is before a candidate,
    and a candidate before the parent. Where scores are no returns, or the lowest one is the best,
    ``selection`` says so, and the return decides between equal ones first. By the rule ``update``
    the agent of the update wins.

    Args:
        previous: merge of the previous iteration; ``None`` for iteration 0.
        deposits: records of the iteration's units.
        iteration: its number.
        branches: number of branches of an iteration.
        selection: when the champion is kept.
        spec_sha256: identity of the pool.
        rule: by which the champion comes from the branches; ``best`` by default.
        evolving: hyper-parameters that evolve, with the values that they start at.
        mean: makes the agent of the rule ``mean``, from the weights of branches by index, in
            ascending order; returns ``None`` if it is not finite. Called where it becomes champion.
        replay_window: transitions of the window of a shared replay; 0 for none.

    Raises:
        NothingToSelect: iteration 0 has no agent.
    """
    rule = rule or MergeSpec()
    deposits = sorted(deposits, key=lambda record: (record.kind, record.index))
    parent = next((r for r in deposits if r.kind == "parent" and _succeeded(r)), None)
    ranked = succeeded([r for r in deposits if r.kind != "parent"], rule, selection)
    update = next((r for r in deposits if r.kind == "update"), None)
    best_ever: BestEver | UnsetType = UNSET
    if rule.fallback is not None:
        best_ever = _best_ever(previous, ranked, parent, rule, selection)
    if (
        previous is not None
        and best_ever is not UNSET
        and best_ever.iterations_since > (rule.fallback or 0)
    ):
        best_ever = replace(best_ever, iterations_since=0)
        # It was not evaluated on this iteration's seeds.
        champion = replace(best_ever.champion, score=None)
        failed = 0 if ranked else previous.failed_iterations + 1
        choice = _Choice("best-ever fallback", champion, failed_iterations=failed)
    else:
        choice = _choose(previous, ranked, parent, selection, rule, mean)
        if choice.rule == "no branch succeeded" and update is not None:
            choice = choice._replace(rule="update failed")
    values: dict[str, float] | UnsetType = UNSET
    if evolving:
        values = _line_values(previous, choice, ranked, rule, evolving, best_ever)
        if best_ever is not UNSET and best_ever.champion == choice.champion:
            best_ever = replace(best_ever, hyperparameters=values)
    return MergeRecord(
        spec_sha256=spec_sha256,
        iteration=iteration,
        champion=choice.champion,
        rule=choice.rule,
        deposits=tuple(_listed(record) for record in deposits),
        parent_score=parent.score if parent else None,
        parent_return=_return(deposits) if selection.score != "return" else UNSET,
        parent_kept=choice.parent_kept,
        failed_iterations=choice.failed_iterations,
        to_parent=choice.to_parent,
        to_runner_up=choice.to_runner_up,
        best_ever=best_ever,
        hyperparameters=values,
        replay=next_window(previous, deposits, replay_window) if replay_window else UNSET,
        timing_dependent=len(deposits) < _expected(iteration, branches, deposits, rule)
        or any(record.status == "abandoned" for record in deposits),
        environment_steps=sum(record.environment_steps for record in deposits)
        + (previous.environment_steps if previous else 0),
        training_steps=sum(record.training_steps for record in deposits)
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
    rule: MergeSpec,
    mean: Callable[[Mapping[int, float]], AgentRef | None] | None,
) -> _Choice:
    """Apply the rule.

    Args:
        previous: merge of the previous iteration; ``None`` for iteration 0.
        ranked: deposits that succeeded, the best one first, without the parent's.
        parent: the parent's deposit; ``None`` if it is missing or failed.
        selection, rule, mean: as for ``merge``.
    """
    if previous is None:
        if not ranked:
            raise NothingToSelect("there is no initial agent")
        return _Choice("initial", _champion(ranked[0]))
    # A score belongs to its seeds: that of a kept champion is the one on this iteration's seeds.
    kept = replace(previous.champion, score=parent.score if parent else None)
    failed = _Choice(
        "no branch succeeded",
        kept,
        parent_kept=previous.parent_kept + 1,
        failed_iterations=previous.failed_iterations + 1,
    )
    if not ranked:
        return failed
    best, runner_up = ranked[0], (ranked[1] if len(ranked) > 1 else None)
    beaten = (
        parent is None
        or not rule.evaluates_branches
        or _merit(best, selection) > _merit(parent, selection)
        or (bool(rule.candidates) and _merit(best, selection) == _merit(parent, selection))
    )
    if selection.keep_parent and not beaten and previous.parent_kept < selection.patience:
        return _Choice(
            "parent kept",
            kept,
            parent_kept=previous.parent_kept + 1,
            to_parent=Difference(mean=0.0, standard_error=0.0),
            to_runner_up=_difference(parent, best),
        )
    if rule.rule == "mean":
        assert mean is not None
        agent = mean(mean_weights(ranked, rule))
        if agent is None:
            return failed._replace(rule="mean not finite")
        return _Choice("mean", _mean_champion(agent, best.iteration))
    names: dict[str, MergeRuleName] = {"candidate": "best candidate", "update": "update"}
    name = names.get(best.kind, "best branch")
    return _Choice(
        name if beaten or not selection.keep_parent else "patience",
        _champion(best),
        to_parent=_difference(best, parent),
        to_runner_up=_difference(best, runner_up),
    )


def _line_values(
    previous: MergeRecord | None,
    choice: _Choice,
    ranked: Sequence[UnitRecord],
    rule: MergeSpec,
    evolving: Mapping[str, float],
    best_ever: BestEver | UnsetType,
) -> dict[str, float]:
    """The values of evolving hyper-parameters that come with the champion.

    Args:
        previous: merge of the previous iteration; ``None`` for iteration 0.
        choice: of this iteration.
        ranked, rule, evolving: as for ``merge`` and ``_choose``.
        best_ever: after this merge.
    """
    if previous is None:
        return dict(evolving)
    champion = choice.champion
    if choice.rule == "best-ever fallback" and best_ever is not UNSET:
        return dict(best_ever.hyperparameters or evolving)
    if ranked and champion.iteration == ranked[0].iteration:
        branches = [record for record in ranked if record.kind == "branch"]
        if champion.kind == "branch":
            (own,) = (record for record in branches if record.index == champion.index)
            return values_of(own, evolving)
        return mean_values(branches, mean_weights(branches, rule), evolving)
    return previous.line_values or dict(evolving)


def succeeded(
    deposits: Sequence[UnitRecord], rule: MergeSpec, selection: SelectionSpec
) -> list[UnitRecord]:
    """The deposits that a merge may choose from, the best one first; of equal scores the one with
    the higher return, of equal ones, and without scores, branches before candidates, in the order
    of their indices."""
    chosen = [record for record in deposits if _succeeded(record, rule)]

    def order(record: UnitRecord) -> tuple[float, float, bool, int]:
        score, mean_return = _merit(record, selection)
        return -score, -mean_return, record.kind == "candidate", record.index

    return sorted(chosen, key=order)


def mean_weights(ranked: Sequence[UnitRecord], rule: MergeSpec) -> dict[int, float]:
    """Weights of branches in the mean, by index in ascending order; their sum is 1.

    Args:
        ranked: branches that succeeded, the best one first; at least one.
        rule: uniform, or by rank; branches with a weight of 0 are left out.
    """
    n = len(ranked)
    raw = [1.0] * n
    if rule.weights == "rank" and n > 1:
        raw = [max(0.0, math.log((n + 1) / 2) - math.log(rank)) for rank in range(1, n + 1)]
    total = math.fsum(raw)
    weights = {r.index: w / total for r, w in zip(ranked, raw, strict=True) if w > 0}
    return dict(sorted(weights.items()))


def _best_ever(
    previous: MergeRecord | None,
    ranked: Sequence[UnitRecord],
    parent: UnitRecord | None,
    rule: MergeSpec,
    selection: SelectionSpec,
) -> BestEver:
    """The best-ever champion by the scores that champions were selected by, and the number of
    iterations without a better one.

    By the rules ``mean`` and ``update`` a champion is not evaluated before the next iteration, as
    its parent: its score is that one, known one merge later.
    """
    if previous is None or previous.best_ever is UNSET:
        if not ranked:
            raise NothingToSelect("there is no initial agent")
        return BestEver(champion=_champion(ranked[0]), iterations_since=0)
    known = previous.best_ever
    if not rule.evaluates_champions:
        if previous.champion.sha256 == known.champion.sha256:
            return known  # no other champion has been measured
        new = replace(previous.champion, score=parent.score) if parent else None
        values = previous.hyperparameters
    else:
        new, values = (_champion(ranked[0]) if ranked else None), UNSET  # known with the choice
    assert known.champion.score is not None  # it was selected by it
    sign, best = selection.sign, known.champion.score
    if new is not None and new.score is not None and sign * new.score > sign * best:
        return BestEver(champion=new, iterations_since=0, hyperparameters=values)
    return replace(known, iterations_since=known.iterations_since + 1)


def _succeeded(record: UnitRecord, rule: MergeSpec | None = None) -> bool:
    if record.agent is None or record.status != "done":
        return False
    if rule is not None and not rule.evaluates_branches and record.kind in ("branch", "update"):
        return True
    return record.score is not None and math.isfinite(record.score)


def _merit(record: UnitRecord, selection: SelectionSpec) -> tuple[float, float]:
    """Score, so that higher is better, and mean return of a deposit; 0 of one without."""
    mean_return = record.evaluation.score if record.evaluation else 0.0
    return selection.sign * (record.score or 0.0), mean_return


def _return(deposits: Sequence[UnitRecord]) -> float | UnsetType:
    """Mean return of the parent, if it was evaluated."""
    for record in deposits:
        if record.kind == "parent" and record.evaluation is not None:
            return record.evaluation.score
    return UNSET


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


def _expected(
    iteration: int, branches: int, deposits: Sequence[UnitRecord], rule: MergeSpec
) -> int:
    """Number of deposits of an iteration from which none is missing."""
    done = sum(record.kind == "branch" and record.status == "done" for record in deposits)
    return len(units_of(iteration, branches)) + len(second_stage_of(iteration, rule, done))


def sources_of(
    deposits: Sequence[UnitRecord], *, iteration: int, parent_sha256: str, spec_sha256: str
) -> SourcesRecord:
    """The deposits of the first stage of an iteration, as the second one is made of them.

    Args:
        deposits: of branches, and for candidates of the parent.
        iteration: its number.
        parent_sha256: of the champion that they started from.
        spec_sha256: identity of the pool.
    """
    ordered = sorted(deposits, key=lambda record: (record.kind, record.index))
    return SourcesRecord(
        spec_sha256=spec_sha256,
        iteration=iteration,
        parent_sha256=parent_sha256,
        deposits=tuple(_listed(record) for record in ordered),
    )


def listed_in(sources: SourcesRecord, record: UnitRecord) -> bool:
    """Whether sources list a deposit as it is."""
    return _listed(record) in sources.deposits


def _mean_champion(agent: AgentRef, iteration: int) -> Champion:
    return Champion(
        path=agent.path, sha256=agent.sha256, score=None, iteration=iteration, kind="mean", index=0
    )


def _listed(record: UnitRecord) -> MergedDeposit:
    return MergedDeposit(
        kind=record.kind,
        index=record.index,
        status=record.status,
        score=record.score,
        sha256=record.content_sha256,
    )


def _difference(a: UnitRecord | None, b: UnitRecord | None) -> Difference | None:
    if a is None or b is None or a.evaluation is None or b.evaluation is None:
        return None
    return paired_difference(a.evaluation, b.evaluation)
