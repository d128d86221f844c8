"""Pools that an earlier version made: checked, shown, continued, and their agents used.

Each works on a copy, whose file times are set. Bits are compared on the machine that is recorded,
elsewhere numbers to a tolerance.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from tests.frozen.command import champions, fill, merges, poolrl, succeed
from tests.frozen.machine import is_recorded
from tests.frozen.pool import POOLS, answers, history, status, touch

NAMES = sorted(path.parent.name for path in POOLS.glob("*/frozen.json"))

SCORE_TOLERANCE = 1e-4
"""Relative, of a score on another machine."""

ACTION_TOLERANCE = 1e-5
"""Of an action on another machine."""


class Frozen(NamedTuple):
    """A copy of an asset.

    Attributes:
        asset: its folder, with the configuration file.
        pool: the copy of the pool.
        expected: what ``frozen.json`` holds.
        exact: whether this machine is the one that made it.
    """

    asset: Path
    pool: Path
    expected: dict[str, Any]
    exact: bool

    @property
    def command(self) -> list[str]:
        """The command that made the pool, for the copy."""
        agent, config = self.asset / "agent.safetensors", self.asset / self.expected["config"]
        return fill(self.expected["command"], pool=self.pool, config=config, agent=agent)

    def run(self, *more: str) -> str:
        """Run that command, with more arguments behind it; its standard output."""
        return succeed(*self.command, *more, cwd=self.pool.parent)

    def check_champions(self, last: int) -> None:
        """See that the champions up to an iteration, the last one, are those that are recorded."""
        found = champions(self.pool)
        expected = {number: self.expected["champions"][str(number)] for number in range(last + 1)}
        assert list(found) == [str(number) for number in expected]
        for number, champion in expected.items():
            if self.exact:
                assert found[str(number)] == champion, f"iteration {number}"
            else:
                score = pytest.approx(champion["score"], rel=SCORE_TOLERANCE, abs=SCORE_TOLERANCE)
                assert found[str(number)]["score"] == score, f"iteration {number}"


@pytest.fixture(params=NAMES)
def frozen(request: pytest.FixtureRequest, tmp_path: Path) -> Frozen:
    asset = POOLS / request.param
    expected = json.loads((asset / "frozen.json").read_text())
    pool = tmp_path / "pool"
    shutil.copytree(asset / "pool", pool)
    touch(pool)
    return Frozen(asset, pool, expected, is_recorded(expected["machine"]))


def test_all_assets_are_there() -> None:
    assert NAMES == ["from_agent", "gymnasium", "reinforce", "swimmer"]


def test_a_pool_verifies(frozen: Frozen) -> None:
    before = contents(frozen.pool)
    which = ["--all"] if frozen.exact else ["--sample", "0"]
    said = succeed("verify", *which, frozen.pool, cwd=frozen.pool.parent)
    kinds = ("initial", "branch", "parent", "closing")
    records = [path for kind in kinds for path in records_of(frozen, kind)]
    computed = len(records) if frozen.exact else 0
    assert f"{len(merges(frozen.pool))} merges and {len(records)} records checked" in said
    assert f"{computed} units computed again" in said
    if set_aside := list(frozen.pool.glob("iterations/*/*.corrupt-*")):
        assert f"set aside as damaged: {len(set_aside)} file" in said
    assert contents(frozen.pool) == before


def test_the_status_is_as_it_was(frozen: Frozen) -> None:
    expected = frozen.expected["status"]
    actual = status(frozen.pool)
    # Later versions may add keys inside of these tables.
    assert only_keys_of(expected, actual) == expected
    said = succeed("status", frozen.pool, cwd=frozen.pool.parent)
    shown = [
        *(expected["task"], f"{expected['branches']} branches", f"seed {expected['seed']}"),
        *(expected["state"], f"iteration {expected['iteration']} of {expected['iterations']}"),
        f"champion of iteration {expected['champion']['iteration']}: score "
        f"{expected['champion']['score']:.2f}",
        *(f"{count} {state}" for state, count in expected["counts"].items()),
        *(unit["unit"] for unit in expected["units"]),
        *(attempt["reason"] for attempt in expected["attempts"]),
    ]
    if expected["set_aside"]:
        files = "file was" if expected["set_aside"] == 1 else "files were"
        shown.append(f"{expected['set_aside']} damaged {files} set aside")
    if expected["result"] is not None:
        shown.append(f"mean return {expected['result']['evaluation']['score']:.2f}")
    for text in shown:
        assert text in said


def test_the_history_is_as_it_was(frozen: Frozen) -> None:
    expected = list(csv.DictReader(io.StringIO((frozen.asset / "history.csv").read_text())))
    actual = list(csv.DictReader(io.StringIO(history(frozen.pool))))
    assert [only_keys_of(expected[0], row) for row in actual] == expected


def test_a_pool_is_continued_by_its_own_command(frozen: Frozen) -> None:
    expected, before = frozen.expected, merges(frozen.pool)
    files = contents(frozen.pool / "iterations")
    said = frozen.run()
    frozen.check_champions(expected["status"]["iterations"])
    assert f"ended after iteration {expected['status']['iterations']}" in said
    after = merges(frozen.pool)
    assert {number: after[number] for number in before} == before
    for name in ("logs", "history.csv", "history.png"):
        assert (frozen.pool / name).exists()
    if expected["status"]["state"] == "finished":
        assert contents(frozen.pool / "iterations") == files
    if expected["extension"]:
        frozen.run(*expected["extension"])
        frozen.check_champions(max(map(int, expected["champions"])))
    assert not list(frozen.pool.glob("iterations/*/*.lease"))
    succeed("verify", "--sample", "0", frozen.pool, cwd=frozen.pool.parent)


@pytest.mark.parametrize("frozen", ["from_agent"], indirect=True)
def test_another_specification_is_refused(frozen: Frozen) -> None:
    before = contents(frozen.pool)
    said = poolrl(*frozen.command, "--seed", "99", cwd=frozen.pool.parent)
    assert said.returncode == 4, said.stderr
    assert "pool.seed" in said.stderr
    assert contents(frozen.pool) == before


def test_agents_act_as_they_did(frozen: Frozen) -> None:
    assert frozen.expected["agents"]
    for path, expected in frozen.expected["agents"].items():
        actual = answers(frozen.pool / path, expected["observations"])
        if frozen.exact:
            assert actual == expected, path
            continue
        for kind, actions in expected.items():
            np.testing.assert_allclose(
                actual[kind], actions, rtol=0, atol=ACTION_TOLERANCE, err_msg=f"{path} {kind}"
            )


def records_of(frozen: Frozen, kind: str) -> list[Path]:
    """The records of a kind of unit."""
    return list(frozen.pool.glob(f"iterations/*/{kind}-[0-9][0-9][0-9].json"))


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, by its path in it."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def only_keys_of(expected: Any, actual: Any) -> Any:
    """The second value without keys that the first one lacks."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        both = [key for key in actual if key in expected]
        return {key: only_keys_of(expected[key], actual[key]) for key in both}
    if isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        return [only_keys_of(*pair) for pair in zip(expected, actual, strict=True)]
    return actual
