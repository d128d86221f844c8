"""The CPU quota of a container or a service, from Linux's control groups.

A quota is CPU time per period (``docker run --cpus``, Kubernetes' limits, systemd's CPUQuota), and
no part of the CPU affinity. Versions 1 and 2 of control groups:
https://docs.kernel.org/admin-guide/cgroup-v2.html#cpu-interface-files
https://docs.kernel.org/scheduler/sched-bwc.html
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_HIERARCHIES = {2: ("", "unified"), 1: ("cpu", "cpu,cpuacct", "cpuacct,cpu")}
"""By version: where hierarchies with the CPU controller are mounted, below the mount point."""


def cpu_quota(
    mount_point: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")
) -> int | None:
    """Return the number of cores that the quota is worth, rounded up; ``None`` without a quota.

    Args:
        mount_point: of the control groups.
        membership: the file that names the groups of this process.
    """
    quotas = [
        quota
        for version, group in _groups(membership)
        for name in _HIERARCHIES[version]
        for folder in _from_group_to_root(mount_point / name, group)
        if (quota := _quota(folder, version)) is not None
    ]
    return max(1, math.ceil(min(quotas) - 1e-9)) if quotas else None


def _groups(membership: Path) -> Iterator[tuple[int, PurePosixPath]]:
    """The version and path of each group of this process that may have a quota."""
    try:
        lines = membership.read_text(errors="replace").splitlines()
    except OSError:  # no Linux, or no /proc
        lines = []
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            yield 2, PurePosixPath(path)
        elif "cpu" in controllers.split(","):
            yield 1, PurePosixPath(path)


def _from_group_to_root(root: Path, group: PurePosixPath) -> Iterator[Path]:
    """The folders of a group and those above it, each of which may have a quota.

    In a container the path may be that outside of it, of which only the root is mounted.
    """
    parts = [part for part in group.parts if part not in ("/", "..")]
    for number in range(len(parts), -1, -1):
        yield root.joinpath(*parts[:number])


def _quota(folder: Path, version: int) -> float | None:
    """The quota of one group in cores; ``None`` where it has none."""
    if version == 2:
        words = _words(folder / "cpu.max")
    else:
        words = [*_words(folder / "cpu.cfs_quota_us"), *_words(folder / "cpu.cfs_period_us")]
    try:
        quota, period = map(int, words)
    except ValueError:  # "max", or no such file
        return None
    return quota / period if quota > 0 and period > 0 else None  # -1: none


def _words(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").split()
    except OSError:
        return []
