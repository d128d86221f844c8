"""Iterations of two stages: candidates that are made of branches."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path

import pytest
from msgspec.structs import replace

from poolrl.agent import Agent
from poolrl.algorithms.averaging import mean_agent
from poolrl.config.merging import MergeSpec
from poolrl.config.run_options import RunOptions
from poolrl.config.schema import SelectionSpec
from poolrl.errors import Divergence
from poolrl.monitoring.history import History
from poolrl.monitoring.pool_status import StatusReader
from poolrl.monitoring.verify import verify_files
from poolrl.pool.directory import Pool, make_pool
from poolrl.pool.merge_rules import merge
from poolrl.pool.stop_criteria import StopCriteria
from poolrl.records.records import MergeRecord, UnitRecord
from poolrl.records.work_units import Unit, units_of
from poolrl.report.plot import plot_bytes
from poolrl.worker.loop import Worker
from poolrl.worker.open_iteration import OpenIteration
from tests.conftest import tiny_spec
from tests.faults.checker import check
from tests.helpers.command_line import in_process, poolrl
from tests.helpers.deposits import deposit, first, sha256
from tests.helpers.memory_pool import Scene, patch_compute, patch_evaluate, with_a_late_branch

CANDIDATES = {"selection__keep_parent": False, "merge__candidates": [1, 2, 4]}
PPO = {
    "learner__name": "ppo",
    "learner__minibatch_size": 4,
    "learner__episodes_per_update": 2,
}
STEMS = [f"candidate-{index:03d}" for index in range(3)]


def work(root: Path, iterations: int = 3, keep: str = "champions", **keys: object) -> Pool:
    pool = make_pool(root, tiny_spec(**CANDIDATES, **keys), RunOptions(iterations))
    Worker(pool, StopCriteria(iterations), run=RunOptions(iterations, keep=keep)).run()
    return pool


def record(pool: Pool, unit: Unit) -> UnitRecord:
    found = pool.deposit_store().record(unit)
    assert found is not None
    return found


def read(pool: Pool, unit: Unit) -> Agent:
    reference = record(pool, unit).agent
    assert reference is not None
    return Agent.load(pool.layout.resolve(reference.path))


def candidate(index: int, score: float | None) -> UnitRecord:
    return deposit("candidate", index, None if score is None else [score])


def chosen(deposits: list[UnitRecord], *, keep: bool = False) -> MergeRecord:
    return merge(
        first(),
        deposits,
        iteration=1,
        branches=2,
        selection=SelectionSpec(keep_parent=keep),
        spec_sha256=sha256("spec"),
        rule=MergeSpec(candidates=(1.0, 2.0)),
    )


def test_ties_go_to_branch_candidate_parent_and_the_lowest_index() -> None:
    branches = [deposit("branch", 0, [1.0]), deposit("branch", 1, [2.0])]
    parent = deposit("parent", 0, [3.0])
    record = chosen([candidate(0, 3.0), candidate(1, 3.0), *branches, parent], keep=True)
    assert (record.rule, record.champion.kind) == ("best candidate", "candidate")
    assert record.champion.index == 0
    tied = chosen([candidate(0, 2.0), candidate(1, 1.0), *branches, parent])
    assert (tied.rule, tied.champion.kind, tied.champion.index) == ("best branch", "branch", 1)
    assert chosen([candidate(0, None), candidate(1, 2.9), *branches, parent], keep=True).rule == (
        "parent kept"
    )


def test_a_merge_waits_for_candidates_of_two_branches() -> None:
    branches = [deposit("branch", 0, [1.0]), deposit("branch", 1, [2.0])]
    parent = deposit("parent", 0, [3.0])
    whole = [candidate(0, 1.0), candidate(1, None), *branches, parent]
    assert not chosen(whole).timing_dependent
    assert chosen(whole[1:]).timing_dependent
    failed = [branches[0], deposit("branch", 1, None), parent]
    assert not chosen(failed).timing_dependent


@pytest.mark.parametrize("learner", [{}, PPO], ids=["climb", "ppo"])
def test_candidates_are_longer_means_and_compete(
    tmp_path: Path, learner: dict[str, object]
) -> None:
    pool = work(tmp_path / "pool", keep="all", **learner)
    deposits = pool.deposit_store()
    for number in (1, 2, 3):
        start = deposits.merge(number - 1).champion
        branches = [read(pool, Unit(number, "branch", index)) for index in range(3)]
        origin = Agent.load(pool.layout.resolve(start.path))
        for index, step in enumerate((1.0, 2.0, 4.0)):
            unit = Unit(number, "candidate", index)
            expected = mean_agent(origin, branches, [1 / 3] * 3, step=step)
            assert read(pool, unit).to_bytes() == expected.to_bytes()
            assert record(pool, unit).parent_sha256 == start.sha256
        merged = deposits.merge(number)
        assert len(merged.deposits) == 7
        best = max(d.score for d in merged.deposits if d.kind != "parent" and d.score is not None)
        assert merged.champion.score == best
        assert not merged.timing_dependent
        sources = pool.layout.iteration(number).sources.read_bytes()
        sha = record(pool, Unit(number, "candidate", 0)).sources_sha256
        assert sha == hashlib.sha256(sources).hexdigest()
    assert check(pool.layout.root, keep="all", iterations=3) == []
    assert verify_files(pool).discrepancies == []
    assert in_process("verify", "pool", "--all", cwd=tmp_path).returncode == 0


def test_verify_makes_them_again_after_the_branches_were_removed(tmp_path: Path) -> None:
    pool = work(tmp_path / "pool", **PPO)
    assert len(list(pool.layout.iteration(1).folder.glob("*.safetensors"))) == 1
    for options in (["--all"], ["--iteration", "2"], ["--sample", "9"]):
        done = in_process("verify", "pool", *options, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
    path = pool.layout.iteration(2).record(Unit(2, "candidate", 1))
    table = json.loads(path.read_text())
    table["evaluation"]["lengths"] = [3] * 3
    path.write_text(json.dumps(table))
    done = in_process("verify", "pool", "--iteration", "2", cwd=tmp_path)
    assert done.returncode == 4
    assert "iterations/000002/candidate-001.json: evaluation.lengths" in done.stdout


def test_there_is_none_below_two_branches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    patch_evaluate(monkeypatch, lambda unit: unit.kind == "branch" and unit.index > 0)
    pool = work(tmp_path / "pool", 1)
    folder = pool.layout.iteration(1).folder
    assert not list(folder.glob("candidate-*"))
    assert not pool.deposit_store().merge(1).timing_dependent
    assert check(pool.layout.root, iterations=1) == []
    assert verify_files(pool).discrepancies == []


def test_one_that_is_not_finite_has_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = mean_agent

    def mean(*given: object, step: float) -> Agent:
        if step == 4.0:
            raise Divergence("the mean of actor.0.weight is not finite")
        return real(*given, step=step)  # type: ignore[arg-type]

    monkeypatch.setattr("poolrl.worker.unit_computation.mean_agent", mean)
    pool = work(tmp_path / "pool", 1)
    failed = record(pool, Unit(1, "candidate", 2))
    assert (failed.status, failed.reason) == (
        "failed",
        "the mean of actor.0.weight is not finite",
    )
    assert check(pool.layout.root, iterations=1) == []


# Timeouts, damage, other workers


def test_what_is_late_is_no_part_of_candidates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = with_a_late_branch(tmp_path, monkeypatch, **CANDIDATES)
    last = scene.work(1, run=RunOptions(branch_timeout=5.0, min_deposits=2))
    assert last.timing_dependent
    assert [(d.kind, d.index) for d in last.deposits] == [
        ("branch", 0),
        ("branch", 1),
        *(("candidate", index) for index in range(3)),
        ("parent", 0),
    ]
    sources = scene.deposits.sources(1)
    assert sources is not None
    assert sources[0].done == [0, 1]
    assert verify_files(scene.pool).discrepancies == []


def test_sources_decide_though_a_branch_came_after_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A branch is deposited between the sources and the merge: nobody uses it."""
    scene = with_a_late_branch(tmp_path, monkeypatch, **CANDIDATES)
    other = Scene(tmp_path / "nowhere", **CANDIDATES)
    other.work(1)

    def arrive(unit: Unit) -> None:
        if unit.kind == "candidate":
            late = other.deposits.record(Unit(1, "branch", 2))
            assert late is not None
            if scene.deposits.record(late.unit) is None:
                scene.deposits.publish_record(late)

    patch_compute(monkeypatch, arrive)
    last = scene.work(1, run=RunOptions(branch_timeout=5.0, min_deposits=2))
    assert scene.deposits.record(Unit(1, "branch", 2)) is not None
    assert len(last.deposits) == 6
    assert verify_files(scene.pool).discrepancies == []


