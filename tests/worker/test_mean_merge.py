"""Pools whose champions are means of their branches."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from poolrl.agent import Agent
from poolrl.algorithms.averaging import mean_agent
from poolrl.config.merging import MergeSpec
from poolrl.config.run_options import RunOptions
from poolrl.config.schema import SelectionSpec
from poolrl.errors import Divergence, PoolrlError
from poolrl.monitoring.history import History
from poolrl.monitoring.verify import verify_files
from poolrl.pool.directory import Pool, make_pool, open_pool
from poolrl.pool.merge_rules import mean_weights, merge
from poolrl.pool.stop_criteria import StopCriteria
from poolrl.records.records import AgentRef, MergeRecord
from poolrl.records.work_units import Unit
from poolrl.report.plot import plot_bytes
from poolrl.worker.loop import Worker
from tests.conftest import TINY, as_options, tiny_spec
from tests.faults.checker import check, same_history
from tests.helpers.command_line import assert_refused, in_process, poolrl
from tests.helpers.deposits import deposit, first, sha256
from tests.helpers.memory_pool import Scene, patch_compute, patch_evaluate

SELECTION = {"selection__keep_parent": False}
MEAN = SELECTION | {"merge__rule": "mean"}
PPO = {
    "learner__name": "ppo",
    "learner__minibatch_size": 4,
    "learner__episodes_per_update": 2,
    "merge__momentum": 0.5,
    "merge__step": 1.5,
}


def work(root: Path, iterations: int = 3, keep: str = "champions", **keys: object) -> Pool:
    pool = make_pool(root, tiny_spec(**MEAN, **keys), RunOptions(iterations))
    Worker(pool, StopCriteria(iterations), run=RunOptions(iterations, keep=keep)).run()
    return pool


def merges(pool: Pool) -> list[MergeRecord]:
    deposits = pool.deposit_store()
    return [deposits.merge(number) for number in deposits.iterations()]


def agent(pool: Pool, path: str) -> Agent:
    return Agent.load(pool.layout.resolve(path))


# The rule


def merged(rule: MergeSpec, deposits: list[Any], mean: Any, **options: Any) -> MergeRecord:
    return merge(
        options.pop("previous", first()),
        deposits,
        iteration=1,
        branches=3,
        selection=SelectionSpec(**options),
        spec_sha256=sha256("spec"),
        rule=rule,
        mean=mean,
    )


def test_weights_are_equal_or_fall_with_the_rank() -> None:
    ranked = [deposit("branch", index, [score]) for index, score in ((2, 3.0), (0, 2.0), (1, 1.0))]
    uniform = mean_weights(ranked, MergeSpec(rule="mean"))
    assert uniform == {0: 1 / 3, 1: 1 / 3, 2: 1 / 3}
    assert list(uniform) == [0, 1, 2]
    rule = MergeSpec(rule="mean", weights="rank")
    assert mean_weights(ranked, rule) == {2: 1.0}  # ln 2 − ln 1, and then 0 and less
    assert mean_weights(ranked[:1], rule) == {2: 1.0}
    five = [deposit("branch", index, [-index]) for index in range(5)]
    raw = [math.log(3), math.log(3 / 2)]
    expected = {i: pytest.approx(w / sum(raw)) for i, w in enumerate(raw)}
    assert mean_weights(five, rule) == expected


def test_a_mean_that_is_not_finite_leaves_the_champion() -> None:
    deposits = [deposit("branch", i, [1.0]) for i in range(3)]
    record = merged(MergeSpec(rule="mean"), deposits, lambda weights: None)
    assert (record.rule, record.failed_iterations) == ("mean not finite", 1)
    assert record.champion.kind == "initial"


def test_only_branches_that_succeeded_are_in_the_mean() -> None:
    deposits = [deposit("branch", 0, [1.0]), deposit("branch", 1, None), deposit("branch", 2, [2])]
    unit, seen = Unit(1, "mean", 0), []

    def mean(weights: dict[int, float]) -> AgentRef:
        seen.append(weights)
        return AgentRef(unit.agent_path(sha256("mean")), sha256("mean"))

    record = merged(MergeSpec(rule="mean"), deposits[::-1], mean)
    assert (record.rule, record.champion.kind, record.champion.score) == ("mean", "mean", None)
    assert seen == [{0: 0.5, 2: 0.5}]
    failed = merged(MergeSpec(rule="mean"), deposits[1:2], mean)
    assert failed.rule == "no branch succeeded"
    rank = MergeSpec(rule="mean", weights="rank")
    kept = merged(rank, [*deposits, deposit("parent", 0, [9])], mean, keep_parent=True)
    assert kept.rule == "parent kept"


# Pools


def branches_of(pool: Pool, iteration: int) -> list[Agent]:
    """The agents of the branches that are done, in the order of their indices."""
    return [
        agent(pool, record.agent.path)
        for index in range(3)
        if (record := pool.deposit_store().record(Unit(iteration, "branch", index))) is not None
        and record.agent is not None
    ]


def test_a_champion_moves_by_the_mean_displacement(tmp_path: Path) -> None:
    pool = work(tmp_path / "pool", keep="all", **PPO)
    line = merges(pool)
    assert [m.rule for m in line] == ["initial", "mean", "mean", "mean"]
    for number in (1, 2, 3):
        branches = branches_of(pool, number)
        start = agent(pool, line[number - 1].champion.path)
        before = agent(pool, line[number - 2].champion.path) if number > 1 else None
        expected = mean_agent(start, branches, [1 / 3] * 3, step=1.5, before=before, momentum=0.5)
        assert pool.layout.resolve(line[number].champion.path).read_bytes() == expected.to_bytes()
        record = pool.deposit_store().record(Unit(number, "branch", 0))
        assert record is not None
        assert (record.status, record.evaluation) == ("done", None)
    moved = agent(pool, line[1].champion.path).arrays["actor.0.weight"]
    assert not np.array_equal(moved, agent(pool, line[0].champion.path).arrays["actor.0.weight"])
    assert line[2].parent_score is not None
    assert check(pool.layout.root, keep="all", iterations=3) == []
    assert verify_files(pool).discrepancies == []


@pytest.mark.parametrize("weights", ["uniform", "rank"])
def test_verify_computes_means_again_with_and_without_the_branches(
    tmp_path: Path, weights: str
) -> None:
    for keep in ("all", "champions"):
        pool = work(tmp_path / keep, keep=keep, merge__weights=weights, **PPO)
        done = in_process("verify", keep, "--all", cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
    assert len(list(pool.layout.iteration(1).folder.glob("*.safetensors"))) == 1
    assert same_history(tmp_path / "all", tmp_path / "champions") == []
    path = pool.layout.iteration(2).merge
    table = json.loads(path.read_text())
    other = merges(pool)[1].champion.sha256
    new = Unit(2, "mean", 0).agent_path(other)
    pool.layout.resolve(new).write_bytes(
        pool.layout.resolve(merges(pool)[1].champion.path).read_bytes()
    )
    table["champion"] |= {"path": new, "sha256": other}
    path.write_text(json.dumps(table))
    again = in_process("verify", "champions", "--iteration", "2", cwd=tmp_path)
    assert again.returncode == 4
    assert "iterations/000002/merge.json: champion.sha256: " in again.stdout


def test_any_number_of_workers_gives_the_same_champions(tmp_path: Path) -> None:
    work(tmp_path / "one", **PPO)
    keys = {key.replace("__", "."): value for key, value in (MEAN | PPO).items()}
    done = poolrl(
        *("run", "--pool-directory", "two", "--workers", "2", "--iterations", "3"),
        *as_options(TINY | keys),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert same_history(tmp_path / "one", tmp_path / "two") == []


def test_momentum_is_zero_after_a_fallback(tmp_path: Path) -> None:
    keys = {"learner__learning_rate": 3.0, "merge__fallback": 0, "merge__momentum": 0.9}
    pool = work(tmp_path / "pool", 8, "all", **keys)
    line = merges(pool)
    rules = [m.rule for m in line]
    assert "best-ever fallback" in rules
    number = next(
        i for i, rule in enumerate(rules) if rule == "mean" and rules[i - 1] != "mean" and i > 1
    )
    assert rules[number - 1] == "best-ever fallback"
    branches = branches_of(pool, number)
    start = agent(pool, line[number - 1].champion.path)
    expected = mean_agent(start, branches, [1 / 3] * 3)
    assert agent(pool, line[number].champion.path).to_bytes() == expected.to_bytes()
    best = max(
        (m.champion.sha256, line[i + 1].parent_score)
        for i, m in enumerate(line[:-1])
        if line[i + 1].parent_score == max(n.parent_score for n in line[1:] if n.parent_score)
    )
    assert line[-1].result.score is not None
    assert best[1] is not None
    assert line[-1].result.score >= min(line[0].champion.score or 0.0, best[1])
    assert check(pool.layout.root, keep="all", iterations=8) == []
    assert in_process("verify", "pool", "--all", cwd=tmp_path).returncode == 0


def test_means_that_are_not_finite_end_the_pool_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(*agents: object, **options: object) -> Agent:
        raise Divergence("the mean of actor.0.weight is not finite")

    monkeypatch.setattr("poolrl.worker.mean_merge.mean_agent", diverge)
    scene = Scene(tmp_path / "nowhere", **MEAN)
    with pytest.raises(PoolrlError, match=r"no branch succeeded in the last .*: mean not finite"):
        scene.work(99)
    last = scene.deposits.newest_merge()
    assert last is not None
    assert (last.rule, last.champion.kind) == ("mean not finite", "initial")


def test_a_damaged_branch_is_computed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An agent that is damaged before the merge reads it."""
    scene = Scene(tmp_path / "nowhere", **MEAN)
    undisturbed = Scene(tmp_path / "elsewhere", **MEAN)
    undisturbed.work(2)
    damaged = []

    def damage(unit: Unit) -> None:
        folder = scene.pool.layout.iteration(1).folder
        names = [n for n in scene.store.names_in(folder) if n.startswith("branch-001-")]
        if unit == Unit(1, "parent", 0) and names and not damaged:
            damaged.append(names[0])
            scene.store.remove_files(folder, names)

    patch_compute(monkeypatch, damage)
    last = scene.work(2)
    assert damaged
    assert last.champion.sha256 == undisturbed.deposits.merge(2).champion.sha256
    names = scene.store.names_in(scene.pool.layout.iteration(1).folder)
    assert any(name.startswith("branch-001.json.corrupt-") for name in names)


