"""Columns and rows of a history's table besides those that it has by default."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, get_args

from msgspec import UNSET

from poolrl.config.types import QUANTILES
from poolrl.errors import UsageError, did_you_mean
from poolrl.records.evaluation import Difference, Evaluation
from poolrl.records.records import MergeRecord, UnitRecord
from poolrl.records.work_units import KindName

DESCRIPTIONS = {
    "iteration": "number of the iteration",
    "kind": "kind of the unit of work",
    "index": "number of the unit among those of its kind",
    "status": "done, failed (diverged) or abandoned",
    "score": "mean undiscounted return of the evaluation",
    "standard_error": "of the score",
    "training_return": "mean undiscounted return of the training episodes",
    "environment_steps": "control steps of the unit, in training and evaluation",
    "total_environment_steps": "control steps of the pool, up to and including this iteration",
    "champion": "whether the merge of the iteration named this agent",
    "finished": "Unix time of the deposit, s",
    "elapsed": "working time of the pool until then, without pauses, s",
    "worker": "first digits of the worker's id",
    "host": "of the worker",
    "rule": "by which the merge of the iteration named the champion",
    "best_ever_iteration": "that selected the best-ever champion (`merge.fallback`)",
    "best_ever_score": "by which it was selected",
    "reason": "why the unit is not done",
    "agent": "path of the agent that the unit made or evaluated",
    "agent_sha256": "of that agent's file",
    "parent_sha256": "of the champion that the unit started from",
    "episodes": "episodes of the evaluation",
    "deterministic": "whether their actions were deterministic",
    "selection_score": "what the unit is selected by, the score unless `selection.score` differs",
    "selection_score.se": "standard error of selection_score",
    "return_min": "smallest return of the evaluation",
    "return_max": "largest return of the evaluation",
    "length": "mean length of the evaluation's episodes, control steps",
    "length.se": "standard error of length",
    "training_episodes": "episodes of the training that ended",
    "training_steps": "control steps of the training",
    "updates": "updates of the learner",
    "parent_score": "of the iteration: score of the champion before, measured again",
    "to_parent": "of the iteration: mean paired difference of the winner to the parent",
    "to_parent.se": "standard error of to_parent",
    "to_runner_up": "of the iteration: mean paired difference of the winner to the runner-up",
    "to_runner_up.se": "standard error of to_runner_up",
    "timing_dependent": "of the iteration: whether the merge depends on timing",
    "total_training_steps": "control steps of all branches, up to and including this iteration",
    "job": "of the launcher, that the worker was",
    "restarts": "how often that job was requeued",
}
"""Column -> what it is, with its unit."""

_ITERATIONS = re.compile(r"(\d{1,9})?:(\d{1,9})?|(\d{1,9})|last(?::([1-9]\d{0,8}))?")


@dataclass(frozen=True)
class RowFilter:
    """Which units a table has rows of; all of them by default.

    Attributes:
        kinds: of the units; empty for all.
        statuses: of the units; empty for all.
        first, last: iterations, both included; ``None`` for no bound.
        newest: number of the newest iterations; 0 for all.
        champions: only units whose agent the merge of their iteration named.
    """

    kinds: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    first: int | None = None
    last: int | None = None
    newest: int = 0
    champions: bool = False

    @classmethod
    def parse(
        cls, *, kinds: str = "", statuses: str = "", iterations: str = "", champions: bool = False
    ) -> RowFilter:
        """Parse what a command line gives.

        Args:
            kinds: names, separated by commas.
            statuses: names, separated by commas.
            iterations: ``10``, ``10:20``, ``10:``, ``:20``, ``last`` or ``last:5``.
            champions: as the attribute.

        Raises:
            UsageError: names the option.
        """
        known_statuses = ("done", "failed", "abandoned")
        chosen_kinds = _words("--kind", kinds, [k for k in get_args(KindName) if k != "mean"])
        chosen_statuses = _words("--status", statuses, known_statuses)
        first = last = None
        newest = 0
        if iterations:
            match = _ITERATIONS.fullmatch(iterations)
            if match is None or iterations == ":":
                raise UsageError(
                    "--iterations: expected 10, 10:20, 10:, :20, last or last:5, got "
                    f"{iterations!r}"
                )
            low, high, one, count = match.groups()
            if iterations.startswith("last"):
                newest = int(count or 1)
            else:
                first, last = (int(text) if text else None for text in (one or low, one or high))
            if first is not None and last is not None and first > last:
                raise UsageError(f"--iterations: {iterations} ends before it begins")
        return cls(chosen_kinds, chosen_statuses, first, last, newest, champions)

    def has(self, unit: UnitRecord, *, newest: int, champion: bool) -> bool:
        """Whether a unit has a row.

        Args:
            unit: its record.
            newest: number of the newest iteration.
            champion: whether the merge of its iteration named its agent.
        """
        return (
            (not self.kinds or unit.kind in self.kinds)
            and (not self.statuses or unit.status in self.statuses)
            and (self.first is None or unit.iteration >= self.first)
            and (self.last is None or unit.iteration <= self.last)
            and (not self.newest or unit.iteration > newest - self.newest)
            and (champion or not self.champions)
        )


def _words(option: str, text: str, known: Sequence[str]) -> tuple[str, ...]:
    words = tuple(word.strip() for word in text.split(",")) if text else ()
    for word in words:
        if word not in known:
            raise UsageError(f"{option}: unknown {word!r}; known: {', '.join(known)}")
    return words


def of_merge(merged: MergeRecord | None) -> dict[str, Any]:
    """Columns of an iteration's merge, the same for all of its units; none where there is none."""
    if merged is None:
        return {}
    row: dict[str, Any] = {
        "rule": merged.rule,
        "parent_score": merged.parent_score,
        **_difference("to_parent", merged.to_parent),
        **_difference("to_runner_up", merged.to_runner_up),
        "timing_dependent": merged.timing_dependent,
        "total_training_steps": merged.training_steps,
    }
    if merged.best_ever is not UNSET:
        best = merged.best_ever.champion
        row |= {"best_ever_iteration": best.iteration, "best_ever_score": best.score}
    return row


