"""Checks of file systems, on a real one and with failing calls."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from poolrl.config.run_options import RunOptions
from poolrl.doctor import checks, mounts
from poolrl.doctor.checks import CheckResult
from poolrl.doctor.examination import check_briefly, check_file_system
from poolrl.doctor.scratch import STALE_SECONDS
from poolrl.errors import UsageError
from poolrl.pool.directory import Pool, make_pool
from tests.conftest import tiny_spec
from tests.helpers.command_line import poolrl, without_privileges
from tests.helpers.waiting import until

CHECKS = {
    "file system",
    "write",
    "exclusive create",
    "hard link",
    "rename",
    "exchange",
    "fsync",
    "long names",
    "clock",
    "space",
    "inodes",
    "permissions",
    "race",
    "listing",
    "opening",
    "replacing",
    "lease",
}


def by_check(results: list[CheckResult]) -> dict[str, CheckResult]:
    return {result.check: result for result in results}


def test_a_folder_that_is_not_ones_own(tmp_path: Path) -> None:
    (tmp_path / "private" / "pool").mkdir(parents=True)
    (tmp_path / "private").chmod(0)
    said = without_privileges("doctor", "private/pool", cwd=tmp_path)
    (tmp_path / "private").chmod(0o700)
    assert said.returncode == 2
    line = "poolrl: private/pool: no pool can be safe here: write: Permission denied\n"
    assert said.stderr == line


def test_a_sound_file_system(tmp_path: Path) -> None:
    results = by_check(check_file_system(tmp_path))
    assert results.keys() == CHECKS
    assert [f for f in results.values() if f.level == "refused"] == []
    assert results["lease"].level in ("ok", "note")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("where", ["pool", "yet to be made"])
def test_the_command(tiny_pool: Pool, where: str) -> None:
    before = sorted(tiny_pool.layout.root.parent.rglob("*"))
    said = poolrl("doctor", where, "--json", cwd=tiny_pool.layout.root.parent)
    assert said.returncode == 0, said.stderr
    answer = json.loads(said.stdout)
    assert answer["safe"] is True
    assert answer["directory"] == where
    assert {check["check"] for check in answer["checks"]} == CHECKS
    assert sorted(tiny_pool.layout.root.parent.rglob("*")) == before


def test_what_it_prints(tmp_path: Path) -> None:
    said = poolrl("doctor", ".", cwd=tmp_path)
    lines = said.stdout.splitlines()
    assert {line[9 : 9 + 16].strip() for line in lines} - {""} == CHECKS
    for line in lines:
        assert re.match(r"(ok|note|warning|refused) +\w|  +→ ", line), line


def test_a_directory_that_cannot_be_created(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in ("absent/pool", "file/pool"):
        said = poolrl("doctor", path, cwd=tmp_path)
        assert said.returncode == 2
        assert said.stderr.startswith(f"poolrl: {path}: no such directory")
        assert said.stderr.count("\n") == 1


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_killed_at_any_time_it_leaves_nothing(tmp_path: Path, sent: signal.Signals) -> None:
    # The last of them while the second process is stopped.
    for delay in (0.0, 0.15, 0.3, 0.7) if sent == signal.SIGKILL else (0.3,):
        run = subprocess.Popen(
            [sys.executable, "-m", "poolrl", "doctor", str(tmp_path)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 30
        while not any(
            (tmp_path / name / "race-create-0").exists() for name in os.listdir(tmp_path)
        ):
            assert time.monotonic() < deadline
            assert run.poll() is None
            time.sleep(0.001)
        time.sleep(delay)
        run.send_signal(sent)
        run.wait(30)
        left = deadline - time.monotonic()
        until(lambda: not os.listdir(tmp_path), "that the second process clears up", left)


def test_old_folders_of_killed_processes_are_removed(tmp_path: Path) -> None:
    old, young = (tmp_path / f".doctor-{digit * 32}" for digit in "01")
    elsewhere = tmp_path / "elsewhere"
    for folder in (old, young, elsewhere):
        folder.mkdir()
        (folder / "file").touch()
    link = tmp_path / f".doctor-{'2' * 32}"
    link.symlink_to(elsewhere)
    before = time.time() - STALE_SECONDS - 60
    os.utime(old, (before, before))
    os.utime(link, (before, before), follow_symlinks=False)
    check_briefly(tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted([young.name, elsewhere.name, link.name])
    assert (elsewhere / "file").exists()


def test_the_brief_check_is_fast(tmp_path: Path) -> None:
    times = []
    for _ in range(5):
        start = time.perf_counter()
        check_briefly(tmp_path / "a" / "b")
        times.append(time.perf_counter() - start)
    assert min(times) < 0.05
    assert os.listdir(tmp_path / "a" / "b") == []


CHURN = """
import sys, uuid
from pathlib import Path
while True:
    folder = Path(sys.argv[1]) / f".doctor-{uuid.uuid4().hex}"
    folder.mkdir()
    folder.rmdir()
