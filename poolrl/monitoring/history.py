"""Records → a table, one row a unit and iteration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from poolrl.pool.directory import Pool
from poolrl.records.records import MergeRecord, NewerSchema, UnitRecord, Unreadable
from poolrl.records.work_units import KindName, Unit, units_of
from poolrl.storage import store
from poolrl.storage.deposits import Archive

if TYPE_CHECKING:
    import pandas as pd

WORK = ("training", "evaluation")
"""The phases that are not the pool's own cost, nor waiting for others."""

KIND_ORDER: tuple[KindName, ...] = ("initial", "branch", "parent", "closing")


class History:
    """What a pool has deposited so far, read without changing anything.

    Attributes:
        pool: whose history it is.
        units: the deposits, by iteration, kind and index.
        merges: the merges, by iteration.
    """

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.units: list[UnitRecord] = []
        self.merges: list[MergeRecord] = []
        self._archive = Archive(pool)
        self._known: set[Unit] = set()

    def refresh(self) -> None:
        """Read what is new.

        Records that do not parse are passed over: setting them aside is a worker's business.
        """
        # The newest merged iteration may still get its closing record.
        first = self.merges[-1].iteration if self.merges else 0
        for iteration in self._archive.iterations():
            if iteration < first:
                continue
            folder = self.pool.layout.iteration(iteration)
            names = store.names_in(folder.folder)
            for unit in self._possible(iteration):
                if unit not in self._known and folder.record(unit).name in names:
                    self._read(unit)
            if folder.merge.name in names and not (self.merges and iteration == first):
                self.merges.append(self._archive.merge(iteration))
        self.units.sort(key=lambda u: (u.iteration, KIND_ORDER.index(u.kind), u.index))

    def _possible(self, iteration: int) -> list[Unit]:
        units = units_of(iteration, self.pool.spec.pool.count)
        return [*units, Unit(iteration, "closing", 0)]

    def _read(self, unit: Unit) -> None:
        try:
            record = self._archive.record(unit)
            if record is not None:
                self.units.append(record)
                self._known.add(unit)
        except (Unreadable, NewerSchema):
            pass

    @property
    def closing(self) -> UnitRecord | None:
        """The pool's result: the last closing evaluation; ``None`` where there is none yet."""
        closings = [unit for unit in self.units if unit.kind == "closing"]
        return closings[-1] if closings else None

    def table(self) -> pd.DataFrame:
        """One row a unit and iteration.

        Columns: iteration, kind, index, status, score, standard_error, training_return,
        environment_steps, total_environment_steps (of the pool, up to and with this iteration),
        champion (whether the merge named this agent), finished (Unix time), elapsed (seconds that
        any worker had been at work, without pauses), wall and CPU seconds of training,
        evaluation, waiting and the pool's own cost, the hyper-parameters that differ between
        branches, worker, host.
        """
        import pandas as pd

        champions = {(m.iteration, m.champion.sha256) for m in self.merges}
        totals = {m.iteration: m.environment_steps for m in self.merges}
        differing = list(self.pool.spec.branches)
        rows = []
        for unit, elapsed in zip(self.units, working_seconds(self.units), strict=True):
            evaluation, training = unit.evaluation, unit.training
            row: dict[str, Any] = {
                "iteration": unit.iteration,
                "kind": unit.kind,
                "index": unit.index,
                "status": unit.status,
                "score": evaluation.score if evaluation else None,
                "standard_error": evaluation.standard_error if evaluation else None,
                "training_return": training.mean_return if training else None,
                "environment_steps": unit.environment_steps,
                "total_environment_steps": totals.get(unit.iteration),
                "champion": bool(unit.agent)
                and (unit.iteration, unit.agent.sha256 if unit.agent else "") in champions,
                "finished": unit.finished,
                "elapsed": elapsed,
            }
            for phase in (*WORK, "waiting"):
                seconds = unit.seconds.get(phase)
                row[f"{phase}_wall"] = seconds.wall if seconds else 0.0
                row[f"{phase}_cpu"] = seconds.cpu if seconds else 0.0
            own = [s for p, s in unit.seconds.items() if p not in (*WORK, "waiting")]
            row["pool_wall"] = sum(seconds.wall for seconds in own)
            row["pool_cpu"] = sum(seconds.cpu for seconds in own)
            row |= {name: unit.hyperparameters.get(name) for name in differing}
            row |= {"worker": unit.worker.id[:8], "host": unit.worker.host}
            rows.append(row)
        return pd.DataFrame(rows)

    def core_a_branch_seconds(self, up_to: int | None = None) -> float:
        """Seconds that the merged iterations, or those up to a number, would have taken with a core
        for each branch and one for the parent: in each iteration the longest unit, by CPU seconds
        of training, evaluation and the pool's own cost."""
        longest: dict[int, float] = {}
        merged = {m.iteration for m in self.merges if up_to is None or m.iteration <= up_to}
        for unit in self.units:
            if unit.iteration in merged and unit.kind != "closing":
                spent = sum(s.cpu for phase, s in unit.seconds.items() if phase != "waiting")
                longest[unit.iteration] = max(longest.get(unit.iteration, 0.0), spent)
        return sum(longest.values())


def working_seconds(units: Sequence[UnitRecord]) -> list[float]:
    """Until each unit was finished, the seconds in which anybody was at work on one: the union of
    the times that they took, in which neither a standstill nor a second worker counts."""
    import numpy as np

    spans = []
    for unit in units:
        took = sum(seconds.wall for phase, seconds in unit.seconds.items() if phase != "waiting")
        spans.append((unit.finished - took, unit.finished))
    times, worked = [min(spans, default=(0.0, 0.0))[0]], [0.0]
    for start, end in sorted(spans):
        new = max(start, times[-1])  # what came before is counted already
        if new < end:
            times += [new, end]
            worked += [worked[-1], worked[-1] + end - new]
    return [float(np.interp(end, times, worked)) for _, end in spans]
