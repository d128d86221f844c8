"""What loggers show of an iteration: scalars with their step and time, from a pool's records."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from msgspec import UNSET

from poolrl.config.learners import PPO
from poolrl.config.networks import EncoderDecoderSpec
from poolrl.monitoring.history import History
from poolrl.monitoring.history_columns import quantiles
from poolrl.records.evaluation import Evaluation
from poolrl.records.records import MergeRecord, TrainingRecord, UnitRecord

SUCCESS = "is_success"
"""Value of a task's ``info`` that says whether an episode succeeded."""


class Scalars(NamedTuple):
    """Values at one point of a pool's history.

    Attributes:
        iteration: that they belong to.
        step: control steps in training of all branches up to and including this iteration.
        wall_time: Unix time of the iteration's merge.
        values: key -> value.
    """

    iteration: int
    step: int
    wall_time: float
    values: dict[str, float]


class Position(NamedTuple):
    """How far a pool's history is logged.

    Attributes:
        iteration: of the last merge; −1 for nothing.
        closed: whether its closing evaluation is logged too.
    """

    iteration: int = -1
    closed: bool = False


def position(history: History) -> Position:
    """The end of a history."""
    if not history.merges:
        return Position()
    last = history.merges[-1].iteration
    closing = history.closing
    return Position(last, closing is not None and closing.iteration == last)


def scalars(history: History, after: Position) -> Iterator[Scalars]:
    """Yield the scalars of all iterations after a position: a function of the records that merges
    name, equal however often, and whenever, it is called.

    A merge yields two: first the re-evaluation of the champion before, at the step of the iteration
    that had selected it (``eval/…``), then its own iteration's (``pool/…``, ``train/…``,
    ``rollout/…``). Where a run of the pool ended, its result follows.

    Args:
        history: of the pool.
        after: what is left out.
    """
    units: dict[int, list[UnitRecord]] = defaultdict(list)
    for unit in history.units:
        if unit.iteration >= after.iteration:
            units[unit.iteration].append(unit)
    learner = history.pool.spec.learner
    in_segments = isinstance(learner, PPO) and learner.segment_steps > 0
    network = history.pool.spec.network
    with_infos = isinstance(network, EncoderDecoderSpec) and network.bottleneck != "none"
    before: MergeRecord | None = None
    for merge in history.merges:
        if merge.iteration > after.iteration:
            merged = _merged(merge, units[merge.iteration])
            if before is not None and (values := _reevaluation(merged, with_infos=with_infos)):
                yield Scalars(before.iteration, before.training_steps, before.finished, values)
            values = {"pool/iteration": float(merge.iteration)}
            if merge.champion.score is not None:
                values["pool/selection_score"] = merge.champion.score
            values |= _training(_trained(merge, merged), with_lengths=not in_segments)
            yield Scalars(merge.iteration, merge.training_steps, merge.finished, values)
        if merge.iteration > after.iteration or (
            merge.iteration == after.iteration and not after.closed
        ):
            for unit in units[merge.iteration]:
                if unit.kind == "closing" and unit.status == "done" and unit.evaluation:
                    values = {"pool/closing_score": unit.evaluation.score}
                    yield Scalars(merge.iteration, merge.training_steps, unit.finished, values)
        before = merge


def _merged(merge: MergeRecord, units: Iterable[UnitRecord]) -> list[UnitRecord]:
    """The deposits that a merge lists as done; what came too late for it is not among them."""
    listed = {(d.kind, d.index, d.sha256) for d in merge.deposits if d.status == "done"}
    return [unit for unit in units if (unit.kind, unit.index, unit.content_sha256) in listed]


def _reevaluation(merged: Iterable[UnitRecord], *, with_infos: bool) -> dict[str, float]:
    """Scalars of the parent, which is the champion of the iteration before on other seeds.

    Args:
        merged: deposits of an iteration.
        with_infos: whether quantiles of all values of ``info`` are among them, as the virtual
            rodent's log has them; many, so that other pools have them in their history alone.
    """
    values: dict[str, float] = {}
    for unit in merged:
        evaluation = unit.evaluation
        if unit.kind != "parent" or evaluation is None:
            continue
        values["eval/mean_reward"] = evaluation.score
        values["eval/mean_ep_length"] = statistics.fmean(evaluation.lengths)
        if evaluation.selection is not UNSET and evaluation.selection_score is not None:
            values["eval/selection_score"] = evaluation.selection_score
        if (rate := _success_rate(evaluation)) is not None:
            values["eval/success_rate"] = rate
        for name, info in evaluation.infos.items() if with_infos else ():
            found = quantiles([value for value in info.values if value is not None])
            values |= {f"eval/{name}_{end}": x for end, x in found.items() if x is not None}
    return values


def _success_rate(evaluation: Evaluation) -> float | None:
    """Mean of ``is_success`` over the episodes that have it."""
    if SUCCESS not in evaluation.infos:
        return None
    values = [value for value in evaluation.infos[SUCCESS].values if value is not None]
    return statistics.fmean(values) if values else None


def _trained(merge: MergeRecord, merged: Sequence[UnitRecord]) -> list[TrainingRecord]:
    """The training that the champion came from: the winner's or the update's own; of a mean, and
    of a candidate, which is made of all branches, every branch's; none where the champion stays, or
    an earlier one came back."""
    champion = merge.champion
    if champion.iteration != merge.iteration:
        return []
    if champion.kind in ("mean", "candidate"):
        winners = [unit for unit in merged if unit.kind == "branch"]
    else:
        winners = [u for u in merged if (u.kind, u.index) == (champion.kind, champion.index)]
    return [unit.training for unit in winners if unit.training is not None]


def _training(records: Sequence[TrainingRecord], *, with_lengths: bool) -> dict[str, float]:
    """Means over some units' training.

    Args:
        records: of the units.
        with_lengths: whether their steps belong to whole episodes.
    """
    values: dict[str, list[float]] = defaultdict(list)
    for record in records:
        own = dict(record.metrics)
        # Of all episodes, where the learner's figures are means over its updates.
        if record.mean_return is not None:
            own["rollout/ep_rew_mean"] = record.mean_return
        if with_lengths and record.episodes:
            own["rollout/ep_len_mean"] = record.environment_steps / record.episodes
        for name, value in own.items():
            values[name].append(value)
    return {name: statistics.fmean(each) for name, each in values.items()}
