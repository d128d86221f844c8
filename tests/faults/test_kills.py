"""One of five workers killed every iteration: what it costs."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.faults.checker import check, same_history
from tests.faults.kills import run, settings


@pytest.mark.full
def test_a_kill_every_iteration_costs_less_than_half_of_it(tmp_path: Path) -> None:
    arguments = settings(branches=20, iteration_seconds=10.0)
    calm = run(tmp_path / "calm", arguments, 3, None)
    killed = run(tmp_path / "killed", arguments, 3, random.Random(1))
    assert check(tmp_path / "killed", iterations=3) == []
    assert same_history(tmp_path / "killed", tmp_path / "calm") == []
    assert killed <= 1.5 * calm
