"""When a unit is a straggler, and when it is overdue."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from msgspec.structs import replace

from poolrl.pool.timeouts import (
    MAX_BACKUP_COPIES,
    MAX_SIBLING_RECORDS,
    MIN_STRAGGLER_SECONDS,
    STRAGGLER_FACTOR,
    STRAGGLER_LEASES,
    straggler_seconds,
)
from poolrl.records.codec import encode
from poolrl.records.records import Seconds
from poolrl.records.work_units import Unit
from poolrl.storage.deposits import DepositStore
from poolrl.storage.layout import Layout
from poolrl.storage.memory import MemoryStore
from poolrl.worker.iteration_snapshot import IterationSnapshot, take_snapshot
from poolrl.worker.stragglers import StragglerDetector
from tests.helpers.deposits import deposit, sha256
from tests.helpers.manual_clock import ManualClock

LEASE_SECONDS = 60.0
BRANCHES = [Unit(1, "branch", index) for index in range(12)]


class Scene:
    """A detector, and the iteration that it observes."""

    def __init__(self, root: Path, timeout: float | None = None) -> None:
        self.clock = ManualClock()
        self.store = MemoryStore(root, self.clock)
        self.layout = Layout(root).iteration(1)
        self.store.make_folder(self.layout.folder)
        deposits = DepositStore(
            self.store, spec_sha256=sha256("spec"), evaluate_episodes=1, closing_episodes=1
        )
        self.detector = StragglerDetector(deposits, LEASE_SECONDS, timeout, self.clock)

    def claim(self, unit: Unit, copy: int = 0) -> None:
        self.store.publish(self.layout.lease(unit, copy), b"")

    def deposit(self, unit: Unit, seconds: float) -> None:
        phases = {"training": Seconds(wall=seconds - 1), "evaluation": Seconds(wall=1.0)}
        record = replace(deposit(unit.kind, unit.index, [1.0]), seconds=phases)
        self.store.publish(self.layout.record(unit), encode(record))

    def snapshot(self) -> IterationSnapshot:
        units = [*BRANCHES, Unit(1, "parent", 0)]
        snapshot = take_snapshot(self.store, self.layout, units, self.clock)
        self.detector.observe(snapshot)
        return snapshot

    def stragglers(self) -> list[tuple[Unit, int]]:
        return self.detector.stragglers(self.snapshot())


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_limits() -> None:
    assert straggler_seconds(0.0, LEASE_SECONDS) == STRAGGLER_LEASES * LEASE_SECONDS
    assert straggler_seconds(100.0, LEASE_SECONDS) == STRAGGLER_FACTOR * 100.0
    assert straggler_seconds(1e-3, LEASE_SECONDS) == MIN_STRAGGLER_SECONDS


def test_without_siblings_the_lease_counts(scene: Scene) -> None:
    scene.claim(BRANCHES[0])
    assert scene.stragglers() == []
    scene.clock.advance(STRAGGLER_LEASES * LEASE_SECONDS)
    assert scene.stragglers() == []
    scene.clock.advance(1.0)
    assert scene.stragglers() == [(BRANCHES[0], 1)]


def test_the_longest_sibling_counts_and_the_parent_does_not(scene: Scene) -> None:
    scene.deposit(BRANCHES[0], 10.0)
    scene.deposit(BRANCHES[1], 20.0)
    scene.deposit(Unit(1, "parent", 0), 1000.0)
    scene.claim(BRANCHES[2])
    assert scene.stragglers() == []
    scene.clock.advance(60.0)
    assert scene.stragglers() == []
    scene.clock.advance(1.0)
    assert scene.stragglers() == [(BRANCHES[2], 1)]


def test_what_this_worker_took_itself_counts_too(scene: Scene) -> None:
    scene.detector.note_duration(5.0)
    scene.detector.note_duration(2.0)
    scene.claim(BRANCHES[0])
    scene.stragglers()
    scene.clock.advance(15.5)
    assert scene.stragglers() == [(BRANCHES[0], 1)]


def test_time_counts_from_the_first_observation(scene: Scene) -> None:
    scene.detector.note_duration(5.0)
    scene.claim(BRANCHES[0])
    scene.clock.advance(1000.0)  # without a snapshot
    assert scene.stragglers() == []
    scene.clock.advance(16.0)
    assert scene.stragglers() == [(BRANCHES[0], 1)]


def test_each_backup_copy_has_the_same_time_and_there_are_few(scene: Scene) -> None:
    scene.detector.note_duration(5.0)
    scene.claim(BRANCHES[0])
    for copy in range(MAX_BACKUP_COPIES):
        assert scene.stragglers() == []
        scene.clock.advance(15.0)
        assert scene.stragglers() == []
        scene.clock.advance(1.0)
        assert scene.stragglers() == [(BRANCHES[0], copy + 1)]
        scene.claim(BRANCHES[0], copy + 1)
    scene.clock.advance(1e6)
    assert scene.stragglers() == []


def test_a_deposited_unit_is_no_straggler(scene: Scene) -> None:
    scene.detector.note_duration(5.0)
    scene.claim(BRANCHES[0])
    scene.stragglers()
    scene.clock.advance(16.0)
    scene.deposit(BRANCHES[0], 16.0)
    assert scene.stragglers() == []


def test_few_records_are_read_however_many_there_are(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: Counter[Unit] = Counter()
    real = DepositStore.deposit

    def counted(self: DepositStore, unit: Unit, parent_sha256: str | None = None) -> object:
        reads[unit] += 1
        return real(self, unit, parent_sha256)

    monkeypatch.setattr(DepositStore, "deposit", counted)
    for unit in BRANCHES[1:]:
        scene.deposit(unit, 10.0)
    for _ in range(3):
        scene.stragglers()
    assert len(reads) == MAX_SIBLING_RECORDS
    assert set(reads.values()) == {1}


def test_overdue(tmp_path: Path) -> None:
    scene = Scene(tmp_path, timeout=30.0)
    claimed, own, free = BRANCHES[:3]
    scene.claim(claimed)
    scene.snapshot()
    scene.clock.advance(10.0)
    scene.detector.note_own_claim(own)
    scene.clock.advance(20.0)
    assert not scene.detector.is_overdue(claimed)
    scene.clock.advance(1.0)
    assert scene.detector.is_overdue(claimed)
    assert not scene.detector.is_overdue(own)
    scene.clock.advance(10.0)
    assert scene.detector.is_overdue(own)
    assert not scene.detector.is_overdue(free)  # nobody was seen to claim it


def test_nothing_is_overdue_without_a_timeout(scene: Scene) -> None:
    scene.claim(BRANCHES[0])
    scene.snapshot()
    scene.clock.advance(1e6)
    assert not scene.detector.is_overdue(BRANCHES[0])
    scene.detector.note_own_claim(BRANCHES[1])
    scene.clock.advance(1e6)
    assert not scene.detector.is_overdue(BRANCHES[1])
