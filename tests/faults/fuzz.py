"""Run every command that reads a pool, an agent or a configuration on hostile inputs.

    python -m tests.faults.fuzz --inputs 10000 --seed 0 [--kind record] [--keep FOLDER]

The same seed gives the same inputs. The exit code is 1 if a command printed a traceback, hung,
wrote outside its pool, or imported or started something. Each such failure is printed once, with
the command; the directory that caused it is kept in FOLDER.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.faults.hostile import sandbox
from tests.faults.hostile.inputs import KINDS, Place, make_template

LIMIT_SECONDS = 10.0
"""The time limit of a command, except while it trains or evaluates."""

MOST_MEMORY = 4 * 2**30
"""Bytes of address space in addition to those that the process has when it starts."""


class Fuzzer:
    """Runs commands on hostile inputs and counts the outcomes."""

    def __init__(self, work: Path, keep: Path | None) -> None:
        self._work, self._keep = work, keep
        self._watch = sandbox.prepare()
        self._template = make_template(work / "template")
        self.counts: Counter[tuple[str, str, str]] = Counter()
        self.failures: dict[str, str] = {}
        self.slowest = 0.0

    def one(self, draw: st.DrawFn, kind: str) -> None:
        """Draw an input of a kind, and run a command that reads it."""
        place = Place(self._work / "place")
        shutil.rmtree(place.root, ignore_errors=True)
        shutil.copytree(self._template.root, place.root, symlinks=True, copy_function=_copy)
        os.chdir(place.here)
        arguments = KINDS[kind](draw, place)
        before = _snapshot(place.outside), _snapshot(place.here)
        allowed = (place.pool, place.root / "new", place.plots)
        outcome = sandbox.command(self._watch, arguments, allowed, LIMIT_SECONDS)
        if (_snapshot(place.outside), _snapshot(place.here)) != before:
            outcome.wrong.append("something outside of the pool was changed")
        self.counts[kind, arguments[0], str(outcome.code)] += 1
        self.slowest = max(self.slowest, outcome.seconds)
        for wrong in outcome.wrong:
            self._fail(kind, arguments, wrong, place)

    def _fail(self, kind: str, arguments: list[str], wrong: str, place: Place) -> None:
        frames = [line for line in wrong.splitlines() if line.startswith("  File")]
        signature = frames[-1] + wrong.splitlines()[-1][:60] if frames else wrong[:80]
        if signature in self.failures:
            return
        self.failures[signature] = f"{kind}: poolrl {' '.join(arguments)!r:.400}\n{wrong}"
        if self._keep is not None:
            shutil.copytree(
                place.root,
                self._keep / f"{len(self.failures):03d}",
                symlinks=True,
                copy_function=_copy,
                dirs_exist_ok=True,
            )


def _copy(source: str, target: str) -> None:
    if os.path.islink(source) or os.path.isfile(source):
        shutil.copy2(source, target, follow_symlinks=False)
    else:
        os.mkfifo(target)


def _snapshot(root: Path) -> dict[str, Any]:
    found = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        plain = path.is_file() and not path.is_symlink()
        content = path.read_bytes() if plain else b""
        found[str(path)] = (status.st_mode, status.st_mtime_ns if plain else 0, content)
    return found


def fuzz(inputs: int, number: int, kinds: list[str], keep: Path | None) -> dict[str, Any]:
    """Run inputs of each kind in turn.

    Args:
        inputs: their number.
        number: the seed.
        kinds: of the inputs.
        keep: a folder for the inputs that cause a failure.

    Returns:
        The report: counts, failures and times.
    """
    start = time.monotonic()
    home = Path.cwd()
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None  # where fsync costs nothing
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        fuzzer = Fuzzer(Path(folder).resolve(), keep)
        vast = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (vast + MOST_MEMORY, resource.RLIM_INFINITY))
        for position, kind in enumerate(kinds):
            share = inputs // len(kinds) + (position < inputs % len(kinds))
            _run(fuzzer, kind, share, number)
        os.chdir(home)
    return {
        "inputs": sum(fuzzer.counts.values()),
        "seconds": round(time.monotonic() - start, 1),
        "slowest": round(fuzzer.slowest, 2),
        "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "counts": [[*key, count] for key, count in sorted(fuzzer.counts.items())],
        "failures": list(fuzzer.failures.values()),
    }


def _run(fuzzer: Fuzzer, kind: str, share: int, number: int) -> None:
    """Run inputs of one kind. Hypothesis may end early; then it continues with another seed."""

    def done() -> int:
        return sum(n for key, n in fuzzer.counts.items() if key[0] == kind)

    turn = 0
    while (left := share - done()) > 0:

        @seed(number + 1_000_000 * turn)
        @settings(
            max_examples=left,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(st.data())
        def run(data: Any) -> None:
            fuzzer.one(data.draw, kind)

        run()
        turn += 1


def table(report: dict[str, Any]) -> str:
    """The outcomes by kind of input and command, as Markdown."""
    codes = sorted({code for _, _, code, _ in report["counts"]})
    rows: dict[tuple[str, str], dict[str, int]] = {}
    for kind, command, code, count in report["counts"]:
        rows.setdefault((kind, command), {})[code] = count
    lines = ["| input | command | " + " | ".join(codes) + " |", "|---|---|" + "---|" * len(codes)]
    for (kind, command), counts in rows.items():
        cells = (str(counts.get(code, "")) for code in codes)
        lines.append(f"| {kind} | {command} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", choices=list(KINDS), action="append")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    keep = arguments.keep.resolve() if arguments.keep else None
    report = fuzz(arguments.inputs, arguments.seed, arguments.kind or list(KINDS), keep)
    if arguments.json:
        print(json.dumps(report))
    else:
        print(table(report))
        for failure in report["failures"]:
            print("\n" + failure)
        print(
            f"\n{report['inputs']} inputs in {report['seconds']} s, the slowest "
            f"{report['slowest']} s; {report['megabytes']} MB; {len(report['failures'])} failures"
        )
    sys.exit(bool(report["failures"]))


if __name__ == "__main__":
    main()
