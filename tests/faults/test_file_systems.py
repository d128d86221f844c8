"""Power cuts, full disks, disks that turn read-only or die: nothing that was deposited is lost."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.faults import file_system_cases as cases
from tests.faults import power_cuts, refuse, scenarios
from tests.faults.file_systems import ext4, why_no_mounts


def mostly_full(names: Iterable[str], *always: str) -> list[object]:
    """Parameters of which a few are no part of the full run alone."""
    return [
        name if name in always else pytest.param(name, marks=pytest.mark.full) for name in names
    ]


mounts = pytest.mark.skipif(bool(why_no_mounts()), reason=why_no_mounts())
refusals = pytest.mark.skipif(bool(refuse.why_not()), reason=refuse.why_not())


@mounts
@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.full) for seed in range(1, 40))]
)
def test_a_power_cut_loses_nothing_that_was_deposited(tmp_path: Path, seed: int) -> None:
    with ext4(tmp_path) as system:
        cut = power_cuts.power_cut(system, tmp_path, seed)
        assert cut.logged
        assert cut.lost == []
        scenarios.finish(system.point, scenarios.deposits(system.point / scenarios.POOL))


@mounts
def test_without_fsync_a_power_cut_is_seen_to_lose_deposits(tmp_path: Path) -> None:
    # The kernel must not commit by itself first. If another process syncs all, try again.
    for attempt in range(5):
        folder = tmp_path / str(attempt)
        with ext4(folder, commit_seconds=3600) as system:
            cut = power_cuts.power_cut(system, folder, seed=1, careless=True)
        if not cut.committed:
            break
    assert cut.logged
    assert cut.lost


@mounts
@pytest.mark.parametrize("name", mostly_full(cases.MIDWAY, "no room"))
def test_a_fault_midway_is_one_line_and_the_same_command_continues(
    tmp_path: Path, name: str
) -> None:
    cause, words = cases.MIDWAY[name]
    case = cause(tmp_path)
    for word in words:
        assert word in case.printed


@mounts
@pytest.mark.parametrize("name", mostly_full(cases.WHEN_MADE, "no room"))
def test_where_no_pool_can_be_nothing_is_left(tmp_path: Path, name: str) -> None:
    cause, words = cases.WHEN_MADE[name]
    case = cause(tmp_path)
    assert case.code == 2
    assert words in case.printed


@refusals
@pytest.mark.parametrize("call", mostly_full(cases.LACKING, "link=EPERM"))
def test_a_file_system_that_lacks_a_call_is_refused(tmp_path: Path, call: str) -> None:
    case = cases.lacking(tmp_path, call)
    assert case.code == 2
    assert cases.LACKING[call][1] in case.printed


@pytest.mark.full
@refusals
def test_a_pool_that_could_not_be_extended_is_no_success(tmp_path: Path) -> None:
    first = subprocess.run(
        scenarios.run_command(1), cwd=tmp_path, env=scenarios.environment(), check=False
    )
    assert first.returncode == 0
    done = scenarios.run(tmp_path, refuse.prefix("link=EPERM"))
    assert done.returncode == 1
    assert "no hard links" in scenarios.check_refusal(done.returncode, done.stderr)
