"""Pools whose branches only sample experience, on all of which one update is made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from poolrl.agent import Agent
from poolrl.algorithms.shared_experience import update
from poolrl.config.learners import PPO
from poolrl.config.merging import MergeSpec
from poolrl.config.schema import SelectionSpec
from poolrl.monitoring.verify import verify_files
from poolrl.pool.directory import open_pool
from poolrl.pool.merge_rules import merge
from poolrl.records.records import Attempt, MergeRecord, UnitRecord
from poolrl.records.work_units import KindName, Unit
from poolrl.rollouts.rollout_file import from_bytes
from poolrl.seeding import Streams
from tests.conftest import TINY, as_options
from tests.faults.checker import same_history
from tests.helpers.command_line import assert_refused, poolrl
from tests.helpers.deposits import WORKER, deposit, first, sha256
from tests.helpers.every_network import keys_of
from tests.helpers.memory_pool import Scene, patch_compute
from tests.helpers.shared_experience import UPDATE, merges, record, work

# The rule


def shared(kind: KindName, index: int, *, done: bool = True) -> UnitRecord:
    """A deposit without a score: a branch's rollout, or the update."""
    made = deposit(kind, index, [0.0] if done else None)
    if not done:
        return made
    without = {"evaluation": None, "agent": None} if kind == "branch" else {"evaluation": None}
    rollout = {"rollout_sha256": sha256(f"rollout {index}")} if kind == "branch" else {}
    return replace(made, **without, **rollout)


def chosen(deposits: list[UnitRecord], **options: Any) -> MergeRecord:
    return merge(
        options.pop("previous", first()),
        deposits,
        iteration=1,
        branches=2,
        selection=SelectionSpec(),
        spec_sha256=sha256("spec"),
        rule=MergeSpec(rule="update", **options),
    )


def test_the_agent_of_the_update_is_the_champion() -> None:
    branches = [shared("branch", 0), shared("branch", 1)]
    parent = deposit("parent", 0, [3.0])
    merged = chosen([parent, *branches, shared("update", 0)])
    assert (merged.rule, merged.champion.kind, merged.champion.score) == ("update", "update", None)
    assert (merged.parent_score, merged.failed_iterations) == (3.0, 0)
    assert not merged.timing_dependent
    listed = {(d.kind, d.index): d.sha256 for d in merged.deposits}
    assert listed["branch", 1] == sha256("rollout 1")
    assert chosen([*branches, shared("update", 0)]).timing_dependent


def test_a_failed_update_leaves_the_champion() -> None:
    branches = [shared("branch", 0), shared("branch", 1, done=False)]
    parent = deposit("parent", 0, [3.0])
    merged = chosen([parent, *branches, shared("update", 0, done=False)])
    assert (merged.rule, merged.champion.kind) == ("update failed", "initial")
    assert (merged.failed_iterations, merged.timing_dependent) == (1, False)
    failed = [shared("branch", index, done=False) for index in range(2)]
    nothing = chosen([parent, *failed])
    assert (nothing.rule, nothing.failed_iterations) == ("no branch succeeded", 1)
    assert not nothing.timing_dependent


# Pools


@pytest.mark.parametrize("minibatches", [0, 3])
def test_a_champion_is_the_update_on_all_rollouts(tmp_path: Path, minibatches: int) -> None:
    pool = work(tmp_path / "pool", keep="all", merge__minibatches=minibatches)
    deposits, hp = pool.deposit_store(), pool.spec.learner
    assert isinstance(hp, PPO)
    line = merges(pool)
    assert [m.rule for m in line] == ["initial", "update", "update", "update"]
    for number in (1, 2, 3):
        start = Agent.load(pool.layout.resolve(line[number - 1].champion.path))
        branches = [record(pool, Unit(number, "branch", index)) for index in range(3)]
        rollouts = []
        for branch in branches:
            assert (branch.agent, branch.evaluation, branch.status) == (None, None, "done")
            assert branch.training is not None
            assert (branch.training.episodes, branch.training.updates) == (2, 0)
            assert branch.training.metrics["rollout/ep_len_mean"] == 4.0
            data = deposits.rollout(branch)
            assert data is not None
            rollouts.append(from_bytes(data, start))
        streams = Streams(pool.spec.pool.seed, Unit(number, "update", 0).training_key)
        expected = update(start, rollouts, hp, streams, minibatches=minibatches)
        assert pool.layout.resolve(line[number].champion.path).read_bytes() == (
            expected.agent.to_bytes()
        )
        made = record(pool, Unit(number, "update", 0))
        assert made.training is not None
        assert (made.training.episodes, made.training.environment_steps) == (6, 24)
        assert (made.training.updates, made.training.mean_return) == (
            1,
            pytest.approx(np.mean(expected.returns)),
        )
        assert expected.agent.metadata.environment_steps == 24 * number
        assert line[number].training_steps == 24 * number
        assert line[number].environment_steps == (24 + 12) * number + 12
        assert len(line[number].deposits) == 5
        assert not line[number].timing_dependent
    assert line[2].parent_score is not None
    assert verify_files(pool).discrepancies == []


