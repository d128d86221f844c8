"""A worker's decisions on files in memory and a clock moved by hand: nothing waits."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from pathlib import Path

import pytest

from poolrl.clock import SYSTEM_CLOCK
from poolrl.config.run_options import RunOptions
from poolrl.pool.directory import Pool, make_pool, open_pool
from poolrl.pool.stop_criteria import StopCriteria
from poolrl.pool.timeouts import STRAGGLER_LEASES
from poolrl.records.records import MergeRecord
from poolrl.records.work_units import Unit, units_of
from poolrl.storage.deposits import DepositStore
from poolrl.storage.memory import MemoryClaims
from poolrl.worker.loop import Worker
from poolrl.worker.merging import merge_deposits
from poolrl.worker.open_iteration import rotated
from tests.conftest import tiny_spec
from tests.helpers.memory_pool import LEASE_SECONDS, Scene, patch_compute

BRANCH = Unit(1, "branch", 1)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path / "nowhere")


def champions(pool: Pool) -> list[bytes]:
    deposits = pool.deposit_store()
    return [deposits.champion(deposits.merge(number).champion) for number in deposits.iterations()]


# A whole pool


def test_a_pool_in_memory_has_the_champions_of_one_on_disk(tmp_path: Path) -> None:
    in_memory = [Scene(tmp_path / "nowhere") for _ in range(2)]
    for scene in in_memory:
        assert scene.work(3).iteration == 3
    on_disk = make_pool(tmp_path / "pool", tiny_spec(), RunOptions())
    Worker(on_disk, StopCriteria(3)).run()
    assert not (tmp_path / "nowhere").exists()
    expected = champions(on_disk)
    assert len(expected) == 4
    assert [champions(scene.pool) for scene in in_memory] == [expected] * 2


def test_a_pool_in_memory_opens_again(scene: Scene) -> None:
    assert open_pool(scene.store.root, scene.store) == scene.pool
    scene.work(1)
    assert scene.deposits.newest_merge() == scene.deposits.merge(1)


def test_a_worker_without_company_leaves_no_claim(scene: Scene) -> None:
    scene.work(2)
    folder = scene.pool.layout.iteration(1).folder
    assert not [name for name in scene.store.names_in(folder) if name.endswith(".lease")]
    assert scene.store.names_in(scene.pool.layout.workers) == set()


def test_the_deadline_ends_a_pool_between_units(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    patch_compute(monkeypatch, lambda unit: scene.clock.advance(10))
    criteria = StopCriteria(9, deadline=scene.clock.time() + 25, clock=scene.clock)
    worker = Worker(scene.pool, criteria, clock=scene.clock, claims=scene.claims(), prefer=0)
    assert worker.run().iteration == 0
    # Started at 0, 10 and 20 s; the closing evaluation has no deadline.
    deposited = [unit for unit in units_of(1, 3) if scene.deposits.record(unit) is not None]
    assert deposited == [Unit(1, "branch", 0), Unit(1, "branch", 1)]
    assert scene.record(Unit(0, "closing", 0)).status == "done"


def test_workers_begin_at_their_own_branch() -> None:
    units = units_of(1, 3)
    assert [unit.stem for unit in rotated(units, 4)] == [
        "branch-001",
        "branch-002",
        "branch-000",
        "parent-000",
    ]
    assert rotated(units_of(0, 3), 4) == units_of(0, 3)


# Claims of others


def test_a_silent_claim_is_taken_over_and_its_unit_computed(scene: Scene) -> None:
    scene.holder(BRANCH).fall_silent()
    seconds = scene.seconds_of(lambda: scene.work(1))
    assert LEASE_SECONDS < seconds < 2 * LEASE_SECONDS
    assert not scene.deposits.merge(1).timing_dependent
    assert scene.record(BRANCH).status == "done"


def test_a_live_claim_is_waited_for(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    holder = scene.holder(BRANCH)
    lease = scene.pool.layout.iteration(1).lease(BRANCH)
    scene.clock.after(STRAGGLER_LEASES * LEASE_SECONDS / 2, lambda: holder.release(lease))
    seconds = scene.seconds_of(lambda: scene.work(1))
    assert seconds >= STRAGGLER_LEASES * LEASE_SECONDS / 2
    assert seconds < STRAGGLER_LEASES * LEASE_SECONDS
    assert "straggler" not in caplog.text


def test_a_straggler_gets_a_backup_copy(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    holder = scene.holder(BRANCH)
    seconds = scene.seconds_of(lambda: scene.work(1))
    assert seconds > STRAGGLER_LEASES * LEASE_SECONDS
    assert "iteration 1 branch-001: straggler; computing backup copy 1" in caplog.text
    assert not scene.deposits.merge(1).timing_dependent
    layout = scene.pool.layout.iteration(1)
    assert layout.lease(BRANCH).name in scene.store.names_in(layout.folder)  # it is not touched
    holder.forget()


def test_a_straggler_is_known_by_its_siblings(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.holder(BRANCH)
    patch_compute(monkeypatch, lambda unit: scene.clock.advance(4 if unit.kind == "branch" else 1))
    seconds = scene.seconds_of(lambda: scene.work(1))
    # Two branches of 4 s, and so a straggler after 12 s; then the branch itself.
    assert 12 < seconds < 12 + 4 + 3


def test_copies_that_are_claimed_too_are_not_computed(scene: Scene) -> None:
    claims = scene.holder(BRANCH)
    layout = scene.pool.layout.iteration(1)
    for copy in (1, 2):
        assert claims.claim(layout.lease(BRANCH, copy))
    scene.clock.after(10 * STRAGGLER_LEASES * LEASE_SECONDS, claims.forget)
    seconds = scene.seconds_of(lambda: scene.work(1))
    assert seconds >= 10 * STRAGGLER_LEASES * LEASE_SECONDS


def test_a_unit_deposited_since_the_snapshot_is_not_computed(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: Counter[Unit] = Counter()
    other = scene.worker(1)

    def before(unit: Unit) -> None:
        computed[unit] += 1
        if unit == Unit(1, "branch", 0):
            other._runner.run(BRANCH, scene.deposits.merge(0), 0)

    patch_compute(monkeypatch, before)
    scene.work(1, prefer=0)
    assert set(computed.values()) == {1}
    assert scene.record(BRANCH).worker == other.info


# Merging


def test_overdue_units_are_left_out(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    scene.holder(BRANCH)
    run = RunOptions(branch_timeout=5.0, min_deposits=2)
    seconds = scene.seconds_of(lambda: scene.work(1, run=run))
    assert 5 < seconds < 8
    assert "iteration 1: merged without 1 deposits" in caplog.text
    merged = scene.deposits.merge(1)
    assert merged.timing_dependent
    assert {(d.kind, d.index) for d in merged.deposits} == {
        ("branch", 0),
        ("branch", 2),
        ("parent", 0),
    }


def test_too_few_deposits_are_not_merged_however_late(scene: Scene) -> None:
    holder = scene.holder(BRANCH)
    run = RunOptions(branch_timeout=5.0, min_deposits=3)
    scene.clock.after(15.0, holder.forget)
    seconds = scene.seconds_of(lambda: scene.work(1, run=run))
    assert seconds >= 15
    assert not scene.deposits.merge(1).timing_dependent
    assert len(scene.deposits.merge(1).deposits) == 4


def test_without_a_branch_timeout_only_a_complete_iteration_is_merged(scene: Scene) -> None:
    scene.work(1)
    layout, units = scene.pool.layout.iteration(1), units_of(1, 3)
    scene.store.remove(layout.merge)
    scene.store.set_aside(layout.record(BRANCH))
    previous, worker = scene.deposits.merge(0), scene.worker().info
    assert not merge_deposits(scene.pool, previous, units, worker, None, scene.clock)
    assert not merge_deposits(scene.pool, previous, units, worker, 3, scene.clock)
    assert scene.deposits.newest_merge() == previous
    assert merge_deposits(scene.pool, previous, units, worker, 2, scene.clock)
    assert scene.deposits.merge(1).timing_dependent


def test_the_first_merge_counts_and_every_worker_follows_it(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, published = DepositStore.publish_merge, []

    def publish_merge(self: DepositStore, record: MergeRecord) -> bool:
        if not published:  # another one does the whole iteration again, and merges first
            published.append(record)
            lease = scene.pool.layout.iteration(record.iteration).merge_lease
            scene.store.remove(lease)
            other.run()
        published.append(record)
        return real(self, record)

    other = scene.worker(1)
    monkeypatch.setattr(DepositStore, "publish_merge", publish_merge)
    followed: list[MergeRecord] = []
    scene.work(1, after_merge=[followed.append])
    assert len(published) > 2  # this worker's came too late
    for number in (0, 1):
        assert scene.deposits.merge(number).worker == other.info
    assert followed == [scene.deposits.merge(number) for number in (0, 1)]


def test_the_merge_is_left_to_the_worker_that_has_claimed_it(scene: Scene) -> None:
    scene.work(0)
    layout = scene.pool.layout.iteration(1)
    scene.store.make_folder(layout.folder)
    holder = scene.claims()
    assert holder.claim(layout.merge_lease)
    scene.clock.after(7.0, holder.forget)
    assert scene.seconds_of(lambda: scene.work(1)) >= 7
    holder = scene.claims()
    scene.store.make_folder(scene.pool.layout.iteration(2).folder)
    assert holder.claim(scene.pool.layout.iteration(2).merge_lease)
    holder.fall_silent()  # and taken over, if it does not merge
    assert LEASE_SECONDS < scene.seconds_of(lambda: scene.work(2)) < 2 * LEASE_SECONDS


def test_several_workers_at_once_make_one_merge_an_iteration(tmp_path: Path) -> None:
    alone = Scene(tmp_path / "alone")
    alone.work(3)
    scene = Scene(tmp_path / "together")
    followed: list[list[MergeRecord]] = [[], [], []]
    workers = [
        Worker(
            scene.pool,
            StopCriteria(3),
            after_merge=[merges.append],
            claims=MemoryClaims(scene.store, LEASE_SECONDS, SYSTEM_CLOCK),
        )
        for merges in followed
    ]
    threads = [threading.Thread(target=worker.run) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
        assert not thread.is_alive()
    assert champions(scene.pool) == champions(alone.pool)
    for merges in followed:
        for merge in merges:
            assert merge == scene.deposits.merge(merge.iteration)
    names = scene.store.names_in(scene.pool.layout.iteration(1).folder)
    assert not [name for name in names if ".attempt-" in name or ".corrupt-" in name]


def test_hooks_run_once_after_each_merge_and_may_fail(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    merges: list[MergeRecord] = []

    def fail(merge: MergeRecord) -> None:
        raise ValueError("no disk for the video")

    scene.work(2, after_merge=[fail, merges.append])
    assert merges == [scene.deposits.merge(number) for number in range(3)]
    assert caplog.text.count("a hook failed after the merge") == 3
    assert "no disk for the video" in caplog.text


# Closing


def test_the_closing_evaluation_is_taken_over(scene: Scene) -> None:
    scene.work(1)
    layout, closing = scene.pool.layout.iteration(1), Unit(1, "closing", 0)
    before = scene.record(closing).evaluation
    scene.store.remove(layout.record(closing))
    claims = scene.claims()
    assert claims.claim(layout.lease(closing))
    claims.fall_silent()
    seconds = scene.seconds_of(lambda: scene.work(1))
    assert LEASE_SECONDS < seconds < 2 * LEASE_SECONDS
    assert scene.record(closing).evaluation == before


def test_a_damaged_closing_record_is_computed_again(scene: Scene) -> None:
    scene.work(1)
    layout, closing = scene.pool.layout.iteration(1), Unit(1, "closing", 0)
    before = scene.record(closing)
    scene.store.replace(layout.record(closing), b"{")
    scene.work(1)
    assert scene.record(closing).evaluation == before.evaluation
    names = scene.store.names_in(layout.folder)
    assert sum(name.startswith("closing-000.json.corrupt-") for name in names) == 1


def test_no_worker_ends_before_the_closing_evaluation(scene: Scene) -> None:
    scene.work(1)
    layout, closing = scene.pool.layout.iteration(1), Unit(1, "closing", 0)
    data = scene.store.read(layout.record(closing))
    scene.store.remove(layout.record(closing))
    holder = scene.claims()
    assert holder.claim(layout.lease(closing))
    scene.clock.after(7.0, lambda: scene.store.publish(layout.record(closing), data))
    assert 7 <= scene.seconds_of(lambda: scene.work(1)) < 8
    assert scene.store.read(layout.record(closing)) == data
