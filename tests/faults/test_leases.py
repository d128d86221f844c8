"""Leases that never yield hold nothing up."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import refuse, scenarios
from tests.faults.file_systems import why_no_mounts
from tests.faults.scenarios import Case

root = pytest.mark.skipif(bool(why_no_mounts()), reason=f"another host: {why_no_mounts()}")
refusals = pytest.mark.skipif(bool(refuse.why_not()), reason=refuse.why_not())

NO_EXCHANGE = "exchange=EINVAL"  # as NFS has it


def empty(folder: Path, *, exchange: bool) -> Case:
    markers = scenarios.empty_markers(folder)
    case = scenarios.despite_leases(
        folder,
        f"{len(markers)} lease markers left empty{told(exchange)}",
        () if exchange else refuse.prefix(NO_EXCHANGE),
    )
    if not exchange:
        assert all(marker.read_bytes() == b"" for marker in markers if marker.exists())
    return case


def dead(folder: Path, *, exchange: bool) -> Case:
    with scenarios.dead_elsewhere(folder) as marker:
        held = marker.read_text()
        case = scenarios.despite_leases(
            folder,
            f"lease of a worker on another host that was killed{told(exchange)}",
            () if exchange else refuse.prefix(NO_EXCHANGE),
        )
        assert marker.exists() is not exchange
        assert exchange or marker.read_text() == held  # it never yielded
    return case


def told(exchange: bool) -> str:
    return "" if exchange else ", exchange rename refused"


@pytest.mark.full
@pytest.mark.parametrize("exchange", [True, pytest.param(False, marks=refusals)])
def test_empty_markers(tmp_path: Path, exchange: bool) -> None:
    empty(tmp_path, exchange=exchange)


@root
@pytest.mark.parametrize(
    "exchange", [pytest.param(True, marks=pytest.mark.full), pytest.param(False, marks=refusals)]
)
def test_a_dead_holder_on_another_host(tmp_path: Path, exchange: bool) -> None:
    dead(tmp_path, exchange=exchange)
