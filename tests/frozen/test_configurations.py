"""Configurations as an earlier version came with them, made small: two iterations of each give the
same champions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.frozen.machine import is_recorded
from tests.frozen.table import CHAMPIONS, CONFIGURATIONS, KEYS, train

SCORE_TOLERANCE = 1e-4
"""Of a score on another machine."""

STORED = json.loads(CHAMPIONS.read_text())


def test_every_configuration_has_champions() -> None:
    files = {path.stem for path in CONFIGURATIONS.glob("*.toml")}
    assert files == set(KEYS) == set(STORED["champions"])


@pytest.mark.parametrize("name", KEYS)
def test_a_configuration_gives_the_same_champions(name: str, tmp_path: Path) -> None:
    expected, actual = STORED["champions"][name], train(name, tmp_path)
    if is_recorded(STORED["machine"]):
        assert actual == expected
    else:
        tolerance = pytest.approx(expected["score"], rel=SCORE_TOLERANCE, abs=SCORE_TOLERANCE)
        assert actual["score"] == tolerance
