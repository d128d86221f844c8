"""The table of a pool's history."""

from __future__ import annotations

from msgspec.structs import replace

from poolrl.monitoring.history import working_seconds
from poolrl.records.records import Seconds, UnitRecord
from tests.helpers.deposits import deposit


def took(seconds: float, finished: float, waited: float = 0.0, index: int = 0) -> UnitRecord:
    """A unit that took some seconds of work, after some seconds of waiting."""
    phases = {
        "training": Seconds(seconds - 1),
        "publish": Seconds(1),
        "waiting": Seconds(waited),
    }
    return replace(deposit("branch", index, [0.0]), seconds=phases, finished=finished)


def test_working_time_is_the_union_of_what_units_took() -> None:
    one, two = took(10, finished=110), took(10, finished=115)
    assert working_seconds([one, two]) == [10, 15]
    inside = took(2, finished=112)
    assert working_seconds([two, inside, one]) == [15, 12, 10]
    assert working_seconds([took(10, finished=110, waited=50), took(5, finished=130)]) == [10, 15]


def test_a_pause_within_an_iteration_does_not_count() -> None:
    """All workers were stopped, and started again a day later."""
    day = 86_400
    units = [took(10, 100, index=0), took(10, 105, index=1), took(20, 100 + day, index=2)]
    assert working_seconds(units) == [10, 15, 35]


def test_no_units_took_no_time() -> None:
    assert working_seconds([]) == []
    assert working_seconds([deposit("branch", 0, [0.0])]) == [0]