def test_any_number_of_workers_gives_the_same_champions(tmp_path: Path) -> None:
    one = work(tmp_path / "one")
    keys = {key.replace("__", "."): value for key, value in UPDATE.items()}
    for workers in ("2", "3"):
        done = poolrl(
            *("run", "--pool-directory", workers, "--workers", workers, "--iterations", "3"),
            *as_options(TINY | keys),
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stderr
        assert same_history(tmp_path / "one", tmp_path / workers) == []
        other = merges(open_pool(tmp_path / workers))
        assert [m.champion for m in merges(one)] == [m.champion for m in other]


def test_it_goes_on_after_it_was_opened_again(tmp_path: Path) -> None:
    for iterations in (1, 3):
        pool = work(tmp_path / "again", iterations)
    whole = work(tmp_path / "whole")
    assert [m.champion for m in merges(pool)] == [m.champion for m in merges(whole)]


@pytest.mark.parametrize(
    ("distribution", "network", "learner"),
    [
        ("beta", "lstm", "ppo"),
        ("categorical", "mlp", "reinforce"),
        ("several choices", "mlp shared", "ppo"),
        ("gaussian, schedule σ", "user's with memory", "ppo"),
        ("beta", "user's", "reinforce"),
    ],
)
def test_every_kind_of_network_shares_experience(
    tmp_path: Path, distribution: str, network: str, learner: str
) -> None:
    keys = keys_of(distribution, network, learner)
    scene = Scene(tmp_path, **UPDATE | keys)
    assert scene.work(2).rule == "update"
    assert scene.record(Unit(2, "update", 0)).status == "done"


def test_segments_and_budgets_of_steps_are_one_update(tmp_path: Path) -> None:
    keys = {"pool__iterate_steps": 24, "learner__segment_steps": 3}
    scene = Scene(tmp_path, **UPDATE | keys)
    scene.work(1)
    made = scene.record(Unit(1, "update", 0)).training
    branch = scene.record(Unit(1, "branch", 0)).training
    assert made is not None
    assert branch is not None
    assert (made.updates, made.environment_steps) == (1, 3 * branch.environment_steps)
    assert branch.environment_steps == 24


def test_the_update_does_not_wait_for_the_parent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another worker evaluates the parent while this one makes the update."""
    scene = Scene(tmp_path / "nowhere", **UPDATE)
    claims = scene.holder(Unit(1, "parent", 0))
    done: list[Unit] = []

    def note(unit: Unit) -> None:
        done.append(unit)
        if unit.kind == "update":
            claims.release(scene.pool.layout.iteration(1).lease(Unit(1, "parent", 0)))

    patch_compute(monkeypatch, note)
    scene.work(1)
    stages = [unit.kind for unit in done if unit.iteration == 1]
    assert stages == ["branch", "branch", "branch", "update", "parent", "closing"]


def test_the_update_is_first_where_both_are_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parent was free all the time; who publishes the sources goes on with the update."""
    scene = Scene(tmp_path / "nowhere", **UPDATE)
    done: list[Unit] = []
    patch_compute(monkeypatch, done.append)
    # One unit a snapshot, so that the last branch is followed by a new one.
    monkeypatch.setattr(
        "poolrl.worker.iteration_snapshot.IterationSnapshot.is_stale", lambda self, now: True
    )
    scene.work(1)
    stages = [unit.kind for unit in done if unit.iteration == 1]
    assert stages == ["branch", "branch", "branch", "update", "parent", "closing"]


def test_the_best_ever_champion_comes_back(tmp_path: Path) -> None:
    pool = work(tmp_path / "pool", 8, merge__fallback=0, learner__learning_rate=3.0)
    line = merges(pool)
    rules = [m.rule for m in line]
    assert "best-ever fallback" in rules
    assert "update" in rules
    scores = [m.parent_score for m in line[1:] if m.parent_score is not None]
    assert line[-1].result.score is not None
    assert line[-1].result.score >= max([*scores, line[0].champion.score or 0.0]) - 1e-12
    assert verify_files(pool).discrepancies == []


@pytest.mark.parametrize(
    ("keys", "kind", "rule"),
    [
        (UPDATE, "update", "update failed"),
        ({"selection__keep_parent": False, "merge__candidates": [1, 2]}, "candidate", "best "),
    ],
)
def test_a_unit_of_the_second_stage_is_given_up_by_who_never_computed_one(
    tmp_path: Path, keys: dict[str, object], kind: KindName, rule: str
) -> None:
    scene = Scene(tmp_path / "nowhere", **keys)
    scene.work(0)
    scene.store.make_folder(scene.pool.layout.iteration(1).folder)
    for number in range(scene.pool.spec.pool.max_attempts):
        worker = replace(WORKER, id=f"{number:032x}")
        attempt = Attempt(
            iteration=1, kind=kind, index=0, reason="no memory", details="", worker=worker
        )
        scene.deposits.publish_attempt(attempt)
    merged = scene.work(1)
    given_up = scene.record(Unit(1, kind, 0))
    assert given_up.status == "abandoned"
    sources = scene.deposits.sources(1)
    assert sources is not None
    assert given_up.sources_sha256 == sources[1]
    assert merged.timing_dependent
    assert merged.rule.startswith(rule)
    names = scene.store.names_in(scene.pool.layout.iteration(1).folder)
    assert not [name for name in names if ".corrupt-" in name]


def test_schema_two_refuses_earlier_versions(tmp_path: Path) -> None:
    pool = work(tmp_path / "pool", 0)
    text = pool.layout.spec.read_text()
    assert "schema = 2" in text
    assert 'rule = "update"' in text


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            ["merge.rule=update", "learner.name=climb"],
            "merge.rule = update: makes one update on sampled experience, as ppo and reinforce do;",
        ),
        (
            ["merge.rule=update", "branches.learning_rate=[0.1,0.2]"],
            "branches.learning_rate: by merge.rule = update one update is made of all branches; "
            "set learner.learning_rate",
        ),
        (
            ["merge.rule=update", "branches.learning_rate={evolve=0.5}"],
            "branches.learning_rate: by merge.rule = update one update",
        ),
        (
            [
                "merge.rule=update",
                "learner.learning_rate=0.001",
                "learner.gae_lambda=0.9",
                "selection.keep_parent=true",
            ],
            "selection.keep_parent: needs the scores of branches, which merge.rule = update does",
        ),
        (["merge.rule=update", "merge.step=2"], "merge: step is an option of rule = mean"),
        (["merge.rule=update", "merge.candidates=[1]"], "merge: candidates are an option of rule"),
        (["merge.minibatches=4"], "merge: minibatches is an option of rule = update"),
        (["merge.rule=update", "merge.minibatches=-1"], "merge.minibatches: expected int >= 0"),
    ],
)
def test_wrong_keys_are_refused_by_name(tmp_path: Path, keys: list[str], message: str) -> None:
    assert_refused(tmp_path, keys, message)


def test_one_value_for_all_branches_is_that_of_the_update(tmp_path: Path) -> None:
    pool = work(tmp_path / "pool", 1, branches__learning_rate=[0.5, 0.5])
    for unit in (Unit(1, "branch", 1), Unit(1, "update", 0)):
        assert record(pool, unit).hyperparameters["learning_rate"] == 0.5
    table = json.loads(pool.layout.iteration(1).record(Unit(1, "update", 0)).read_text())
    assert table["training"]["metrics"]["train/learning_rate"] == 0.5