def test_a_damaged_branch_is_computed_again_in_the_second_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene, undisturbed = (Scene(tmp_path / name, **CANDIDATES) for name in ("one", "two"))
    undisturbed.work(2)
    removed = []
    real = scene.deposits.publish_sources.__func__  # type: ignore[attr-defined]

    def publish(self: object, sources: object) -> None:
        real(self, sources)
        folder = scene.pool.layout.iteration(1).folder
        names = [n for n in scene.store.names_in(folder) if n.startswith("branch-001-")]
        if not removed:
            removed.extend(names)
            scene.store.remove_files(folder, names)

    monkeypatch.setattr("poolrl.storage.deposits.DepositStore.publish_sources", publish)
    last = scene.work(2)
    assert removed
    assert last.champion.sha256 == undisturbed.deposits.merge(2).champion.sha256
    assert verify_files(scene.pool).discrepancies == []


def test_sources_that_are_torn_or_differ_are_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    scene, undisturbed = (Scene(tmp_path / name, **CANDIDATES) for name in ("one", "two"))
    undisturbed.work(2)
    whole = undisturbed.store.read(undisturbed.pool.layout.iteration(1).sources)
    table = json.loads(whole)
    table["deposits"][1]["sha256"] = sha256("another agent")
    other = json.dumps(table, separators=(",", ":")).encode() + b"\n"
    scene.work(0)
    folder = scene.pool.layout.iteration(1)
    scene.store.make_folder(folder.folder)
    scene.store.publish(folder.sources, other)
    scene.store.make_folder(scene.pool.layout.iteration(2).folder)
    scene.store.publish(scene.pool.layout.iteration(2).sources, whole[:50])
    last = scene.work(2)
    assert "branch-001 is not what it lists" in caplog.text
    assert last.champion.sha256 == undisturbed.deposits.merge(2).champion.sha256
    assert verify_files(scene.pool).discrepancies == []


