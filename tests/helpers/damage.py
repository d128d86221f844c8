"""Damage the files of a pool.

Each function in PLANTS plants one violation in a pool of `finished`, and returns a part of the
message with which the checker (`tests.faults.checker`) reports it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from poolrl.config.run_options import RunOptions
from poolrl.pool.directory import make_pool
from poolrl.pool.stop_criteria import StopCriteria
from poolrl.worker.loop import Worker
from tests.conftest import tiny_spec

ITERATIONS = 4


def finished(root: Path, seed: int = 0) -> Path:
    """Make a pool, run it to its end, and keep the losers' agents."""
    pool = make_pool(root, tiny_spec(pool__seed=seed), RunOptions(iterations=ITERATIONS))
    Worker(pool, StopCriteria(ITERATIONS), run=RunOptions(keep="all")).run()
    return root


def folder(pool: Path, number: int) -> Path:
    """The folder of an iteration."""
    return pool / "iterations" / f"{number:06d}"


def read(path: Path) -> dict[str, Any]:
    """The table in a JSON file."""
    table: dict[str, Any] = json.loads(path.read_bytes())
    return table


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the table in a JSON file."""
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
    """The agent file that a record names."""
    return pool / str(read(record)["agent"]["path"])


def relist(pool: Path, record: Path) -> None:
    """List a record in its merge as it is now, as a worker without checks would."""
    own = read(record)

    def change(merge: dict[str, Any]) -> None:
        for entry in merge["deposits"]:
            if (entry["kind"], entry["index"]) == (own["kind"], own["index"]):
                done = own["status"] == "done"
                entry["status"] = own["status"]
                entry["score"] = own["evaluation"]["score"] if done else None
                entry["sha256"] = own["agent"]["sha256"] if own["agent"] else ""

    edit(record.parent / "merge.json", change)


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
    # One worker read a merge with another champion, and started from that one.
    other = read(loser(pool, 1))["agent"]["sha256"]
    edit(folder(pool, 2) / "branch-001.json", lambda r: r.update(parent_sha256=other))
    return "000002/branch-001.json: a follower that chose for itself"


def two_merges_one_replaced(pool: Path) -> str:
    # A second merge replaced the one from which all had started.
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
    # The second deposit of a unit replaced the first.
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
