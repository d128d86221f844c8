"""The checker itself: it finds nothing in a sound pool, and each of many planted violations."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from poolrl.config.schema import RunOptions
from poolrl.pool.directory import make_pool
from poolrl.pool.stop_criteria import Ending
from poolrl.worker.loop import Worker
from tests.conftest import tiny_spec
from tests.faults.checker import check, examine, same_history

ITERATIONS = 4


def finished(root: Path, seed: int = 0) -> Path:
    """A pool that ran undisturbed, losers' agents and all."""
    pool = make_pool(root, tiny_spec(pool__seed=seed), RunOptions(iterations=ITERATIONS))
    Worker(pool, Ending(ITERATIONS), run=RunOptions(keep="all")).run()
    return root


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished(tmp_path_factory.mktemp("sound") / "pool")


@pytest.fixture
def pool(sound: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return shutil.copytree(sound, tmp_path / "pool")


def folder(pool: Path, number: int) -> Path:
    return pool / "iterations" / f"{number:06d}"


def read(path: Path) -> dict[str, Any]:
    table: dict[str, Any] = json.loads(path.read_bytes())
    return table


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    table = read(path)
    change(table)
    path.write_text(json.dumps(table))


def winner(pool: Path, number: int) -> dict[str, Any]:
    """The champion of an iteration that a branch won."""
    champion: dict[str, Any] = read(folder(pool, number) / "merge.json")["champion"]
    assert (champion["iteration"], champion["kind"]) == (number, "branch")
    return champion


def loser(pool: Path, number: int) -> Path:
    """The record of a branch that did not win."""
    champion = read(folder(pool, number) / "merge.json")["champion"]
    records = sorted(folder(pool, number).glob("branch-???.json"))
    return next(r for r in records if read(r)["agent"]["sha256"] != champion["sha256"])


def agent_of(pool: Path, record: Path) -> Path:
    return pool / str(read(record)["agent"]["path"])


def relist(pool: Path, record: Path) -> None:
    """Let the merge list a record as it is now, as a worker would that did not check it."""
    own = read(record)

    def change(merge: dict[str, Any]) -> None:
        for entry in merge["deposits"]:
            if (entry["kind"], entry["index"]) == (own["kind"], own["index"]):
                done = own["status"] == "done"
                entry["status"] = own["status"]
                entry["score"] = own["evaluation"]["score"] if done else None
                entry["sha256"] = own["agent"]["sha256"] if own["agent"] else ""

    edit(record.parent / "merge.json", change)


# Plants: each spoils a pool, and says what the checker must call it and where


def torn_deposit(pool: Path) -> str:
    record = loser(pool, 2)
    record.write_bytes(record.read_bytes()[:300])
    return f"000002/{record.name}: is torn"


def torn_merge(pool: Path) -> str:
    merge = folder(pool, 2) / "merge.json"
    merge.write_bytes(b"")
    return "000002/merge.json: is torn"


def torn_agent(pool: Path) -> str:
    agent = agent_of(pool, loser(pool, 2))
    agent.write_bytes(agent.read_bytes()[:-1])
    return "its agent has another hash"


def two_merges_two_followers(pool: Path) -> str:
    # One worker read a merge that named another champion, and followed that one.
    other = read(loser(pool, 1))["agent"]["sha256"]
    edit(folder(pool, 2) / "branch-001.json", lambda r: r.update(parent_sha256=other))
    return "000002/branch-001.json: a follower that chose for itself"


def two_merges_one_replaced(pool: Path) -> str:
    # A second merge took the place of the one that all had followed.
    record = loser(pool, 1)
    own = read(record)
    champion = own["agent"] | {"score": own["evaluation"]["score"], "iteration": 1}
    champion |= {"kind": "branch", "index": own["index"]}
    edit(folder(pool, 1) / "merge.json", lambda merge: merge.update(champion=champion))
    return "000002/parent-000.json: a follower that chose for itself"


def two_merge_files(pool: Path) -> str:
    shutil.copy(folder(pool, 1) / "merge.json", folder(pool, 1) / "merge-2.json")
    return "000001/merge-2.json: is nothing that a pool has"


def champion_pruned(pool: Path) -> str:
    (pool / winner(pool, 1)["path"]).unlink()
    return "000001/merge.json: its champion is gone"


def champion_replaced(pool: Path) -> str:
    champion = pool / winner(pool, 1)["path"]
    champion.write_bytes(agent_of(pool, loser(pool, 1)).read_bytes())
    return "000001/merge.json: its champion has another hash"


def parent_of_another(pool: Path) -> str:
    # It evaluated the champion before last.
    old = read(folder(pool, 0) / "merge.json")["champion"]
    agent = {key: old[key] for key in ("path", "sha256")}
    edit(folder(pool, 2) / "parent-000.json", lambda record: record.update(agent=agent))
    return "000002/parent-000.json: its agent is not the champion"


def wrong_winner(pool: Path) -> str:
    record = loser(pool, ITERATIONS)
    own = read(record)

    def change(merge: dict[str, Any]) -> None:
        merge["champion"] |= own["agent"] | {"index": own["index"]}
        merge["champion"]["score"] = own["evaluation"]["score"]

    edit(record.parent / "merge.json", change)
    return "000004/merge.json: a wrong winner"


def tie_to_the_higher_index(pool: Path) -> str:
    first, second = (folder(pool, ITERATIONS) / f"branch-{index:03d}.json" for index in (0, 1))
    evaluation = read(folder(pool, ITERATIONS) / "parent-000.json")["evaluation"]
    evaluation = evaluation | {"returns": [9.0, 9.0, 9.0], "score": 9.0, "standard_error": 0.0}
    for record in (first, second):
        edit(record, lambda table: table.update(evaluation=evaluation))
        relist(pool, record)
    own = read(second)
    champion = own["agent"] | {"score": 9.0, "iteration": 4, "kind": "branch", "index": 1}
    edit(first.parent / "merge.json", lambda merge: merge.update(champion=champion))
    return "000004/merge.json: a wrong winner"


def score_is_not_the_mean(pool: Path) -> str:
    record = loser(pool, 3)
    edit(record, lambda table: table["evaluation"].update(score=99.0))
    relist(pool, record)
    return f"{record.name}: score 99.0 is not the mean"


def an_infinite_score(pool: Path) -> str:
    record = loser(pool, 3)
    record.write_text(record.read_text().replace('"score":', '"score":Infinity,"was":'))
    return f"{record.name}: is torn or no record: Infinity"


def missing_iteration(pool: Path) -> str:
    shutil.rmtree(folder(pool, 2))
    return "iterations/000002: a missing iteration"


def missing_merge(pool: Path) -> str:
    (folder(pool, 2) / "merge.json").unlink()
    return "000002/merge.json: is missing or unusable"


def failed_branch_wins(pool: Path) -> str:
    won = winner(pool, ITERATIONS)
    record = folder(pool, ITERATIONS) / f"branch-{won['index']:03d}.json"
    edit(record, lambda r: r.update(status="failed", reason="NaN", evaluation=None, agent=None))
    relist(pool, record)
    return "000004/merge.json: a wrong winner"


def record_of_another_pool(pool: Path) -> str:
    other = finished(pool.with_name("other"), seed=7)
    name = loser(pool, 2).name
    shutil.copy(folder(other, 2) / name, folder(pool, 2) / name)
    return f"000002/{name}: is a record of another pool"


def spec_changed(pool: Path) -> str:
    path = pool / "pool.toml"
    path.write_text(path.read_text().replace("evaluate_episodes = 3", "evaluate_episodes = 4"))
    return "000001/merge.json: is a merge of another pool"


def agent_of_another_hash(pool: Path) -> str:
    agent_of(pool, loser(pool, 2)).write_bytes(b"something else")
    return f"000002/{loser(pool, 2).name}: its agent has another hash"


def agent_outside(pool: Path) -> str:
    outside = pool.with_name("outside.safetensors")
    outside.write_bytes(b"x")
    reference = {"path": f"../{outside.name}", "sha256": hashlib.sha256(b"x").hexdigest()}
    edit(loser(pool, 2), lambda record: record.update(agent=reference))
    return f"{loser(pool, 2).name}: its agent's path is ../outside.safetensors"


def unmarked_incomplete_merge(pool: Path) -> str:
    record = loser(pool, ITERATIONS)
    index = read(record)["index"]
    record.unlink()

    def change(merge: dict[str, Any]) -> None:
        merge["deposits"] = [
            d for d in merge["deposits"] if (d["kind"], d["index"]) != ("branch", index)
        ]

    edit(record.parent / "merge.json", change)
    return "000004/merge.json: depends on timing and does not say timing_dependent"


def marked_without_a_reason(pool: Path) -> str:
    edit(folder(pool, 2) / "merge.json", lambda merge: merge.update(timing_dependent=True))
    return "000002/merge.json: says timing_dependent without a reason"


def abandoned_without_attempts(pool: Path) -> str:
    record = loser(pool, 3)
    gone = {"status": "abandoned", "reason": "3 attempts failed", "training": None}
    gone |= {"evaluation": None, "agent": None, "hyperparameters": {}}
    edit(record, lambda table: table.update(gone))
    return f"000003/{record.name}: abandoned after 0 attempts"


def deposit_not_listed(pool: Path) -> str:
    edit(folder(pool, 2) / "merge.json", lambda merge: merge["deposits"].pop(0))
    return "000002/merge.json: does not list branch-000, which is there"


def deposit_lost(pool: Path) -> str:
    record = loser(pool, 2)
    record.unlink()
    return f"000002/merge.json: lists {record.stem}, whose record is not there"


def deposit_replaced(pool: Path) -> str:
    # The second deposit of a unit took the place of the first.
    record = loser(pool, 2)

    def change(table: dict[str, Any]) -> None:
        table["evaluation"] |= {"returns": [0.5, 0.5, 0.5], "score": 0.5, "standard_error": 0.0}

    edit(record, change)
    return f"000002/merge.json: lists {record.stem} as"


def steps_do_not_add_up(pool: Path) -> str:
    edit(folder(pool, 3) / "merge.json", lambda merge: merge.update(environment_steps=1))
    return "000003/merge.json: a wrong environment_steps"


def difference_not_paired(pool: Path) -> str:
    edit(folder(pool, 3) / "merge.json", lambda merge: merge["to_parent"].update(mean=5.0))
    return "000003/merge.json: a wrong to_parent"


def patience_forgotten(pool: Path) -> str:
    edit(folder(pool, 3) / "merge.json", lambda merge: merge.update(parent_kept=2))
    return "000003/merge.json: a wrong parent_kept"


def another_learning_rate(pool: Path) -> str:
    edit(loser(pool, 2), lambda record: record["hyperparameters"].update(learning_rate=1.0))
    return "hyperparameters are not pool.toml's"


def closing_of_another(pool: Path) -> str:
    last = folder(pool, ITERATIONS)
    agent = read(loser(pool, ITERATIONS))["agent"]
    edit(last / "closing-000.json", lambda record: record.update(agent=agent))
    return "000004/closing-000.json: its agent is not the champion"


def a_branch_too_many(pool: Path) -> str:
    shutil.copy(folder(pool, 2) / "branch-002.json", folder(pool, 2) / "branch-003.json")
    return "000002/branch-003.json: is a unit that this iteration does not have"


def something_unknown(pool: Path) -> str:
    (folder(pool, 2) / "core.1234").write_bytes(b"")
    return "000002/core.1234: is nothing that a pool has"


def a_link_out(pool: Path) -> str:
    record = loser(pool, 2)
    shutil.move(record, pool.with_name("elsewhere.json"))
    record.symlink_to(pool.with_name("elsewhere.json"))
    return f"000002/{record.name}: is no plain file"


PLANTS = [
    torn_deposit,
    torn_merge,
    torn_agent,
    two_merges_two_followers,
    two_merges_one_replaced,
    two_merge_files,
    champion_pruned,
    champion_replaced,
    parent_of_another,
    wrong_winner,
    tie_to_the_higher_index,
    score_is_not_the_mean,
    an_infinite_score,
    missing_iteration,
    missing_merge,
    failed_branch_wins,
    record_of_another_pool,
    spec_changed,
    agent_of_another_hash,
    agent_outside,
    unmarked_incomplete_merge,
    marked_without_a_reason,
    abandoned_without_attempts,
    deposit_not_listed,
    deposit_lost,
    deposit_replaced,
    steps_do_not_add_up,
    difference_not_paired,
    patience_forgotten,
    another_learning_rate,
    closing_of_another,
    a_branch_too_many,
    something_unknown,
    a_link_out,
]


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


def test_what_the_killed_leave_behind_is_no_violation(pool: Path) -> None:
    left = [f".tmp-{'0' * 32}", f"branch-000.json.corrupt-{'a' * 32}"]
    for name in [*left, "branch-001.lease", "branch-001.lease.break.12." + "0" * 32]:
        (folder(pool, 2) / name).write_bytes(b"")
    (pool / "workers").mkdir()
    (pool / "workers" / "one.json").write_text("{}")
    report = examine(pool, keep="all")
    assert report.violations == []
    assert sorted(report.strays) == [f"iterations/000002/{name}" for name in left]


def test_an_iteration_that_is_going_on_is_sound(pool: Path) -> None:
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
    place = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=place, check=False)
    assert done.returncode == 0
