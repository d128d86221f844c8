"""Power cuts, full disks, disks that turn read-only or die: nothing that was deposited is lost."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from tests.faults import refuse, scenarios
from tests.faults.file_systems import ext4, tmpfs, why_no_mounts
from tests.faults.scenarios import Case


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
        cut = scenarios.power_cut(system, tmp_path, seed)
        assert cut.logged
        assert cut.lost == []
        scenarios.finish(system.point, scenarios.deposits(system.point / scenarios.POOL))


@mounts
def test_without_fsync_a_power_cut_is_seen_to_lose_deposits(tmp_path: Path) -> None:
    with ext4(tmp_path) as system:
        cut = scenarios.power_cut(system, tmp_path, seed=1, careless=True)
        assert cut.logged
        assert cut.lost


def no_room(folder: Path) -> Case:
    with tmpfs(folder / "small", "size=1m") as place:
        filler = place / "filler"
        return scenarios.midway(
            place, "disk full midway", lambda: void(scenarios.fill(place)), filler.unlink
        )


def no_inodes(folder: Path) -> Case:
    with tmpfs(folder / "small", "size=2m,nr_inodes=40") as place:
        more = ["mount", "-o", "remount,nr_inodes=400", str(place)]
        return scenarios.midway(
            place,
            "no inodes midway",
            lambda: None,  # forty do not last
            lambda: void(subprocess.run(more, check=True)),
        )


def read_only(folder: Path) -> Case:
    with ext4(folder) as system:
        return scenarios.midway(
            system.point,
            "file system turns read-only midway, as ext4 does when it finds damage",
            system.turn_read_only,
            system.mount_again,
        )


def dead_disk(folder: Path) -> Case:
    with ext4(folder) as system:
        return scenarios.midway(
            system.point,
            "disk dies midway, every call fails",
            system.cut,
            system.mount_again,
        )


MIDWAY: dict[str, tuple[Callable[[Path], Case], tuple[str, ...]]] = {
    "no room": (no_room, ("No space left on device",)),
    "no inodes": (no_inodes, ("No space left on device",)),
    "read-only": (read_only, ("Read-only file system",)),
    "dead disk": (dead_disk, ("Input/output error",)),
}


@mounts
@pytest.mark.parametrize("name", mostly_full(MIDWAY, "no room"))
def test_a_fault_midway_is_one_line_and_the_same_command_goes_on(tmp_path: Path, name: str) -> None:
    cause, words = MIDWAY[name]
    case = cause(tmp_path)
    for word in words:
        assert word in case.printed


def full_when_made(folder: Path) -> Case:
    with tmpfs(folder / "small", "size=1m") as place:
        scenarios.fill(place)
        return scenarios.refused(place, "disk full when the pool is made")


def no_inodes_when_made(folder: Path) -> Case:
    with tmpfs(folder / "small", "size=1m,nr_inodes=3") as place:
        for name in "ab":
            (place / name).touch()
        return scenarios.refused(place, "no inode left when the pool is made")


def read_only_when_made(folder: Path) -> Case:
    with tmpfs(folder / "small", "size=1m") as place:
        subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
        return scenarios.refused(place, "read-only when the pool is made")


WHEN_MADE: dict[str, tuple[Callable[[Path], Case], str]] = {
    "no room": (full_when_made, "no space"),
    "no inodes": (no_inodes_when_made, "No space left on device"),
    "read-only": (read_only_when_made, "Read-only file system"),
}


@mounts
@pytest.mark.parametrize("name", mostly_full(WHEN_MADE, "no room"))
def test_where_no_pool_can_be_nothing_is_left(tmp_path: Path, name: str) -> None:
    cause, words = WHEN_MADE[name]
    case = cause(tmp_path)
    assert case.code == 2
    assert words in case.printed


LACKING = {
    "link=EPERM": ("without hard links (EPERM)", "no hard links"),
    "link=EOPNOTSUPP": ("without hard links (EOPNOTSUPP)", "no hard links"),
    "fsync=EIO": ("whose fsync fails (EIO)", "fsync of a file fails"),
    "fsync=EINVAL": ("that refuses fsync (EINVAL)", "fsync of a file fails"),
}


def lacking(folder: Path, call: str) -> Case:
    prefix = refuse.prefix(call)
    return scenarios.refused(folder, f"a file system {LACKING[call][0]}", prefix)


@refusals
@pytest.mark.parametrize("call", mostly_full(LACKING, "link=EPERM"))
def test_a_file_system_that_lacks_a_call_is_refused(tmp_path: Path, call: str) -> None:
    case = lacking(tmp_path, call)
    assert case.code == 2
    assert LACKING[call][1] in case.printed


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


def void(_: object) -> None:
    pass
