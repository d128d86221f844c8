"""Contradictions within a record, and differences between records and what is expected of them.

A record that contradicts itself was damaged, or was not written by a worker. These checks are
cheap, since records are checked whenever they are read; no unit is computed again.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import UNSET

from poolrl.records.evaluation import Evaluation, SelectionScore
from poolrl.records.records import AgentRef, MergeRecord, SourcesRecord, UnitRecord
from poolrl.records.work_units import AGENT_PATH, HASH_LENGTH, KINDS, Unit


def of_unit(record: UnitRecord) -> str | None:
    """The first contradiction in a unit's record; ``None`` if there is none."""
    unit, agent, evaluation = record.unit, record.agent, record.evaluation
    done, kind = record.status == "done", unit.kind
    plays = record.rollout_sha256 is not UNSET
    # What is not selected by its score has none; see ``storage.deposits``.
    unscored = kind in ("branch", "update")
    complete = plays or (agent is not None and (evaluation is not None or unscored))
    empty = agent is None and evaluation is None and not plays
    for wrong, what in (
        (
            kind != "closing" and (unit.iteration == 0) != (kind == "initial"),
            f"iteration {unit.iteration} has no unit of the kind {kind}",
        ),
        (kind == "mean", "a mean is no unit"),
        (
            kind not in ("branch", "candidate") and (unit.index != 0),
            f"there is one {kind} unit, not {unit.index}",
        ),
        (
            KINDS[kind].second_stage != (record.sources_sha256 is not UNSET),
            "only candidates and updates name the branches that they were made of",
        ),
        (
            plays and (kind != "branch" or agent is not None or evaluation is not None),
            "only branches have rollouts, and then neither agent nor evaluation",
        ),
        (
            record.replay_sha256 is not UNSET and (kind != "branch" or agent is None),
            "only branches that are done have transitions",
        ),
        (
            not KINDS[kind].trains and record.training is not None,
            f"a {kind} unit does not train",
        ),
        ((record.parent_sha256 == "") != (kind == "initial"), "its champion is another kind's"),
        (done and not complete, "done, without an agent or an evaluation"),
        (not done and not empty, f"{record.status}, with an agent or an evaluation"),
    ):
        if wrong:
            return what
    if agent is not None and not _is_agent_of(record, agent):
        return f"its agent {agent.path!r} is not what a {kind} unit has"
    return None if evaluation is None else _of_evaluation(evaluation)


def of_merge(record: MergeRecord) -> str | None:
    """The first contradiction in a merge; ``None`` if there is none."""
    champion = record.champion
    named = Unit(champion.iteration, champion.kind, champion.index)
    units = {(each.kind, each.index): each.sha256 for each in record.deposits}
    own = champion.iteration == record.iteration
    best = record.result
    for wrong, what in (
        (champion.iteration > record.iteration, "its champion is of a later iteration"),
        (
            champion.path != named.agent_path(champion.sha256),
            f"its champion has the path {champion.path!r}",
        ),
        (
            (record.iteration == 0) != (record.rule == "initial"),
            f"{record.rule!r} is no rule of iteration {record.iteration}",
        ),
        (len(units) < len(record.deposits), "it lists a deposit twice"),
        (
            own
            and champion.kind != "mean"
            and units.get((champion.kind, champion.index)) != champion.sha256,
            "its champion is none of the deposits that it lists",
        ),
        (
            any(
                (record.rule == rule) != (own and champion.kind == rule)
                for rule in ("mean", "update")
            ),
            f"a champion of the kind {champion.kind} by the rule {record.rule!r}",
        ),
        (
            best.iteration > record.iteration
            or (best is not champion and best.score is None)
            or best.path != Unit(best.iteration, best.kind, best.index).agent_path(best.sha256),
            f"its best-ever champion {best.path!r} is none of this line",
        ),
        (
            record.rule == "best-ever fallback" and champion.sha256 != best.sha256,
            "it fell back to another champion than the best-ever one",
        ),
    ):
        if wrong:
            return what
    return None


