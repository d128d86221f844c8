"""The checker finds no violation in a sound pool, and each planted violation in a damaged one."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.faults.checker import check, examine, same_history
from tests.helpers.damage import ITERATIONS, PLANTS, agent_of, edit, finished, folder, loser


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished(tmp_path_factory.mktemp("sound") / "pool")


@pytest.fixture
def pool(sound: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return shutil.copytree(sound, tmp_path / "pool")


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_a_planted_violation_is_found_and_named(pool: Path, plant: Callable[[Path], str]) -> None:
    named = plant(pool)
    violations = check(pool, keep="all", iterations=ITERATIONS)
    assert any(named in violation for violation in violations), violations


def test_a_sound_pool_has_none(sound: Path) -> None:
    report = examine(sound, keep="all", iterations=ITERATIONS)
    assert (report.violations, report.strays, report.timing_dependent) == ([], [], [])
    assert len(report.champions) == ITERATIONS + 1
    assert check(sound, iterations=ITERATIONS + 1) != []


def test_losers_agents_may_go_by_the_rule_alone(pool: Path) -> None:
    agents = {number: agent_of(pool, loser(pool, number)) for number in (1, ITERATIONS)}
    agents[1].unlink()
    assert check(pool, keep="champions") == check(pool, keep="last:3") == []
    assert f"its agent is missing: {agents[1].name}" in check(pool, keep="all")[0]
    assert agents[1].name in check(pool, keep="last:4")[0]
    agents[ITERATIONS].unlink()
    assert agents[ITERATIONS].name in check(pool, keep="last:1")[0]
    assert check(pool) == []


def test_leftovers_of_killed_workers_are_no_violation(pool: Path) -> None:
    left = [f".tmp-{'0' * 32}", f"branch-000.json.corrupt-{'a' * 32}"]
    for name in [*left, "branch-001.lease", "branch-001.lease.break.12." + "0" * 32]:
        (folder(pool, 2) / name).write_bytes(b"")
    (pool / "workers").mkdir(exist_ok=True)
    (pool / "workers" / "one.json").write_text("{}")
    report = examine(pool, keep="all")
    assert report.violations == []
    assert sorted(report.strays) == [f"iterations/000002/{name}" for name in left]


def test_an_unfinished_iteration_is_sound(pool: Path) -> None:
    last = folder(pool, ITERATIONS)
    for name in ("merge.json", "closing-000.json", "branch-001.json"):
        (last / name).unlink()
    report = examine(pool, keep="all")
    assert report.violations == []
    assert [name.rpartition("/")[2][:10] for name in report.strays] == ["branch-001"]
    agent_of(pool, last / "branch-000.json").unlink()
    assert "its agent is missing" in check(pool)[0]


def test_histories_are_compared_but_for_times_and_hosts(pool: Path, sound: Path) -> None:
    def elsewhere(record: dict[str, Any]) -> None:
        record |= {"finished": 1.0, "seconds": {}}
        record["worker"]["host"] = "other"

    for path in (pool / "iterations").rglob("*.json"):
        edit(path, elsewhere)
    assert same_history(pool, sound) == []
    edit(folder(pool, 2) / "branch-001.json", lambda r: r["training"].update(mean_return=0.0))
    (folder(pool, 3) / "parent-000.json").unlink()
    differences = same_history(pool, sound)
    assert differences[0].startswith("iterations/000002/branch-001.json: training.mean_return: 0.0")
    assert all("000003/parent-000.json" in difference for difference in differences[1:])
    assert len(differences) > 1


def test_two_runs_of_one_pool_have_the_same_history(sound: Path, tmp_path: Path) -> None:
    assert same_history(sound, finished(tmp_path / "again")) == []
    assert same_history(sound, finished(tmp_path / "other", seed=1)) != []


def test_nothing_of_poolrl_is_imported(sound: Path) -> None:
    code = (
        "import sys; from tests.faults.checker import check\n"
        f"assert check({str(sound)!r}) == []\n"
        "sys.exit(any(name.split('.')[0] in ('poolrl', 'torch', 'mujoco', 'numpy', 'msgspec')"
        " for name in sys.modules))"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, check=False)
    assert done.returncode == 0
