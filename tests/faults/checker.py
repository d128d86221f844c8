"""An independent checker of a pool's guarantees, which reads the files of a directory.

It does not import poolrl, so that a defect there cannot hide here: names, hashes, means and merge
rules are implemented a second time. Neither torch nor MuJoCo is needed.

    python -m tests.faults.checker D

    violations = check(root)               # [] for a sound pool
    differences = same_history(one, other)  # [] if they are equal
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.iteration import Iteration
from tests.faults.rules import RECORD, STRAY, Table, spec_sha256

ROOT_FILES = {"pool.toml", "run.toml", "history.csv", "history.png", "submit.sh"}
TRANSIENT = {"finished", "worker", "seconds"}
"""The keys of a record that may differ between two runs."""


@dataclass
class Report:
    """The result of a check.

    Attributes:
        violations: each with the file that shows it.
        strays: files that killed processes may leave: temporary files, files set aside, agents
            that no record names.
        timing_dependent: the iterations with merges that are marked so.
        champions: SHA-256 of every merge's champion, by iteration.
    """

    violations: list[str] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)
    timing_dependent: list[int] = field(default_factory=list)
    champions: list[str] = field(default_factory=list)


def check(root: Path, *, keep: str = "champions", iterations: int | None = None) -> list[str]:
    """The violations of a pool; arguments as for ``examine``."""
    return examine(root, keep=keep, iterations=iterations).violations


def examine(root: Path, *, keep: str = "champions", iterations: int | None = None) -> Report:
    """Check a pool on which no worker runs.

    Args:
        root: its directory.
        keep: the retention rule of losers' agents: champions, last:N or all.
        iterations: the iteration after which it must have ended; ``None`` for no check.
    """
    return _Examination(Path(root), keep).run(iterations)


def same_history(one: Path, other: Path) -> list[str]:
    """The differences of two pools' records and merges, except times, hosts, seconds and attempts.

    Only the closing evaluation of the last merged iteration counts: a run that was ended early and
    continued has one more.
    """
    left, right = _history(Path(one)), _history(Path(other))
    return [
        f"{key}: {left.get(key, 'absent')} in {one}, {right.get(key, 'absent')} in {other}"
        for key in sorted(left.keys() | right.keys())
        if left.get(key, "absent") != right.get(key, "absent")
    ]


class _Examination:
    def __init__(self, root: Path, keep: str) -> None:
        self.root = root
        self.report = Report()
        self.spec: Table = {}
        self.spec_sha256 = ""
        self.newest = -1
        self.kept_losers: float = math.inf if keep == "all" else 0
        if keep.startswith("last:"):
            self.kept_losers = int(keep.removeprefix("last:"))

    def run(self, iterations: int | None) -> Report:
        try:
            table = tomllib.loads((self.root / "pool.toml").read_text())
            self.spec = table["spec"]
        except (OSError, ValueError, KeyError) as error:
            self.broken("pool.toml", f"cannot be read: {error}")
            return self.report
        self.spec_sha256 = spec_sha256(self.spec)
        self._check_root()
        numbers = self._iterations()
        merged = [n for n in numbers if (self._folder(n) / "merge.json").exists()]
        self.newest = max(merged, default=-1)
        previous: Table | None = None
        for number in range(max(numbers, default=-1) + 1):
            if number not in numbers:
                self.broken(f"iterations/{number:06d}", "a missing iteration: later ones are there")
                previous = None
                continue
            if number > 0 and previous is None and (number - 1) in numbers:
                self.broken(
                    f"iterations/{number - 1:06d}/merge.json",
                    "is missing or unusable, though a later iteration was begun",
                )
            previous = Iteration(self, number, previous).run()
        if iterations is not None:
            self._ended(iterations)
        return self.report

    def broken(self, path: str, what: str) -> None:
        self.report.violations.append(f"{path}: {what}")

    def stray(self, path: str) -> None:
        self.report.strays.append(path)

    def merged(self, champion: str, iteration: int, timing_dependent: bool) -> None:
        self.report.champions.append(champion)
        if timing_dependent:
            self.report.timing_dependent.append(iteration)

    def _folder(self, number: int) -> Path:
        return self.root / "iterations" / f"{number:06d}"

    def _check_root(self) -> None:
        for name in sorted(os.listdir(self.root)):
            is_folder = stat.S_ISDIR(os.lstat(self.root / name).st_mode)
            if STRAY.fullmatch(name) or name.startswith(".doctor-"):
                self.stray(name)
            elif name in ("iterations", "jobs", "logs", "workers"):
                if not is_folder:
                    self.broken(name, "is no folder")
            elif name not in ROOT_FILES or is_folder:
                self.broken(name, "is nothing that a pool has")
        for folder, names in (("workers", r"[\w.-]+\.json"), ("jobs", r"[1-9]\d*\.json")):
            directory = self.root / folder
            for name in sorted(os.listdir(directory)) if directory.is_dir() else []:
                if STRAY.fullmatch(name):
                    self.stray(f"{folder}/{name}")
                elif not re.fullmatch(names, name):
                    self.broken(f"{folder}/{name}", "is nothing that a pool has")

    def _iterations(self) -> list[int]:
        folder = self.root / "iterations"
        numbers = []
        for name in sorted(os.listdir(folder)) if folder.is_dir() else []:
            path = f"iterations/{name}"
            if not re.fullmatch(r"\d{6,9}", name) or name != f"{int(name):06d}":
                self.broken(path, "is nothing that a pool has")
            elif not stat.S_ISDIR(os.lstat(folder / name).st_mode):
                self.broken(path, "is no folder")
            else:
                numbers.append(int(name))
        return numbers

    def _ended(self, iterations: int) -> None:
        if self.newest != iterations:
            self.broken("iterations", f"the last merge is {self.newest}, not {iterations}")
        elif not (self._folder(iterations) / "closing-000.json").exists():
            self.broken(f"iterations/{iterations:06d}", "has no closing record")


def _history(root: Path) -> dict[str, Any]:
    """The values of all records and merges by file and key, without the transient keys."""
    flat: dict[str, Any] = {}
    folders = sorted((root / "iterations").iterdir())
    merged = [folder for folder in folders if (folder / "merge.json").exists()]
    for folder in folders:
        for path in sorted(folder.iterdir()):
            if path.name != "merge.json" and not RECORD.fullmatch(path.name):
                continue
            if path.name.startswith("closing-") and folder != merged[-1]:
                continue
            table = json.loads(path.read_bytes())
            kept = {key: value for key, value in table.items() if key not in TRANSIENT}
            _flatten(f"iterations/{folder.name}/{path.name}", kept, flat)
    return flat


def _flatten(prefix: str, value: Any, flat: dict[str, Any]) -> None:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            _flatten(f"{prefix}: {key}" if ": " not in prefix else f"{prefix}.{key}", inner, flat)
    else:
        flat[prefix] = value


if __name__ == "__main__":
    found = examine(Path(sys.argv[1]))
    print("\n".join([*found.violations, *(f"(stray: {name})" for name in found.strays)]))
    print(
        f"{len(found.champions)} merges, {len(found.violations)} violations, "
        f"{len(found.strays)} strays, timing-dependent: {found.timing_dependent or 'none'}"
    )
    sys.exit(bool(found.violations))
