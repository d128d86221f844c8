"""Disk usage of a pool, by kind of file: `python benchmarks/disk.py POOL [POOL …]`.

Prints a table in Markdown for each pool: files, bytes, and bytes on disk (whole blocks), for one
iteration on average and, of records and agents, for one unit. The folder itself is one inode more.
"""

from __future__ import annotations

import report  # isort: skip  (before NumPy is loaded)

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

KINDS = {
    "records of branches": r"branch-\d+\.json",
    "record of the parent": r"parent-\d+\.json",
    "agents": r".*\.safetensors",
    "merge": r"merge\.json",
    "leases": r".*\.lease.*",
    "closing record": r"closing-\d+\.json",
    "folder": r"",
}


class Size(NamedTuple):
    files: int
    content: int
    disk: int


def measure(pool: Path) -> dict[str, Size]:
    """Files, bytes and bytes on disk of all iterations after the first, by kind."""
    sums = dict.fromkeys([*KINDS, "other files"], (0, 0, 0))
    for path in _paths(pool):
        name = "" if path.is_dir() else path.name
        kind = next((k for k, p in KINDS.items() if re.fullmatch(p, name)), "other files")
        status = path.lstat()
        files, content, disk = sums[kind]
        sums[kind] = (files + 1, content + status.st_size, disk + 512 * status.st_blocks)
    return {kind: Size(*each) for kind, each in sums.items() if each[0]}


def _paths(pool: Path) -> Iterator[Path]:
    for folder in sorted((pool / "iterations").iterdir()):
        if int(folder.name) > 0:
            yield folder
            yield from folder.iterdir()


def table(pool: Path) -> str:
    """Format the table of one pool."""
    iterations = sum((f / "merge.json").exists() for f in (pool / "iterations").iterdir()) - 1
    sizes = measure(pool)
    total = Size(*map(sum, zip(*sizes.values(), strict=True)))
    rows = []
    for kind, size in [*sizes.items(), ("all", total)]:
        one = f"{size.content / size.files:,.0f}" if kind not in ("all", "folder") else ""
        per = [f"{value / iterations:,.{1 if i == 0 else 0}f}" for i, value in enumerate(size)]
        rows.append([kind, *per, one])
    head = ["an iteration", "inodes", "bytes", "on disk", "bytes of one"]
    return f"{pool.name}: {iterations} iterations\n\n{report.table(head, rows)}"


if __name__ == "__main__":
    print("\n\n".join(table(Path(name)) for name in sys.argv[1:]))
