from __future__ import annotations

import pytest
from arms import Arm
from costs import Costs
from run_data import Units
from timing import Layout

from tests.helpers.benchmark_runs import run_of, units


def test_the_same_time_is_when_all_runs_have_as_many_iterations_as_the_shortest() -> None:
    def kinds(steps: int) -> dict[str, Units]:
        return {"branch": units(10, steps, training=(10, 10))}

    quick = run_of([kinds(1000)] * 2, scores=[1, 2])
    slow = run_of([kinds(1010)] * 3, scores=[4, 5, 6])
    arm = Arm("arm", [quick, slow], Costs([], quick), [None, None])
    layout = Layout(10, 1)
    end = arm.end(layout)
    assert end is not None
    assert arm.scores_at(layout, end) == [2, 5]
    assert end == pytest.approx(2.02)
