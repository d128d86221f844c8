"""`poolrl verify` on pools of every merge rule: nothing in sound ones, and each flipped bit."""

from __future__ import annotations

import json
import random
import re
import shutil
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from poolrl.errors import PoolrlError
from poolrl.monitoring.verify import verify_files
from poolrl.pool.directory import open_pool
from poolrl.worker.recomputation import Recomputer
from tests.faults.checker import TRANSIENT
from tests.helpers.command_line import in_process
from tests.helpers.rules import ITERATIONS, RULES, finished

FLIPS = 4
"""Of each file, by default."""

every_rule = pytest.mark.parametrize("rule", RULES)


@pytest.fixture(scope="module")
def sound(memory_folder: Path) -> Callable[[str], Path]:
    """The pool of a rule with all its agents."""

    @cache
    def of(rule: str) -> Path:
        return finished(memory_folder / rule, rule, keep="all").layout.root

    return of


@every_rule
def test_nothing_is_found_before_and_after_pruning(
    sound: Callable[[str], Path], memory_folder: Path, rule: str
) -> None:
    root = shutil.copytree(sound(rule), memory_folder / f"{rule}, pruned")
    kept = in_process("verify", root, "--all", cwd=memory_folder)
    assert (kept.returncode, kept.stderr) == (0, "")
    assert in_process("prune", root, "--keep", "champions", cwd=memory_folder).returncode == 0
    assert len(list((root / "iterations/000001").glob("*.safetensors"))) <= 1
    pruned = in_process("verify", root, "--all", cwd=memory_folder)
    assert (pruned.returncode, pruned.stderr, pruned.stdout) == (0, "", kept.stdout)


def files_of(root: Path) -> Iterator[Path]:
    """A file of each kind that a pool has: specification, records, sources, merges, agents."""
    seen = set()
    folders = [root / f"iterations/{number:06d}" for number in range(ITERATIONS, -1, -1)]
    for folder in (root, *folders):
        names = ("pool.toml",) if folder == root else ("*-*", "*.json")
        for path in sorted(path for name in names for path in folder.glob(name)):
            kind = re.sub(r"-\d{3}(-\w+)?", "", path.name)
            if kind not in seen:
                seen.add(kind)
                yield path


def meaning(path: Path) -> Any:
    """What a file says, without what may differ between two runs; ``None`` if it is damaged."""
    data = path.read_bytes()
    try:
        if path.suffix == ".toml":
            return tomllib.loads(data.decode())["spec"]
        if path.suffix == ".json":
            return {key: v for key, v in json.loads(data).items() if key not in TRANSIENT}
    except (ValueError, KeyError):
        return None
    return data


class Detector:
    """Finds what `poolrl verify --all` finds, and computes no more than it needs."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._recomputer = Recomputer(open_pool(root))

    def finds(self, path: Path) -> bool:
        """Whether anything is found, by the files, or by the unit whose record has changed."""
        try:
            verified = verify_files(open_pool(self._root))
        except PoolrlError:
            return True
        if verified.discrepancies:
            return True
        return any(
            self._recomputer.differences(record, verified.starting_merge(unit), verified.units)
            for unit, record in verified.units.items()
            if (f"{unit.iteration:06d}", f"{unit.stem}.json") == (path.parent.name, path.name)
        )

    def close(self) -> None:
        self._recomputer.close()


def flip(root: Path, bits: Callable[[int], Iterator[int]]) -> None:
    """Flip bits of each kind of file, one at a time, and check that each is found.

    Args:
        root: the pool's directory.
        bits: returns those to flip in a file of so many bits.
    """
    detector = Detector(root)
    assert not detector.finds(root)
    for path in files_of(root):
        data, before = path.read_bytes(), meaning(path)
        for bit in bits(8 * len(data)):
            flipped = bytearray(data)
            flipped[bit // 8] ^= 1 << bit % 8
            path.write_bytes(flipped)
            assert meaning(path) == before or detector.finds(path), f"{path}: bit {bit}"
        path.write_bytes(data)
    detector.close()


@every_rule
def test_a_flipped_bit_in_any_kind_of_file_is_found(
    sound: Callable[[str], Path], memory_folder: Path, rule: str
) -> None:
    root = shutil.copytree(sound(rule), memory_folder / f"{rule}, flipped")
    kinds = {re.sub(r"-\d{3}(-\w+)?", "", path.name) for path in files_of(root)}
    expected = {"pool.toml", "initial.json", "initial.safetensors", "branch.json", "parent.json"}
    deposited = "rollout.safetensors" if rule == "update" else "branch.safetensors"
    assert kinds >= expected | {deposited, "merge.json", "closing.json"}
    second_stage = {"candidate.safetensors", "update.safetensors"}
    assert bool(second_stage & kinds) == ("sources.json" in kinds)
    generator = random.Random(rule)
    flip(root, lambda size: iter(generator.sample(range(size), FLIPS)))


@pytest.mark.full
@every_rule
def test_a_flipped_bit_anywhere_is_found(
    sound: Callable[[str], Path], memory_folder: Path, rule: str
) -> None:
    root = shutil.copytree(sound(rule), memory_folder / f"{rule}, flipped everywhere")
    flip(root, lambda size: iter(range(3, size, 101)))