def test_sources_that_others_have_replaced_are_read_again(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "nowhere", **CANDIDATES)
    scene.work(1)
    layout = scene.pool.layout.iteration(1)
    scene.store.remove_files(layout.folder, [layout.merge.name])
    previous, units = scene.deposits.merge(0), units_of(1, 3)
    iteration = OpenIteration(scene.pool, RunOptions(), 1, units, previous, scene.clock)
    assert iteration.take_snapshot().complete
    assert len(iteration.units) == 7
    assert not iteration.sources_changed()
    assert iteration.sources is not None
    fewer = replace(iteration.sources[0], deposits=iteration.sources[0].deposits[1:])
    scene.store.remove_files(layout.folder, [layout.sources.name])
    scene.deposits.publish_sources(fewer)
    assert iteration.sources_changed()
    assert iteration.sources[0] == fewer
    assert Unit(1, "branch", 0) not in iteration.units


def test_a_candidate_of_other_branches_is_made_again(tmp_path: Path) -> None:
    scene, undisturbed = (Scene(tmp_path / name, **CANDIDATES) for name in ("one", "two"))
    undisturbed.work(1)
    unit = Unit(1, "candidate", 1)
    strange = replace(undisturbed.record(unit), sources_sha256=sha256("others"))
    scene.work(0)
    scene.store.make_folder(scene.pool.layout.iteration(1).folder)
    scene.deposits.publish_record(strange)
    last = scene.work(1)
    assert last.champion.sha256 == undisturbed.deposits.merge(1).champion.sha256
    assert scene.record(unit).sources_sha256 == undisturbed.record(unit).sources_sha256