def _difference(name: str, difference: Difference | None) -> dict[str, float | None]:
    if difference is None:
        return {name: None, f"{name}.se": None}
    return {name: difference.mean, f"{name}.se": difference.standard_error}


def of_unit(unit: UnitRecord) -> dict[str, Any]:
    """Columns of a unit's record besides those that the table has by default."""
    row: dict[str, Any] = {
        "reason": unit.reason or None,
        "agent": unit.agent.path if unit.agent else None,
        "agent_sha256": unit.agent.sha256 if unit.agent else None,
        "parent_sha256": unit.parent_sha256 or None,
        "job": unit.worker.job or None,
        "restarts": unit.worker.restarts,
    }
    if (evaluation := unit.evaluation) is not None:
        row |= {
            "episodes": len(evaluation.returns),
            "deterministic": evaluation.deterministic,
            **_selection(evaluation),
            "return_min": min(evaluation.returns),
            "return_max": max(evaluation.returns),
            **_mean("length", evaluation.lengths),
        }
        for name, info in evaluation.infos.items():
            values = [value for value in info.values if value is not None]
            row |= _mean(f"info.{name}", values)
            row |= {f"quantiles.{name}.{end}": x for end, x in quantiles(values).items()}
    if (training := unit.training) is not None:
        row |= {
            "training_episodes": training.episodes,
            "training_steps": training.environment_steps,
            "updates": training.updates,
        }
        row |= training.metrics
    for phase, seconds in unit.seconds.items():
        row |= {f"{phase}_wall": seconds.wall, f"{phase}_cpu": seconds.cpu}
    return row | unit.hyperparameters


def _selection(evaluation: Evaluation) -> dict[str, float | None]:
    error = evaluation.standard_error
    if evaluation.selection is not UNSET:
        error = evaluation.selection.standard_error
    return {"selection_score": evaluation.selection_score, "selection_score.se": error}


def _mean(name: str, values: Sequence[float]) -> dict[str, float | None]:
    """Columns of a mean and its standard error, 0 of a single value. In exact fractions, as in
    records, it would take ten times as long."""
    n = len(values)
    if not n:
        return {name: None, f"{name}.se": None}
    mean = math.fsum(values) / n
    error = math.hypot(*(value - mean for value in values)) / math.sqrt(n * max(1, n - 1))
    return {name: mean, f"{name}.se": error}


