"""Shared experience where something fails: NaN, updates that diverge, damaged rollouts."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from poolrl.agent import Agent
from poolrl.algorithms.shared_experience import update
from poolrl.config.learners import PPO
from poolrl.config.run_options import RunOptions
from poolrl.errors import Divergence, IncompatiblePool, PoolrlError
from poolrl.monitoring.verify import verify_files
from poolrl.records.records import MergeRecord, SourcesRecord
from poolrl.records.work_units import Unit
from poolrl.rollouts.rollout import Rollout
from poolrl.rollouts.rollout_file import from_bytes
from poolrl.seeding import Streams
from poolrl.storage.deposits import DepositStore
from poolrl.worker import unit_computation
from poolrl.worker.sources import SourceReader
from tests.faults.checker import check
from tests.helpers.deposits import sha256
from tests.helpers.memory_pool import Scene, patch_compute, patch_evaluate
from tests.helpers.shared_experience import MADE, UPDATE, champions, merges, record, scenes, work

# Divergence


@pytest.mark.parametrize("planted", [{0}, {0, 1}, {0, 1, 2}])
@pytest.mark.parametrize("array", ["reward", "log_prob", "sample"])
def test_parts_that_turn_nan_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, array: str, planted: set[int]
) -> None:
    """One, most and all branches of the second iteration have NaN in their rollouts."""
    real = unit_computation.play

    def plant(agent: Agent, *given: Any) -> Rollout:
        rollout = real(agent, *given)
        iteration, _, index = given[-1].key
        if iteration == 2 and index in planted:
            getattr(rollout, array)[0, 0] = np.nan
        return rollout

    monkeypatch.setattr(unit_computation, "play", plant)
    pool = work(tmp_path / "pool", keep="all")
    for index in planted:
        failed = record(pool, Unit(2, "branch", index))
        assert (failed.status, failed.agent) == ("failed", None)
        assert failed.reason == f"{array} is not finite in training"
    line = merges(pool)
    others = [record(pool, Unit(2, "branch", i)) for i in range(3) if i not in planted]
    if not others:
        assert line[2].rule == "no branch succeeded"
        assert line[2].champion.sha256 == line[1].champion.sha256
        assert not list(pool.layout.iteration(2).folder.glob("update-*"))
    else:
        start = Agent.load(pool.layout.resolve(line[1].champion.path))
        content = [pool.deposit_store().rollout(each) for each in others]
        rollouts = [from_bytes(data, start) for data in content if data is not None]
        assert len(rollouts) == len(others)
        hp, streams = pool.spec.learner, Streams(0, Unit(2, "update", 0).training_key)
        assert isinstance(hp, PPO)
        expected = update(start, rollouts, hp, streams).agent.to_bytes()
        assert pool.layout.resolve(line[2].champion.path).read_bytes() == expected
    assert line[3].rule == "update"
    assert not line[2].timing_dependent
    assert check(pool.layout.root, keep="all", iterations=3) == []
    assert verify_files(pool).discrepancies == []


def test_an_update_that_diverges_leaves_the_champion_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = unit_computation.update

    def diverge(agent: Agent, *given: Any, **options: Any) -> Any:
        trained = real(agent, *given, **options)
        if given[-1].key[0] == 2:
            return trained._replace(metrics=trained.metrics | {"train/value_loss": np.inf})
        return trained

    monkeypatch.setattr(unit_computation, "update", diverge)
    pool = work(tmp_path / "pool", keep="all")
    line = merges(pool)
    assert [m.rule for m in line] == ["initial", "update", "update failed", "update"]
    assert [m.failed_iterations for m in line] == [0, 0, 1, 0]
    assert line[2].champion.sha256 == line[1].champion.sha256
    assert line[2].training_steps == 2 * line[1].training_steps
    assert record(pool, Unit(2, "update", 0)).reason == "train/value_loss is not finite"
    assert check(pool.layout.root, keep="all", iterations=3) == []
    assert verify_files(pool).discrepancies == []


def test_updates_that_always_diverge_end_the_pool_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(*given: object, **options: object) -> object:
        raise Divergence("training made actor.0.weight not finite")

    monkeypatch.setattr(unit_computation, "update", diverge)
    scene = Scene(tmp_path / "nowhere", **UPDATE)
    with pytest.raises(PoolrlError, match=r"no branch succeeded in the last .*: training made"):
        scene.work(99)
    last = scene.deposits.newest_merge()
    assert last is not None
    assert (last.rule, last.champion.kind) == ("update failed", "initial")


def test_weights_beyond_all_bounds_are_a_failed_update(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "nowhere", **UPDATE, learner__learning_rate=1e9)
    with pytest.raises(PoolrlError, match="no branch succeeded"):
        scene.work(40)


def test_divergence_of_the_parent_is_no_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patch_evaluate(monkeypatch, lambda unit: unit.kind == "parent")
    scene = Scene(tmp_path / "nowhere", **UPDATE, merge__fallback=1)
    rules = {scene.work(n).rule for n in range(1, 5)}
    assert rules == {"update", "best-ever fallback"}


# Damage


def removing(scene: Scene, monkeypatch: pytest.MonkeyPatch, damage: Callable[[str], None]) -> None:
    """Damage the rollout of a branch right after the sources were published."""
    real = DepositStore.publish_sources
    done: list[str] = []

    def publish(self: DepositStore, sources: SourcesRecord) -> None:
        real(self, sources)
        if sources.iteration == 1 and not done:
            folder = scene.pool.layout.iteration(1).folder
            done.extend(n for n in scene.store.names_in(folder) if n.startswith("rollout-001-"))
            damage(done[0])

    monkeypatch.setattr(DepositStore, "publish_sources", publish)


@pytest.mark.parametrize("torn", [False, True])
def test_a_damaged_rollout_is_sampled_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, torn: bool
) -> None:
    scene, undisturbed = scenes(tmp_path)
    folder = scene.pool.layout.iteration(1).folder

    def damage(name: str) -> None:
        data = scene.store.read(folder / name)
        scene.store.remove_files(folder, [name])
        if torn:
            scene.store.publish(folder / name, data[: len(data) // 2])

    removing(scene, monkeypatch, damage)
    scene.work(2)
    assert champions(scene) == champions(undisturbed)
    names = scene.store.names_in(folder)
    assert any(name.startswith("branch-001.json.corrupt-") for name in names)
    assert any(name.startswith("rollout-001-") and ".corrupt-" in name for name in names) == torn
    assert verify_files(scene.pool).discrepancies == []


def test_an_update_waits_for_a_branch_that_another_worker_samples_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not tried again and again meanwhile, which would read all other rollouts each time."""
    scene, undisturbed = scenes(tmp_path)
    layout = scene.pool.layout.iteration(1)
    reads = []

    def damage(name: str) -> None:
        scene.store.remove_files(layout.folder, [name])
        assert scene.claims().claim(layout.lease(Unit(1, "branch", 1)))

    removing(scene, monkeypatch, damage)
    real = SourceReader.read
    monkeypatch.setattr(
        SourceReader, "read", lambda self, *given: reads.append(given[:2]) or real(self, *given)
    )
    scene.work(2)
    assert reads == [("update", 1), ("update", 1), ("update", 2)]
    assert champions(scene) == champions(undisturbed)