def test_prune_keeps_the_sources(tmp_path: Path) -> None:
    pool = work(tmp_path / "pool", keep="all")
    done = in_process("prune", "pool", "--keep", "champions", cwd=tmp_path)
    assert done.returncode == 0
    assert check(pool.layout.root, iterations=3) == []
    assert pool.layout.iteration(1).sources.exists()


# Reports


def test_reports_show_candidates(tmp_path: Path) -> None:
    pool = work(tmp_path / "pool")
    history = History(pool)
    history.refresh()
    table = history.table()
    assert (table["kind"] == "candidate").sum() == 9
    assert table["champion"].sum() >= 4
    assert plot_bytes(history).startswith(b"\x89PNG")
    longest: dict[tuple[int, bool], float] = {}
    for unit in history.units:
        if unit.kind != "closing":
            seconds = sum(s.cpu for phase, s in unit.seconds.items() if phase != "waiting")
            stage = unit.iteration, unit.kind == "candidate"
            longest[stage] = max(longest.get(stage, 0.0), seconds)
    assert len(longest) == 1 + 2 * 3
    assert history.seconds_with_one_core_per_branch() == pytest.approx(sum(longest.values()))
    for name in ("merge.json", "candidate-001.json"):
        (pool.layout.iteration(3).folder / name).unlink()
    (pool.layout.iteration(3).folder / "closing-000.json").unlink()
    units = [unit.unit for unit in StatusReader(pool).read().units]
    assert units[-3:] == STEMS
    assert StatusReader(pool).read().units[-2].state == "free"
    pool.layout.iteration(3).sources.unlink()
    assert [u.unit for u in StatusReader(pool).read().units if u.unit in STEMS] == []


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["merge.candidates=[1,1]"], "merge: candidates: each factor once"),
        (["merge.candidates=[0]"], "merge.candidates[0]: expected float > 0.0, got 0"),
        (["merge.rule=mean", "merge.candidates=[1]"], "merge: candidates are an option of rule"),
    ],
)
def test_wrong_keys_are_refused_by_name(tmp_path: Path, keys: list[str], message: str) -> None:
    options = [word for key in keys for word in ("--set", key)]
    done = in_process("run", "--pool-directory", "pool", *options, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert not (tmp_path / "pool").exists()


USERS = """
import torch
from torch import nn

class Counting(nn.Module):
    def __init__(self, observation_size, num_parameters):
        super().__init__()
        self.actor = nn.Linear(observation_size, num_parameters)
        self.critic = nn.Linear(observation_size, 1)
        self.register_buffer("calls", torch.tensor(3))

    def forward(self, observation):
        return self.actor(observation), self.critic(observation).squeeze(-1)
"""


@pytest.mark.torch
@pytest.mark.parametrize("key", ["merge.candidates=[1,2]", "merge.rule=mean"])
def test_a_network_with_arrays_that_have_no_mean_is_refused(tmp_path: Path, key: str) -> None:
    (tmp_path / "net.py").write_text(USERS)
    done = poolrl(
        *("run", "--pool-directory", "pool", "--network", "net.py:Counting", "--set", key),
        *("--set", "learner.normalize_values=false", "--task", "InvertedPendulum-v5"),
        cwd=tmp_path,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "tensor constant/calls is int64, which has no mean" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "pool").exists()
