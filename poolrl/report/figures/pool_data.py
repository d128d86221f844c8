"""What figures need of a pool: its records by iteration, the line of champions, horizontal axes."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

from poolrl.errors import UsageError
from poolrl.files import printable
from poolrl.monitoring.history import History, working_seconds
from poolrl.pool.merge_rules import mean_weights, succeeded
from poolrl.records.records import Champion, MergeRecord, UnitRecord
from poolrl.records.work_units import KindName, Unit

STAYED = ("parent kept", "no branch succeeded", "mean not finite", "update failed")
"""Rules of merges whose champion is the one before."""

CONFIDENCE = 0.95
"""Of the intervals in figures."""


class Scale(NamedTuple):
    """A horizontal axis.

    Attributes:
        label: with the unit.
        ends: position of the end of each merged iteration.
        units: position of each unit of work.
    """

    label: str
    ends: Mapping[int, float]
    units: Mapping[Unit, float]


class PoolData:
    """Records of the merged iterations of a pool.

    Attributes:
        history: refreshed by the caller.
        merges: by iteration, in order.
        units: by iteration; those of iterations without a merge are left out, and the closing
            evaluations too.
    """

    def __init__(self, history: History) -> None:
        """
        Raises:
            UsageError: there is no merge yet, and so no champion.
        """
        if not history.merges:
            raise UsageError(f"{history.pool.layout.root}: the pool has no merged iteration yet")
        self.history = history
        self.spec = history.pool.spec
        self.merges: dict[int, MergeRecord] = {m.iteration: m for m in history.merges}
        self.units: dict[int, list[UnitRecord]] = {number: [] for number in self.merges}
        self._by_unit: dict[Unit, UnitRecord] = {}
        for record in history.units:
            if record.iteration in self.units and record.kind != "closing":
                self.units[record.iteration].append(record)
                self._by_unit[record.unit] = record

    @property
    def last(self) -> int:
        """Number of the newest merged iteration."""
        return max(self.merges)

    @property
    def title(self) -> str:
        """Name, task and seed of the pool."""
        pool = self.spec.pool
        return (
            f"{printable(self.history.pool.layout.name, 60)}: {self.spec.task.id}, "
            f"{pool.size}, {self.rule}, seed {pool.seed}"
        )

    @property
    def rule(self) -> str:
        """The merge rule in words."""
        merge = self.spec.merge
        if merge.rule == "mean":
            return "mean by rank" if merge.weights == "rank" else "uniform mean"
        if merge.rule == "update":
            return "shared experience"
        return "best of branches and candidates" if merge.candidates else "best branch"

    @property
    def score_name(self) -> str:
        """What units are selected by, in words: the mean return, or what else the specification
        names."""
        name = self.spec.selection.score
        words = "mean return" if name == "return" else printable(name, 60)
        return words if not self.lowest_is_best else f"{words} (lowest is best)"

    @property
    def lowest_is_best(self) -> bool:
        """Whether the lowest score is the best."""
        return self.spec.selection.direction == "min"

    def of_kind(self, kind: KindName) -> list[UnitRecord]:
        """Units of a kind, in the order of iterations and indices."""
        return [unit for units in self.units.values() for unit in units if unit.kind == kind]

    def unit(self, iteration: int, kind: KindName, index: int = 0) -> UnitRecord | None:
        """A unit; ``None`` if there is no record of it."""
        return self._by_unit.get(Unit(iteration, kind, index))

    def done_branches(self, iteration: int) -> list[UnitRecord]:
        """Branches of an iteration that are done, in the order of their indices."""
        return [
            unit
            for unit in self.units.get(iteration, ())
            if unit.kind == "branch" and unit.status == "done"
        ]

    def makers(self, iteration: int) -> dict[int, float]:
        """Branches that the champion of an iteration's merge was made of: weights by index, whose
        sum is 1. Of a candidate, a mean or an update there are several; empty if the champion is
        one of an earlier iteration."""
        merged = self.merges[iteration]
        champion = merged.champion
        if champion.iteration != iteration or merged.rule in (*STAYED, "best-ever fallback"):
            return {}
        if champion.kind == "branch":
            return {champion.index: 1.0}
        if champion.kind == "update":
            done = self.done_branches(iteration)
            return {unit.index: 1 / len(done) for unit in done}
        if champion.kind in ("candidate", "mean"):
            ranked = succeeded(self.done_branches(iteration), self.spec.merge, self.spec.selection)
            return mean_weights(ranked, self.spec.merge) if ranked else {}
        return {}

    def reevaluation(self, iteration: int) -> UnitRecord | None:
        """Evaluation of an iteration's champion on the seeds of the next one, by its parent unit;
        ``None`` if there is none yet, or it failed."""
        record = self.unit(iteration + 1, "parent")
        return record if record is not None and record.score is not None else None

    @cached_property
    def line(self) -> list[Champion]:
        """The newest champion and its ancestors, the oldest one first: what a merge named, and
        later iterations were made of. Champions that a fallback dropped are no ancestors."""
        found: list[Champion] = []
        iteration: int | None = self.last
        while iteration is not None and iteration in self.merges:
            champion = self.merges[iteration].champion
            found.append(champion)
            # A champion that stayed was deposited earlier; iteration 0 has no one before.
            iteration = champion.iteration - 1 if champion.iteration <= iteration else None
        return found[::-1]

    @cached_property
    def _seconds(self) -> tuple[dict[int, float], dict[Unit, float]]:
        """Working time at the end of each merged iteration, and of each unit."""
        of_units: dict[Unit, float] = {}
        ends = {number: 0.0 for number in self.merges}
        records = self.history.units
        for record, elapsed in zip(records, working_seconds(records), strict=True):
            if record.iteration in ends:
                of_units[record.unit] = elapsed
                if record.kind != "closing":
                    ends[record.iteration] = max(ends[record.iteration], elapsed)
        return ends, of_units

    @property
    def most(self) -> tuple[float, float]:
        """Control steps and working seconds of the whole pool."""
        steps = max(merge.environment_steps for merge in self.merges.values())
        return float(steps), max(self._seconds[1].values(), default=0.0)

    def scales(self, most: tuple[float, float] | None = None) -> tuple[Scale, Scale, Scale]:
        """Iterations, control steps of the whole pool, and working time without pauses.

        Args:
            most: steps and seconds that the units of the axes suit; those of this pool by default.
        """
        most_steps, most_seconds = most or self.most
        size, word = (1e6, "million") if most_steps >= 1e6 else (1e3, "thousand")
        unit, label = (60, "min") if most_seconds < 7200 else (3600, "h")
        ends, seconds = self._seconds
        steps = {n: merge.environment_steps / size for n, merge in self.merges.items()}
        return (
            Scale("iteration", {i: i for i in ends}, {u: u.iteration for u in seconds}),
            Scale(
                f"environment steps of the whole pool / {word}",
                steps,
                {u: steps[u.iteration] for u in seconds},
            ),
            Scale(
                f"working time / {label}",
                {i: end / unit for i, end in ends.items()},
                {u: elapsed / unit for u, elapsed in seconds.items()},
            ),
        )

    @property
    def closing(self) -> UnitRecord | None:
        """The last closing evaluation that has a score."""
        closing = self.history.closing
        scored = closing is not None and closing.score is not None
        return closing if scored and closing and closing.iteration in self.merges else None


def half_width(unit: UnitRecord) -> float:
    """Half the 95 % interval of a unit's score over its episodes, by Student's t; 0 for a single
    episode, and without an evaluation."""
    if unit.evaluation is None:
        return 0.0
    values = unit.evaluation.selection_values
    return mean_half_width([value for value in values if value is not None])


def mean_half_width(values: Sequence[float]) -> float:
    """Half the 95 % interval of the mean of values, by Student's t; 0 for a single one."""
    from scipy.special import stdtrit

    n = len(values)
    if n < 2:
        return 0.0
    quantile = float(stdtrit(n - 1, 0.5 + CONFIDENCE / 2))
    return quantile * statistics.stdev(values) / math.sqrt(n)
