"""Shared experience with units that are late: stragglers, timeouts, and what a merge waits for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from poolrl.config.run_options import RunOptions
from poolrl.monitoring.verify import verify_files
from poolrl.pool.timeouts import STRAGGLER_FACTOR
from poolrl.records.records import Seconds
from poolrl.records.work_units import KindName, Unit
from poolrl.storage.deposits import DepositStore
from tests.helpers.memory_pool import Scene, patch_compute, with_a_late_branch
from tests.helpers.shared_experience import MADE, UPDATE, champions, scenes

LATE = RunOptions(branch_timeout=5.0, min_deposits=2)


def test_what_is_late_is_no_part_of_the_update(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = with_a_late_branch(tmp_path, monkeypatch, **UPDATE)
    last = scene.work(1, run=LATE)
    assert (last.rule, last.timing_dependent) == ("update", True)
    assert [(d.kind, d.index) for d in last.deposits] == [
        ("branch", 0),
        ("branch", 1),
        ("parent", 0),
        ("update", 0),
    ]
    sources = scene.deposits.sources(1)
    assert sources is not None
    assert sources[0].done == [0, 1]
    made = scene.record(MADE).training
    assert made is not None
    assert made.episodes == 4
    assert verify_files(scene.pool).discrepancies == []


def test_sources_decide_though_a_branch_came_after_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A branch is deposited between the sources and the update: nobody uses it."""
    other = Scene(tmp_path / "nowhere", **UPDATE)
    other.work(1)
    scene = with_a_late_branch(tmp_path, monkeypatch, **UPDATE)

    def arrive(unit: Unit) -> None:
        if unit == MADE and scene.deposits.record(Unit(1, "branch", 2)) is None:
            scene.deposits.publish_record(other.record(Unit(1, "branch", 2)))

    patch_compute(monkeypatch, arrive)
    last = scene.work(1, run=LATE)
    assert scene.deposits.record(Unit(1, "branch", 2)) is not None
    assert len(last.deposits) == 4
    made = scene.record(MADE).training
    assert made is not None
    assert made.episodes == 4
    assert verify_files(scene.pool).discrepancies == []


def test_too_few_branches_are_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(tmp_path / "nowhere", **UPDATE)
    scene.holder(Unit(1, "branch", 2))
    last = scene.work(1, run=RunOptions(branch_timeout=5.0, min_deposits=3))
    assert not last.timing_dependent  # a backup copy was computed
    assert len(last.deposits) == 5


def test_a_merge_does_without_an_overdue_parent_but_not_without_the_update(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others hold both; a backup copy of the update is computed, and none of the parent."""
    scene, undisturbed = scenes(tmp_path)
    scene.holder(Unit(1, "parent", 0))
    scene.claims().claim(scene.pool.layout.iteration(1).lease(MADE))
    real = scene.deposits.__class__.publish_record

    def publish(self: DepositStore, given: Any) -> bool:
        assert scene.deposits.newest_merge() == scene.deposits.merge(0)
        return real(self, given)

    monkeypatch.setattr(DepositStore, "publish_record", publish)
    monkeypatch.setattr(
        "poolrl.worker.stragglers.StragglerDetector.stragglers",
        lambda self, snapshot: [
            (unit, 1)
            for unit in snapshot.claimed
            if unit == MADE and self._clock.monotonic() - self._claimed_at[unit, 0] > 20
        ],
    )
    worker = scene.worker(1, run=RunOptions(branch_timeout=5.0, min_deposits=2))
    merged = worker._next_merge(1, scene.deposits.merge(0))
    assert merged is not None
    assert (merged.rule, merged.timing_dependent) == ("update", True)
    assert [d.kind for d in merged.deposits] == ["branch", "branch", "branch", "update"]
    assert merged.champion.sha256 == champions(undisturbed)[1]


@pytest.mark.parametrize("kind", ["update", "parent"])
def test_units_without_siblings_are_stragglers_by_the_one_before(
    tmp_path: Path, kind: KindName
) -> None:
    """Branches that only sample take far less than an update, or an evaluation."""
    scene = Scene(tmp_path / "nowhere", **UPDATE)
    scene.work(1)
    layout, unit = scene.pool.layout, Unit(1, kind, 0)
    slow = replace(scene.record(unit), seconds={"training": Seconds(40.0, 40.0)})
    scene.store.remove_files(layout.iteration(1).folder, [layout.iteration(1).record(unit).name])
    scene.deposits.publish_record(slow)
    folder = layout.iteration(2)
    scene.store.make_folder(folder.folder)
    assert scene.claims().claim(folder.lease(Unit(2, kind, 0)))
    seconds = scene.seconds_of(lambda: scene.work(2))
    assert STRAGGLER_FACTOR * 40 < seconds < STRAGGLER_FACTOR * 40 + 5