def quantiles(values: Sequence[float]) -> dict[str, float | None]:
    """Return the quantiles of ``QUANTILES`` by their names, interpolated as NumPy does, which would
    take ten times as long; ``None`` without values."""
    found: dict[str, float | None] = dict.fromkeys(QUANTILES)
    if not values:
        return found
    ordered = sorted(values)
    for name, share in QUANTILES.items():
        place = share * (len(ordered) - 1)
        below = ordered[int(place)]
        above = ordered[min(int(place) + 1, len(ordered) - 1)]
        found[name] = below + (above - below) * (place % 1)
    return found


GROUPS = ("", "info.", "quantiles.", "train/", "rollout/")
"""Starts of names, in the order of their columns; seconds and hyper-parameters are before them."""


def ordered(defaults: Sequence[str], found: Iterable[str]) -> list[str]:
    """All columns: those by default, those that every pool has, and others in alphabetical order.

    Args:
        defaults: of the table.
        found: names of any columns.
    """
    fixed = list(dict.fromkeys([*defaults, *DESCRIPTIONS]))

    def group(name: str) -> int:
        return max(i for i, start in enumerate(GROUPS) if name.startswith(start))

    others = set(found) - set(fixed)
    return fixed + sorted(others, key=lambda name: (group(name), name))


def chosen(names: Sequence[str], patterns: Sequence[str]) -> list[str]:
    """The columns that patterns name, each once, in the order of the patterns.

    Args:
        names: of all columns.
        patterns: names, or globs as in ``info.*``; upper and lower case differ.

    Raises:
        UsageError: one of them matches nothing.
    """
    found: dict[str, None] = {}
    for pattern in patterns:
        matches = [name for name in names if name == pattern or fnmatchcase(name, pattern)]
        if not matches:
            hint = did_you_mean(pattern, names, "--columns list names them")
            raise UsageError(f"--columns: no column {pattern!r} in this pool; {hint}")
        found |= dict.fromkeys(matches)
    return list(found)


def described(name: str, aggregates: Mapping[str, str]) -> str:
    """What a column is, in a line.

    Args:
        name: of the column.
        aggregates: of the values of info, by name.
    """
    if name in DESCRIPTIONS:
        return DESCRIPTIONS[name]
    if name.startswith(("info.", "quantiles.")):
        return _of_info(name, aggregates)
    for start, what in _STARTS.items():
        if name.startswith(start):
            return what
    phase, _, time = name.rpartition("_")
    if time in ("wall", "cpu"):
        return f"{time} seconds of the phase `{phase}` since the worker's previous deposit"
    return "hyper-parameter of the learner, on this branch"


def _of_info(name: str, aggregates: Mapping[str, str]) -> str:
    """What a column of a value of info is; arguments as for ``described``."""
    if name.startswith("quantiles."):
        value, _, end = name.removeprefix("quantiles.").rpartition(".")
        how = _EPISODE[aggregates.get(value, "last")]
        return f"{_SHARES[end]} over the evaluation's episodes of {how} in the task's info"
    base, own = name.removesuffix(".se"), aggregates.get(name.removeprefix("info."))
    if own is None and base != name and base.removeprefix("info.") in aggregates:
        return f"standard error of {base}"
    how = _EPISODE[own or "last"]
    return f"mean over the evaluation's episodes of {how} in the task's info"


_STARTS = {
    "train/": "mean over the branch's updates; docs/records.md",
    "rollout/ep_": "of the branch's training episodes; docs/records.md",
    "rollout/effort": "mean over the branch's training steps; docs/records.md",
    "rollout/": "mean over the branch's updates; docs/records.md",
    "line_": "of the iteration: value that the evolving hyper-parameter goes on from",
}

_SHARES = {
    "min": "minimum",
    "q25": "lower quartile",
    "median": "median",
    "q75": "upper quartile",
    "max": "maximum",
}

_EPISODE = {
    "last": "the last step's value",
    "sum": "the sum over steps",
    "mean": "the mean over steps",
    "max": "the largest value",
}
