"""Runs of a plan that are made up, for tests of the analysis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from run_data import RunData, Units


def units(
    count: int, trained: int = 0, evaluated: int = 0, /, **seconds: float | tuple[float, float]
) -> Units:
    """Units that are all alike.

    Args:
        count: of units.
        trained: control steps of training of each.
        evaluated: control steps of evaluation of each.
        seconds: of all of them together, by phase; CPU as wall-clock if there is but one number.
    """
    from run_data import Units

    both = {k: v if isinstance(v, tuple) else (v, v) for k, v in seconds.items()}
    return Units(count, (trained,), (evaluated,), both)


def run_of(
    iterations: Sequence[Mapping[str, Units]], scores: Sequence[float | None] = (), **given: Any
) -> RunData:
    """A run; each iteration has a champion of its own.

    Args:
        iterations: units by kind, of iteration 1, 2, …
        scores: of the champions; none by default.
        given: of the run's other fields.
    """
    from run_data import Iteration, RunData

    found = scores or [None] * len(iterations)
    fields: dict[str, Any] = {
        "task": "task",
        "arm": "arm",
        "seed": 0,
        "branches": 10,
        "simulations": 8,
        "overlaps": False,
        "target": 10.0,
        "score_every": 0.0,
        "overhead": {},
        "versions": {},
        "iterations": tuple(
            Iteration(number, f"{number:016x}", dict(kinds), score)
            for number, (kinds, score) in enumerate(zip(iterations, found, strict=True), 1)
        ),
    }
    return RunData(**fields | given)