def test_what_is_merged_without_a_late_branch_counts_those_that_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(tmp_path / "nowhere", **MEAN)
    scene.holder(Unit(1, "branch", 2))
    monkeypatch.setattr(
        "poolrl.worker.stragglers.StragglerDetector.stragglers", lambda self, snapshot: []
    )
    last = scene.work(1, run=RunOptions(branch_timeout=5.0, min_deposits=2))
    assert (last.rule, last.timing_dependent) == ("mean", True)
    assert len(last.deposits) == 3


def test_reports_do_without_scores(tmp_path: Path) -> None:
    pool = work(tmp_path / "pool", merge__fallback=2)
    history = History(pool)
    history.refresh()
    assert history.table()["score"].notna().sum() == 1 + 3 + 1  # initial, parents, closing
    assert plot_bytes(history).startswith(b"\x89PNG")
    for command in (["history"], ["status"], ["verify", "--sample", "9"], ["evaluate"]):
        done = in_process(command[0], "pool", *command[1:], cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")


def test_divergence_of_the_parent_is_no_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patch_evaluate(monkeypatch, lambda unit: unit.kind == "parent")
    scene = Scene(tmp_path / "nowhere", **MEAN, merge__fallback=1)
    rules = {scene.work(n).rule for n in range(1, 5)}
    assert rules == {"mean", "best-ever fallback"}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["merge.rule=mean", "selection.keep_parent=true"], "selection.keep_parent: needs the"),
        (["merge.step=2"], "merge: step is an option of rule = mean"),
        (["merge.rule=mean", "merge.momentum=1"], "merge.momentum: expected float < 1.0, got 1"),
        (["merge.rule=mean", "merge.step=0"], "merge.step: expected float > 0.0, got 0"),
        (["merge.rule=mean", "merge.weights=x"], "merge.weights: unknown value 'x'; known: uni"),
    ],
)
def test_wrong_keys_are_refused_by_name(tmp_path: Path, keys: list[str], message: str) -> None:
    assert_refused(tmp_path, keys, message)


def test_it_goes_on_after_it_was_opened_again(tmp_path: Path) -> None:
    for iterations in (1, 3):
        pool = work(tmp_path / "again", iterations, **PPO)
    whole = work(tmp_path / "whole", **PPO)
    assert [m.champion for m in merges(open_pool(pool.layout.root))] == [
        m.champion for m in merges(whole)
    ]
