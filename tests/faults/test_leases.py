"""Leases that nobody removes do not stop a pool."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import lease_cases, refuse
from tests.faults.file_systems import why_no_mounts

root = pytest.mark.skipif(bool(why_no_mounts()), reason=f"another host: {why_no_mounts()}")
refusals = pytest.mark.skipif(bool(refuse.why_not()), reason=refuse.why_not())


@pytest.mark.full
@pytest.mark.parametrize("exchange", [True, pytest.param(False, marks=refusals)])
def test_empty_markers(tmp_path: Path, exchange: bool) -> None:
    lease_cases.empty(tmp_path, exchange=exchange)


@root
@pytest.mark.parametrize(
    "exchange", [pytest.param(True, marks=pytest.mark.full), pytest.param(False, marks=refusals)]
)
def test_a_dead_holder_on_another_host(tmp_path: Path, exchange: bool) -> None:
    lease_cases.dead(tmp_path, exchange=exchange)