"""


def test_the_brief_check_may_be_used_by_many_at_once(tmp_path: Path) -> None:
    """All tasks of an array create the same pool."""
    others = [subprocess.Popen([sys.executable, "-c", CHURN, str(tmp_path)]) for _ in range(2)]
    try:
        for _ in range(200):
            check_briefly(tmp_path)
    finally:
        for other in others:
            other.kill()
            other.wait()


def test_the_brief_check_leaves_no_folder_where_it_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", refuse(errno.EPERM))
    with pytest.raises(UsageError, match="no hard links"):
        check_briefly(tmp_path / "a" / "b")
    assert os.listdir(tmp_path) == []


def refuse(error: int) -> object:
    def call(*_: object, **__: object) -> None:
        raise OSError(error, os.strerror(error))

    return call


@pytest.mark.parametrize(
    ("name", "error", "check", "words"),
    [
        ("link", errno.EPERM, "hard link", "no hard links, which a pool needs"),
        ("link", errno.EOPNOTSUPP, "hard link", "no hard links, which a pool needs"),
        ("fsync", errno.EIO, "fsync", "fsync of a file fails"),
        ("fsync", errno.EINVAL, "fsync", "fsync of a file fails"),
        ("mkdir", errno.EROFS, "write", "Read-only file system"),
        ("mkdir", errno.ENOSPC, "write", "No space left"),
    ],
)
def test_a_call_that_fails_is_refused_by_doctor_and_by_run(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    error: int,
    check: str,
    words: str,
) -> None:
    monkeypatch.setattr(os, name, refuse(error))
    found = by_check(check_file_system(tmp_path))[check]
    assert (found.level, words in found.found) == ("refused", True), found
    with pytest.raises(UsageError, match=re.escape(words)) as refused:
        make_pool(tmp_path / "pool", tiny_spec(), RunOptions())
    assert str(tmp_path / "pool") in str(refused.value)
    assert "\n" not in str(refused.value)
    assert os.listdir(tmp_path) == []


def test_calls_with_wrong_effects_are_detected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open

    def forgiving(path: str, flags: int, *rest: int, **named: int) -> int:
        return real(path, flags & ~os.O_EXCL, *rest, **named)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", forgiving)
        assert checks.exclusive_create(tmp_path).level == "refused"
    with monkeypatch.context() as patch:
        patch.setattr(os, "link", os.replace)
        assert checks.hard_link(tmp_path).level == "refused"
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda *_: None)
        assert checks.rename(tmp_path).level == "refused"


def test_free_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.statvfs(tmp_path)

    def with_free(blocks: int, files: int) -> None:
        values = list(real)
        values[4], values[7] = blocks * 4096 // real.f_frsize, files
        monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result(values))

    levels = {}
    for blocks, files in ((10, 10), (10_000, 1000), (10_000_000, 1_000_000)):
        with_free(blocks, files)
        levels[blocks] = (checks.space(tmp_path).level, checks.inodes(tmp_path).level)
    assert levels == {
        10: ("refused", "refused"),
        10_000: ("warning", "warning"),
        10_000_000: ("ok", "ok"),
    }


def test_clocks_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time
    for ahead, level in ((0.0, "ok"), (20.0, "note"), (-4000.0, "warning")):
        with monkeypatch.context() as patch:
            patch.setattr(time, "time", lambda ahead=ahead: now() - ahead)
            found = checks.clock(tmp_path)
        assert found.level == level
        assert "earlier" in found.found if ahead < 0 else "earlier" not in found.found


@pytest.mark.parametrize(
    ("mode", "umask", "level"),
    [
        (0o755, 0o077, "ok"),
        (0o775, 0o022, "warning"),
        (0o2770, 0o007, "ok"),
        (0o2770, 0o077, "warning"),
    ],
)
def test_a_group_that_cannot_use_new_files(
    tmp_path: Path, mode: int, umask: int, level: str
) -> None:
    base, before = tmp_path / "shared", os.umask(umask)
    try:
        base.mkdir()
        base.chmod(mode)
        (base / "inner").mkdir()
        found = checks.permissions(base / "inner")
    finally:
        os.umask(before)
    assert found.level == level
    assert f"umask {umask:03o}" in found.found
    assert ("umask 002" in found.advice) == (level == "warning")


MOUNTINFO = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
35 22 0:31 / /home rw shared:2 master:1 - nfs4 server:/home rw,vers=4.2,soft
36 22 0:32 / /mnt/with\\040space rw - fuse.sshfs me@there: rw
37 22 0:33 / /mnt/over rw - ext4 /dev/sdb rw
38 22 0:34 / /mnt/over rw - tmpfs tmpfs rw
"""

MOUNT = """\
/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)
/dev/disk3s5 on /System/Volumes/Data (apfs, local, journaled)
//me@server/share on /Volumes/with space (smbfs, nodev, nosuid)
"""


def test_types_of_file_systems() -> None:
    for path, name in (
        ("/home/me/pool", "nfs4"),
        ("/homes", "ext4"),
        ("/mnt/with space/x", "fuse.sshfs"),
        ("/mnt/over", "tmpfs"),
        ("/", "ext4"),
    ):
        found = mounts.from_mountinfo(MOUNTINFO, path)
        assert found is not None
        assert found[0] == name
    assert "soft" in (mounts.from_mountinfo(MOUNTINFO, "/home") or ("", set()))[1]
    assert mounts.from_mount_command(MOUNT, "/Volumes/with space/pool") == (
        "smbfs",
        {"nodev", "nosuid"},
    )
    assert (mounts.from_mount_command(MOUNT, "/Users/me") or ("", set()))[0] == "apfs"
    assert mounts.from_mount_command("", "/") is None


def test_the_type_of_this_one(tmp_path: Path) -> None:
    found = mounts.name_of(tmp_path)
    assert found is not None
    assert re.fullmatch(r"[\w.]+", found[0])
