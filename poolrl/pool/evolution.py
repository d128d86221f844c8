"""Values of evolving hyper-parameters: of a branch, and of the line after a merge."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from poolrl.config.branches import RANGE, Evolve
from poolrl.config.schema import Spec
from poolrl.records.records import UnitRecord
from poolrl.records.work_units import Unit
from poolrl.seeding import Purpose, Streams

DIGITS = 12
"""Significant digits of recorded values, so that another machine's exp and log give the same."""


def branch_values(spec: Spec, unit: Unit, line: Mapping[str, float]) -> dict[str, float]:
    """The values of evolving hyper-parameters on a branch, by name.

    Args:
        spec: of the pool.
        unit: the branch.
        line: the values of the merge that it starts from.
    """
    streams = Streams(spec.pool.seed, unit.training_key)
    values: dict[str, float] = {}
    for number, (name, start) in enumerate(spec.evolving.items()):
        values[name] = line.get(name, start)
        given = spec.branches[name]
        if unit.index > 0 and isinstance(given, Evolve):
            draw = float(streams.generator(Purpose.EVOLVE, number).standard_normal())
            value = values[name] * math.exp(given.evolve * draw)
            values[name] = _rounded(min(max(value, start / RANGE), start * RANGE))
    return values


def values_of(record: UnitRecord, names: Iterable[str]) -> dict[str, float]:
    """The values that a branch recorded, by name."""
    return {name: record.evolved_value(name) for name in names}


def mean_values(
    records: Sequence[UnitRecord], weights: Mapping[int, float], names: Iterable[str]
) -> dict[str, float]:
    """Weighted geometric means of the values that branches recorded, by name.

    Args:
        records: of the branches.
        weights: by index of the branch; their sum is 1.
        names: of the hyper-parameters.
    """
    own = {record.index: record for record in records if record.kind == "branch"}
    return {
        name: _rounded(
            math.exp(
                math.fsum(
                    weight * math.log(own[index].evolved_value(name))
                    for index, weight in weights.items()
                )
            )
        )
        for name in names
    }


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
