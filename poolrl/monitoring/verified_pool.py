"""Result of the check of a pool's files."""

from __future__ import annotations

from dataclasses import dataclass, field

from poolrl.records.consistency import Discrepancy
from poolrl.records.records import MergeRecord, UnitRecord
from poolrl.records.work_units import KINDS, Unit


@dataclass
class VerifiedPool:
    """Result of ``verify_files``.

    Attributes:
        discrepancies: in the order of the iterations.
        units: the unit records that parse and belong to the pool.
        merges: the merge records that parse and belong to the pool, by iteration.
        set_aside: number of damaged files that workers have set aside.
        lost_windows: iterations of merges of which the window of a shared replay is not there any
            more.
    """

    discrepancies: list[Discrepancy] = field(default_factory=list)
    units: dict[Unit, UnitRecord] = field(default_factory=dict)
    merges: dict[int, MergeRecord] = field(default_factory=dict)
    set_aside: int = 0
    lost_windows: set[int] = field(default_factory=set)

    def starting_merge(self, unit: Unit) -> MergeRecord | None:
        """Return the merge that a unit starts from; ``None`` for the initial unit, and if the merge
        is missing or unusable."""
        return self.merges.get(unit.iteration if unit.kind == "closing" else unit.iteration - 1)

    def recomputable_records(self) -> list[UnitRecord]:
        """Return the records of units that can be recomputed: those that are not abandoned and
        have a starting merge, or are initial."""
        return [
            record
            for unit, record in self.units.items()
            if record.status != "abandoned"
            and (unit.kind == "initial" or self.starting_merge(unit) is not None)
        ]

    def has_its_window(self, record: UnitRecord) -> bool:
        """Return whether a unit can be computed again without others of earlier iterations, that it
        or the branches that it is made of have learned from."""
        learned = record.kind == "branch" or KINDS[record.kind].second_stage
        return not learned or record.iteration - 1 not in self.lost_windows

    def recomputable_means(self, iteration: int | None = None) -> list[MergeRecord]:
        """Return the merges whose mean of branches can be computed again, of one iteration or all,
        with a merge before them and all records that they list."""
        return [
            merged
            for number, merged in self.merges.items()
            if merged.rule in ("mean", "mean not finite")
            and iteration in (None, number)
            and number - 1 in self.merges
            and all(Unit(number, d.kind, d.index) in self.units for d in merged.deposits)
        ]