def test_a_rollout_of_another_task_ends_the_worker_in_one_line(tmp_path: Path) -> None:
    """Its record fits, as another program may have written both."""
    scene = Scene(tmp_path / "nowhere", **UPDATE)
    other = Scene(tmp_path / "other", **UPDATE | {"task__id": "CartPole-v1"})
    other.work(1, run=RunOptions(keep="all"))
    first = other.record(Unit(1, "branch", 1))
    data = other.deposits.rollout(first)
    assert data is not None
    start = scene.work(0).champion.sha256
    scene.store.make_folder(scene.pool.layout.iteration(1).folder)
    scene.deposits.publish_rollout(first.unit, data)
    scene.deposits.publish_record(
        replace(first, spec_sha256=scene.pool.spec_sha256, parent_sha256=start)
    )
    with pytest.raises(IncompatiblePool, match=r"^iteration 1: branch-001: not a rollout of this"):
        scene.work(1)


def test_sources_that_are_torn_or_differ_are_set_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    scene, undisturbed = scenes(tmp_path)
    whole = undisturbed.store.read(undisturbed.pool.layout.iteration(1).sources)
    table = json.loads(whole)
    table["deposits"][1]["sha256"] = sha256("another rollout")
    other = json.dumps(table, separators=(",", ":")).encode() + b"\n"
    scene.work(0)
    folder = scene.pool.layout.iteration(1)
    scene.store.make_folder(folder.folder)
    scene.store.publish(folder.sources, other)
    scene.store.make_folder(scene.pool.layout.iteration(2).folder)
    scene.store.publish(scene.pool.layout.iteration(2).sources, whole[:50])
    scene.work(2)
    assert "branch-001 is not what it lists" in caplog.text
    assert champions(scene) == champions(undisturbed)
    assert verify_files(scene.pool).discrepancies == []


def test_an_update_of_other_branches_is_made_again(tmp_path: Path) -> None:
    scene, undisturbed = scenes(tmp_path)
    strange = replace(undisturbed.record(MADE), sources_sha256=sha256("others"))
    scene.work(0)
    scene.store.make_folder(scene.pool.layout.iteration(1).folder)
    scene.deposits.publish_record(strange)
    scene.work(2)
    assert champions(scene) == champions(undisturbed)
    assert scene.record(MADE).sources_sha256 == undisturbed.record(MADE).sources_sha256


def test_the_agent_of_an_update_that_is_lost_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene, undisturbed = scenes(tmp_path)
    folder = scene.pool.layout.iteration(1).folder
    lost = []

    def lose(unit: Unit) -> None:
        names = [n for n in scene.store.names_in(folder) if n.startswith("update-000-")]
        if unit == Unit(1, "parent", 0) and names and not lost:
            lost.extend(scene.store.remove_files(folder, names))

    monkeypatch.setattr(
        "poolrl.worker.iteration_snapshot.IterationSnapshot.is_stale", lambda self, now: True
    )
    patch_compute(monkeypatch, lose)
    scene.work(2)
    assert lost
    assert champions(scene) == champions(undisturbed)


def test_a_rollout_that_comes_after_the_merge_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(tmp_path / "nowhere", **UPDATE)
    run = RunOptions(keep="champions")
    real, other = DepositStore.publish_rollout, scene.worker(1, run=run)

    def publish(self: DepositStore, unit: Unit, data: bytes) -> str:
        monkeypatch.setattr(DepositStore, "publish_rollout", real)
        other.run()  # merges, and removes the rollouts
        return real(self, unit, data)

    monkeypatch.setattr(DepositStore, "publish_rollout", publish)
    merged: MergeRecord = scene.work(1, run=run)
    layout = scene.pool.layout.iteration(1)
    kept = {name for name in scene.store.names_in(layout.folder) if layout.is_agent(name)}
    assert kept == {merged.champion.path.rpartition("/")[2]}