def of_evolved(record: UnitRecord, names: Iterable[str]) -> str | None:
    """The first hyper-parameter that evolves of which a branch has no value; ``None`` if it has
    all, or failed."""
    if record.kind == "branch" and record.status == "done":
        try:
            for name in names:
                record.evolved_value(name)
        except ValueError as error:
            return str(error)
    return None


def of_sources(record: SourcesRecord) -> str | None:
    """The first contradiction in the sources of a second stage; ``None`` if there is none."""
    units = {(each.kind, each.index) for each in record.deposits}
    if len(units) < len(record.deposits):
        return "it lists a deposit twice"
    if any(kind not in ("branch", "parent") for kind, _ in units):
        return "it lists what is neither a branch nor the parent"
    return None


def _of_evaluation(evaluation: Evaluation) -> str | None:
    returns = evaluation.returns
    n, mean, size = len(returns), math.fsum(returns) / len(returns), max(map(abs, returns))
    error = math.hypot(*(value - mean for value in returns)) / math.sqrt(n * max(1, n - 1))
    for name, true in (("score", mean), ("standard_error", error)):
        stated = getattr(evaluation, name)
        if not math.isclose(stated, true, rel_tol=1e-9, abs_tol=1e-9 * size):
            return f"its {name} is {stated!r}, but that of its returns {true!r}"
    if (selection := evaluation.selection) is not UNSET:
        expected = SelectionScore.of(selection.by, evaluation.infos)
        if selection != expected:
            own, theirs = selection.score, expected.score
            return f"its selection's score is {own!r}, but that of its values {theirs!r}"
    return None


def _is_agent_of(record: UnitRecord, agent: AgentRef) -> bool:
    if record.kind in ("branch", "initial", "candidate", "update"):
        return agent.path == record.unit.agent_path(agent.sha256)
    match = AGENT_PATH.fullmatch(agent.path)
    named = match is not None and match[1] == agent.sha256[:HASH_LENGTH]
    return named and agent.sha256 == record.parent_sha256


_ABSENT = "nothing"


@dataclass(frozen=True)
class Discrepancy:
    """Something in a pool that violates its rules.

    Attributes:
        path: of the file, relative to the root of the pool.
        key: in the file, as in ``evaluation.returns[3]``; empty for the file as a whole.
        message: what is wrong.
    """

    path: str
    key: str
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.path, self.key, self.message) if part)


def compare(path: str, recorded: Any, expected: Any, by: str) -> Iterator[Discrepancy]:
    """Compare two structures key by key.

    Of each list, only the first difference is yielded, with the number of the others.

    Args:
        path: of the file that holds ``recorded``.
        recorded: plain data, or a structure.
        expected: the same.
        by: the origin of ``expected``, for the message, as in "by the rules".
    """
    own, other = _flat(msgspec.to_builtins(recorded)), _flat(msgspec.to_builtins(expected))
    keys = [key for key in {**own, **other} if own.get(key, _ABSENT) != other.get(key, _ABSENT)]
    lists = Counter(key.partition("[")[0] for key in keys)
    for key in keys:
        more = lists.pop(name := key.partition("[")[0], 0) - 1
        if more < 0:
            continue  # the list has been reported
        left, right = own.get(key, _ABSENT), other.get(key, _ABSENT)
        also = f"; {more} more of {name}" if more else ""
        yield Discrepancy(path, key, f"{left} recorded, {right} {by}{also}")


def _flat(value: Any, key: str = "") -> dict[str, Any]:
    """Flatten nested plain data to keys such as ``evaluation.returns[3]``."""
    flat: dict[str, Any] = {}
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            flat |= _flat(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, Sequence) and not isinstance(value, str) and value:
        for index, inner in enumerate(value):
            flat |= _flat(inner, f"{key}[{index}]")
    else:
        flat[key] = value
    return flat
