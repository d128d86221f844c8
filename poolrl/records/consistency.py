"""What cannot be true in a record, whatever the pool; ``None`` where all of it may be.

A record that contradicts itself was damaged, or written by something else than a worker. Cheap, as
records are checked whenever they are read; nothing is computed anew.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from poolrl.records.work_units import AGENT_PATH, HASH_LENGTH, Unit

if TYPE_CHECKING:
    from poolrl.records.records import AgentRef, Evaluation, MergeRecord, UnitRecord


def of_unit(record: UnitRecord) -> str | None:
    """What in a unit's record cannot be true."""
    unit, agent, evaluation = record.unit, record.agent, record.evaluation
    done, kind = record.status == "done", unit.kind
    whole = agent is not None and evaluation is not None
    nothing = agent is None and evaluation is None
    for wrong, what in (
        (
            kind != "closing" and (unit.iteration == 0) != (kind == "initial"),
            f"iteration {unit.iteration} has no unit of the kind {kind}",
        ),
        (kind != "branch" and (unit.index != 0), f"there is one {kind} unit, not {unit.index}"),
        (kind != "branch" and record.training is not None, f"a {kind} unit does not train"),
        ((record.parent_sha256 == "") != (kind == "initial"), "its champion is another kind's"),
        (done and not whole, "done, without an agent or an evaluation"),
        (not done and not nothing, f"{record.status}, with an agent or an evaluation"),
    ):
        if wrong:
            return what
    if agent is not None and not _is_agent_of(record, agent):
        return f"its agent {agent.path!r} is not what a {kind} unit has"
    return None if evaluation is None else _of_evaluation(evaluation)


def of_merge(record: MergeRecord) -> str | None:
    """What in a merge cannot be true."""
    champion = record.champion
    named = Unit(champion.iteration, champion.kind, champion.index)
    units = {(each.kind, each.index): each.sha256 for each in record.deposits}
    own = champion.iteration == record.iteration
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
            own and units.get((champion.kind, champion.index)) != champion.sha256,
            "its champion is none of the deposits that it lists",
        ),
    ):
        if wrong:
            return what
    return None


def _of_evaluation(evaluation: Evaluation) -> str | None:
    returns = evaluation.returns
    n, mean, size = len(returns), math.fsum(returns) / len(returns), max(map(abs, returns))
    error = math.hypot(*(value - mean for value in returns)) / math.sqrt(n * max(1, n - 1))
    for name, true in (("score", mean), ("standard_error", error)):
        stated = getattr(evaluation, name)
        if not math.isclose(stated, true, rel_tol=1e-9, abs_tol=1e-9 * size):
            return f"its {name} is {stated!r}, but that of its returns {true!r}"
    return None


def _is_agent_of(record: UnitRecord, agent: AgentRef) -> bool:
    if record.kind in ("branch", "initial"):
        return agent.path == record.unit.agent_path(agent.sha256)
    match = AGENT_PATH.fullmatch(agent.path)
    named = match is not None and match[1] == agent.sha256[:HASH_LENGTH]
    return named and agent.sha256 == record.parent_sha256
