"""History of a pool: its records, and a table with one row per unit and iteration."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from poolrl.monitoring.history_columns import (
    RowFilter,
    chosen,
    described,
    of_merge,
    of_unit,
    ordered,
)
from poolrl.pool.directory import Pool, open_pool
from poolrl.records.codec import NewerSchema, Unreadable
from poolrl.records.records import MergeRecord, UnitRecord
from poolrl.records.work_units import KINDS, KindName, Unit, second_stage_of, units_of
from poolrl.storage.deposits import DepositStore

if TYPE_CHECKING:
    import pandas as pd

WORK = ("training", "evaluation")
"""Phases that are neither overhead of the pool nor waiting."""

COLUMNS = (
    *("iteration", "kind", "index", "status", "score", "standard_error", "training_return"),
    *("environment_steps", "total_environment_steps", "champion", "finished", "elapsed"),
    *(f"{phase}_{time}" for phase in (*WORK, "waiting", "pool") for time in ("wall", "cpu")),
)
"""First columns of the table; the hyper-parameters of branches, worker and host follow."""

FALLBACK_COLUMNS = ("rule", "best_ever_iteration", "best_ever_score")
"""Last columns of the table of a pool with `merge.fallback`."""

KIND_ORDER: tuple[KindName, ...] = (
    *("initial", "branch", "candidate", "update", "parent", "closing"),
)


class History:
    """Deposits and merges of a pool; reads files, and writes nothing.

    Attributes:
        pool: that the records belong to.
        units: the deposits, by iteration, kind and index.
        merges: the merges, by iteration.
    """

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.units: list[UnitRecord] = []
        self.merges: list[MergeRecord] = []
        self._deposit_store = pool.deposit_store()
        self._known: set[Unit] = set()

    def refresh(self) -> None:
        """Read the new records.

        Records that do not parse are skipped: only workers set files aside.

        Raises:
            IncompatiblePool: a merge is damaged.
            StoreError: a call of the file system failed.
        """
        # The newest merged iteration may still get its closing record.
        first = self.merges[-1].iteration if self.merges else 0
        for iteration in self._deposit_store.iterations():
            if iteration < first:
                continue
            folder = self.pool.layout.iteration(iteration)
            names = self.pool.store.names_in(folder.folder)
            for unit in self._possible(iteration):
                if unit not in self._known and folder.record(unit).name in names:
                    self._read(unit)
            if folder.merge.name in names and not (self.merges and iteration == first):
                self.merges.append(self._deposit_store.merge(iteration))
        self.units.sort(key=lambda u: (u.iteration, KIND_ORDER.index(u.kind), u.index))

    def _possible(self, iteration: int) -> list[Unit]:
        units = units_of(iteration, self.pool.spec.pool.branches(iteration))
        second_stage = second_stage_of(iteration, self.pool.spec.merge)
        return [*units, *second_stage, Unit(iteration, "closing", 0)]

    def _read(self, unit: Unit) -> None:
        try:
            record = self._deposit_store.record(unit)
            if record is not None:
                self.units.append(record)
                self._known.add(unit)
        except (Unreadable, NewerSchema):
            pass

    @property
    def closing(self) -> UnitRecord | None:
        """Result of the pool: the last closing evaluation; ``None`` if there is none yet."""
        closings = [unit for unit in self.units if unit.kind == "closing"]
        return closings[-1] if closings else None

    def table(
        self, columns: Sequence[str] | None = None, rows: RowFilter | None = None
    ) -> pd.DataFrame:
        """Return a table with one row per unit and iteration.

        Columns by default: iteration, kind, index, status, score, standard_error, training_return,
        environment_steps, total_environment_steps (of the pool, up to and including this
        iteration), champion (whether the merge selected this agent), finished (Unix time), elapsed
        (working time, see ``working_seconds``), wall and CPU seconds of training, evaluation,
        waiting and overhead of the pool, the hyper-parameters that differ between branches,
        worker, host; of a pool with `merge.fallback` also rule (of the iteration's merge) and
        best_ever_iteration, best_ever_score (of the best-ever champion after it); of one whose
        hyper-parameters evolve, also line_ and the name of each (its value after the merge).

        Args:
            columns: names or globs of columns, of all that ``all_columns`` returns; ``None`` for
                those by default. A pool without records has the default ones only.
            rows: which units; ``None`` for all.

        Raises:
            UsageError: a name or a glob matches no column.
        """
        import pandas as pd

        found = self._rows(rows or RowFilter(), complete=columns is not None)
        names = self.default_columns
        if columns is not None:
            # Those of all units: which columns there are does not depend on the rows.
            known = self.all_columns() if self.units else names
            names = chosen(known, columns)
        return pd.DataFrame(found, columns=names)

    @property
    def default_columns(self) -> list[str]:
        """Names of the columns that the table has by default."""
        spec = self.pool.spec
        columns = [*COLUMNS, *spec.branches, "worker", "host"]
        columns += FALLBACK_COLUMNS if spec.merge.fallback is not None else ()
        return columns + [f"line_{name}" for name in spec.evolving]

    def all_columns(self) -> list[str]:
        """Names of all columns that the records of this pool have."""
        names: set[str] = set()
        shapes: set[tuple[Any, ...]] = set()
        for unit in self.units:
            # Records of few shapes: the names of one of each are enough.
            infos = unit.evaluation.infos if unit.evaluation else {}
            metrics = unit.training.metrics if unit.training else {}
            shape = (*infos, 0, *metrics, 0, *unit.hyperparameters, 0, *unit.seconds)
            if shape not in shapes:
                shapes.add(shape)
                names |= of_unit(unit).keys()
        return ordered(self.default_columns, names)

    def descriptions(self) -> dict[str, str]:
        """What each column of ``all_columns`` is, with its unit."""
        aggregates = {
            name: info.aggregate
            for unit in self.units
            if unit.evaluation
            for name, info in unit.evaluation.infos.items()
        }
        return {name: described(name, aggregates) for name in self.all_columns()}

    def _rows(self, rows: RowFilter, *, complete: bool) -> list[dict[str, Any]]:
        """The rows of the table, with all columns or those that it has by default."""
        champions = {(m.iteration, m.champion.sha256) for m in self.merges}
        merges = {m.iteration: m for m in self.merges}
        newest = self.units[-1].iteration if self.units else 0
        differing = list(self.pool.spec.branches)
        has_fallback = self.pool.spec.merge.fallback is not None
        found = []
        for unit, elapsed in zip(self.units, working_seconds(self.units), strict=True):
            merged = merges.get(unit.iteration)
            champion = unit.agent is not None and (unit.iteration, unit.agent.sha256) in champions
            if not rows.has(unit, newest=newest, champion=champion):
                continue
            evaluation, training = unit.evaluation, unit.training
            row: dict[str, Any] = of_unit(unit) | of_merge(merged) if complete else {}
            row |= {
                "iteration": unit.iteration,
                "kind": unit.kind,
                "index": unit.index,
                "status": unit.status,
                "score": evaluation.score if evaluation else None,
                "standard_error": evaluation.standard_error if evaluation else None,
                "training_return": training.mean_return if training else None,
                "environment_steps": unit.environment_steps,
                "total_environment_steps": merged.environment_steps if merged else None,
                "champion": champion,
                "finished": unit.finished,
                "elapsed": elapsed,
            }
            for phase in (*WORK, "waiting"):
                seconds = unit.seconds.get(phase)
                row[f"{phase}_wall"] = seconds.wall if seconds else 0.0
                row[f"{phase}_cpu"] = seconds.cpu if seconds else 0.0
            overhead = [s for p, s in unit.seconds.items() if p not in (*WORK, "waiting")]
            row["pool_wall"] = sum(seconds.wall for seconds in overhead)
            row["pool_cpu"] = sum(seconds.cpu for seconds in overhead)
            row |= {name: unit.hyperparameters.get(name) for name in differing}
            row |= {"worker": unit.worker.id[:8], "host": unit.worker.host}
            if has_fallback and merged is not None:
                row |= _fallback_columns(merged)
            if merged is not None:
                row |= {f"line_{name}": value for name, value in merged.line_values.items()}
            found.append(row)
        return found

    def fallbacks(self) -> list[tuple[int, int]]:
        """Return the iterations whose merge went back to the best-ever champion, each with the
        iteration that had selected that one."""
        return [
            (merged.iteration, merged.champion.iteration)
            for merged in self.merges
            if merged.rule == "best-ever fallback"
        ]

    def seconds_with_one_core_per_branch(self, last_iteration: int | None = None) -> float:
        """Return the time of the merged iterations with one core per branch and one for the parent.

        That is the sum of the longest unit of each iteration, by CPU seconds of training,
        evaluation and overhead of the pool; in two stages, of the longest of each. An update does
        not wait for the parent, which takes that time beside both stages.

        Args:
            last_iteration: leave out later iterations.
        """
        longest: dict[tuple[int, bool], float] = {}
        parents: dict[int, float] = {}
        merged = {
            m.iteration
            for m in self.merges
            if last_iteration is None or m.iteration <= last_iteration
        }
        for unit in self.units:
            if unit.iteration in merged and unit.kind != "closing":
                seconds = sum(s.cpu for phase, s in unit.seconds.items() if phase != "waiting")
                if unit.kind == "parent" and not self.pool.spec.merge.is_source("parent"):
                    parents[unit.iteration] = seconds
                    continue
                stage = unit.iteration, KINDS[unit.kind].second_stage
                longest[stage] = max(longest.get(stage, 0.0), seconds)
        total: dict[int, float] = defaultdict(float)
        for (iteration, _), seconds in longest.items():
            total[iteration] += seconds
        return sum(max(total[i], parents.get(i, 0.0)) for i in total.keys() | parents.keys())


def work_seconds(record: UnitRecord) -> float:
    """Return the wall-clock seconds of training and evaluation of a unit."""
    return sum(seconds.wall for phase, seconds in record.seconds.items() if phase in WORK)


def seconds_before(deposit_store: DepositStore, unit: Unit) -> float:
    """Return the same of the unit of this kind in the iteration before; 0 if it is unknown."""
    try:
        record = deposit_store.record(Unit(unit.iteration - 1, unit.kind, unit.index))
    except (Unreadable, NewerSchema):
        record = None
    return work_seconds(record) if record is not None else 0.0


def _fallback_columns(merged: MergeRecord) -> dict[str, Any]:
    best = merged.result
    return dict(zip(FALLBACK_COLUMNS, (merged.rule, best.iteration, best.score), strict=True))


def read_history(root: Path) -> History:
    """Read the records of a pool.

    Args:
        root: the pool's directory.

    Raises:
        UsageError: it is no pool.
        IncompatiblePool: the pool is damaged, or of a newer version.
    """
    history = History(open_pool(root))
    history.refresh()
    return history


def working_seconds(units: Sequence[UnitRecord]) -> list[float]:
    """Return, for each unit, the working time of the pool until the unit was finished, in seconds.

    That is the length of the union of the units' intervals: pauses do not count, and the time of
    several workers counts once.
    """
    import numpy as np

    spans = []
    for unit in units:
        duration = sum(
            seconds.wall for phase, seconds in unit.seconds.items() if phase != "waiting"
        )
        spans.append((unit.finished - duration, unit.finished))
    times, worked = [min(spans, default=(0.0, 0.0))[0]], [0.0]
    for start, end in sorted(spans):
        new = max(start, times[-1])  # the time before is already counted
        if new < end:
            times += [new, end]
            worked += [worked[-1], worked[-1] + end - new]
    elapsed: list[float] = np.interp([end for _, end in spans], times, worked).tolist()
    return elapsed
