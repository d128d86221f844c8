"""CPU quotas of containers, in both versions of control groups."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from poolrl.launch import local
from poolrl.launch.cpu_quota import cpu_quota

V1 = "4:memory:/a/b\n3:cpu,cpuacct:/a/b\n2:cpuset:/a/b\n"
V2 = "0::/a/b\n"
HYBRID = V1 + "0::/a/b\n"


def v1(quota: object, period: object = 100_000) -> dict[str, str]:
    return {"cpu.cfs_quota_us": f"{quota}\n", "cpu.cfs_period_us": f"{period}\n"}


def v2(quota: object, period: object = 100_000) -> dict[str, str]:
    return {"cpu.max": f"{quota} {period}\n"}


CASES: dict[str, tuple[str, dict[str, dict[str, str]], int | None]] = {
    "no files": (V2, {}, None),
    "no quota": (V2, {"": v2("max"), "a/b": v2("max")}, None),
    "two cores": (V2, {"a/b": v2(200_000)}, 2),
    "half a core is one": (V2, {"a/b": v2(50_000)}, 1),
    "the least that there is": (V2, {"a/b": v2(1_000, 1_000_000)}, 1),
    "a core and a half are two": (V2, {"a/b": v2(150_000)}, 2),
    "another period": (V2, {"a/b": v2(75_000, 25_000)}, 3),
    "of the group above": (V2, {"a": v2(100_000), "a/b": v2("max")}, 1),
    "the lowest of several": (V2, {"": v2(900_000), "a": v2(300_000), "a/b": v2(500_000)}, 3),
    "of the root, as in a container": ("0::/\n", {"": v2(400_000)}, 4),
    "of a container by its path outside": ("0::/docker/123\n", {"": v2(400_000)}, 4),
    "of a container beside this group": ("0::/../other\n", {"": v2(400_000)}, 4),
    "of a sibling it is none": (V2, {"a/c": v2(100_000)}, None),
    "version 1 without": (V1, {"cpu,cpuacct/a/b": v1(-1)}, None),
    "version 1": (V1, {"cpu,cpuacct/a/b": v1(250_000)}, 3),
    "version 1, by a link": (V1, {"cpu/a": v1(200_000)}, 2),
    "version 1, in a container": (V1, {"cpu": v1(150_000)}, 2),
    "version 1, alone": ("1:cpu:/x\n", {"cpu/x": v1(20_000)}, 1),
    "both versions": (HYBRID, {"unified/a/b": {}, "cpu/a/b": v1(100_000)}, 1),
    "damaged": (V2, {"a/b": {"cpu.max": "much\n"}, "a": {"cpu.max": ""}}, None),
    "a period of zero": (V2, {"a/b": v2(100_000, 0)}, None),
    "no groups": ("", {"": v2(100_000)}, None),
}


@pytest.mark.parametrize("name", CASES)
def test_the_quota(tmp_path: Path, name: str) -> None:
    membership, files, cores = CASES[name]
    (tmp_path / "membership").write_text(membership)
    for folder, contents in files.items():
        (tmp_path / "cgroup" / folder).mkdir(parents=True, exist_ok=True)
        for file, text in contents.items():
            (tmp_path / "cgroup" / folder / file).write_text(text)
    assert cpu_quota(tmp_path / "cgroup", tmp_path / "membership") == cores


def test_without_control_groups_there_is_none(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path / "nowhere", tmp_path / "nothing") is None


def test_the_least_of_affinity_launcher_and_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    for quota, cores in ((None, 8), (3, 3), (64, 8)):
        monkeypatch.setattr(local, "cpu_quota", lambda quota=quota: quota)
        assert local.usable_cores() == cores
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "2")
    assert local.usable_cores() == 2
