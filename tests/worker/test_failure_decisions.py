"""Decisions after failures, and on late results, on files in memory: nothing waits."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from poolrl.config.run_options import RunOptions
from poolrl.errors import PoolrlError
from poolrl.records.records import AgentRef, UnitRecord
from poolrl.records.work_units import Unit, units_of
from poolrl.storage.deposits import DepositStore
from tests.helpers.memory_pool import LEASE_SECONDS, Scene, patch_compute, patch_evaluate

BRANCH = Unit(1, "branch", 1)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path / "nowhere")


def test_iterations_without_a_branch_that_succeeds_end_the_worker(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    patch_evaluate(monkeypatch, lambda unit: unit.kind == "branch")
    with pytest.raises(PoolrlError, match="no branch succeeded in the last 2 iterations: a return"):
        scene.work(9, run=RunOptions(max_failed_iterations=2))
    assert scene.deposits.iterations() == [0, 1, 2]
    monkeypatch.undo()
    with pytest.raises(PoolrlError, match="no branch succeeded"):
        scene.work(9, run=RunOptions(max_failed_iterations=2))
    assert scene.work(3, run=RunOptions(max_failed_iterations=3)).failed_iterations == 0


def test_a_unit_is_given_up_after_its_attempts(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(unit: Unit) -> None:
        if unit == BRANCH:
            raise MemoryError("no memory")

    patch_compute(monkeypatch, fail)
    for attempts in range(1, 4):
        with pytest.raises(PoolrlError, match="iteration 1 branch-001: MemoryError: no memory"):
            scene.work(1)
        names = scene.store.names_in(scene.pool.layout.iteration(1).folder)
        assert sum("branch-001.attempt-" in name for name in names) == attempts
    assert scene.work(1).timing_dependent
    record = scene.record(BRANCH)
    assert record.status == "abandoned"
    assert record.reason == "3 attempts failed; see branch-001.attempt-*.json"


def test_a_failed_unit_is_left_to_another_worker(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = []

    def fail_once(unit: Unit) -> None:
        if unit == BRANCH and not failures:
            failures.append(unit)
            raise MemoryError("no memory")

    patch_compute(monkeypatch, fail_once)
    # Another worker comes while the first one waits for the unit to be claimed.
    other = scene.worker(1)
    scene.clock.after(LEASE_SECONDS / 20, other.run)
    assert scene.work(1).worker == other.info
    assert scene.record(BRANCH).worker == other.info


def test_a_worker_ends_after_consecutive_failures(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(unit: Unit) -> None:
        if unit.iteration == 1:
            raise MemoryError("no memory")

    patch_compute(monkeypatch, fail)
    with pytest.raises(PoolrlError, match="no memory"):
        scene.work(1)
    names = scene.store.names_in(scene.pool.layout.iteration(1).folder)
    assert sum(".attempt-" in name for name in names) == 3  # of four units


def test_failures_that_are_not_consecutive_do_not_end_a_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(tmp_path / "nowhere", pool__count=5)

    def fail(unit: Unit) -> None:
        if unit.kind == "branch" and unit.index % 2 == 0:
            raise MemoryError("no memory")

    patch_compute(monkeypatch, fail)
    with pytest.raises(PoolrlError, match="no memory"):
        scene.work(1, prefer=0)
    # All else was computed before the worker ended.
    deposited = [unit for unit in units_of(1, 5) if scene.deposits.record(unit) is not None]
    assert [unit.stem for unit in deposited] == ["branch-001", "branch-003", "parent-000"]


def test_silent_workers_are_attempts_where_a_unit_may_be_left_out(scene: Scene) -> None:
    scene.holder(BRANCH).fall_silent()
    scene.work(1, run=RunOptions(branch_timeout=60.0))
    names = scene.store.names_in(scene.pool.layout.iteration(1).folder)
    assert sum("branch-001.attempt-" in name for name in names) == 1


def test_a_unit_that_was_merged_meanwhile_is_dropped(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    entered = []
    other = scene.worker(1)

    def finish_first(unit: Unit) -> None:
        if unit == BRANCH and not entered:
            entered.append(unit)
            other.run()

    patch_compute(monkeypatch, finish_first)
    run = RunOptions(keep="champions")
    scene.work(1, run=run, prefer=1)
    assert "iteration 1 branch-001: already merged; result dropped" in caplog.text
    assert scene.record(BRANCH).worker == other.info
    layout = scene.pool.layout.iteration(1)
    agents = {name for name in scene.store.names_in(layout.folder) if layout.is_agent(name)}
    assert agents <= {scene.deposits.merge(1).champion.path.rpartition("/")[2]}


def test_a_record_that_was_first_elsewhere_counts(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    real, other = DepositStore.publish_record, scene.worker(1)

    def publish_record(self: DepositStore, record: UnitRecord) -> bool:
        if record.unit == BRANCH:
            monkeypatch.setattr(DepositStore, "publish_record", real)
            other.run()
        return real(self, record)

    monkeypatch.setattr(DepositStore, "publish_record", publish_record)
    scene.work(1, run=RunOptions(keep="champions"))
    assert "iteration 1 branch-001: already deposited by another worker" in caplog.text
    assert scene.record(BRANCH).worker == other.info
    layout = scene.pool.layout.iteration(1)
    agents = {name for name in scene.store.names_in(layout.folder) if layout.is_agent(name)}
    assert agents <= {scene.deposits.merge(1).champion.path.rpartition("/")[2]}


def test_an_agent_that_comes_after_the_merge_is_removed(
    tmp_path: Path, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    champion = Scene(tmp_path / "reference").work(1).champion
    loser = next(unit for unit in units_of(1, 3) if unit.index != champion.index)
    real, other = DepositStore.publish_agent, scene.worker(1, run=RunOptions(keep="champions"))

    def publish_agent(self: DepositStore, unit: Unit, data: bytes) -> AgentRef:
        if unit == loser:
            monkeypatch.setattr(DepositStore, "publish_agent", real)
            other.run()  # merges, and removes the losing agents
        return real(self, unit, data)

    monkeypatch.setattr(DepositStore, "publish_agent", publish_agent)
    scene.work(1, run=RunOptions(keep="champions"))
    assert scene.record(loser).worker == other.info
    layout = scene.pool.layout.iteration(1)
    agents = {name for name in scene.store.names_in(layout.folder) if layout.is_agent(name)}
    kept = {champion.path.rpartition("/")[2]} if champion.iteration == 1 else set()
    assert agents == kept
