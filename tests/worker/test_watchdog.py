"""The watchdog's checks, without its thread and without waiting."""

from __future__ import annotations

from pathlib import Path

import pytest

from poolrl.config.run_options import RunOptions
from poolrl.errors import Stopped, TooLong
from poolrl.interrupts import InterruptHandler
from poolrl.pool.timeouts import HEARTBEAT_SECONDS
from poolrl.records.codec import decode, encode
from poolrl.records.records import WorkerInfo
from poolrl.records.work_units import Unit
from poolrl.records.worker_records import Heartbeat
from poolrl.storage.layout import Layout
from poolrl.storage.memory import MemoryStore
from poolrl.worker.watchdog import STALL_CHECKS, Watchdog
from tests.helpers.deposits import deposit
from tests.helpers.manual_clock import ManualClock

INFO = WorkerInfo(id="0" * 32, host="n1", pid=7, versions={})
STALL_SECONDS = 200.0


class Interrupts(InterruptHandler):
    """Records interruptions instead of raising them."""

    def __init__(self) -> None:
        super().__init__()
        self.interrupted: list[tuple[int, BaseException]] = []

    def interrupt(self, section: int, error: BaseException) -> None:
        self.interrupted.append((section, error))


class Scene:
    """A watchdog, and what it watches."""

    def __init__(self, root: Path, **run: float) -> None:
        self.clock = ManualClock()
        self.store = MemoryStore(root, self.clock)
        self.layout = Layout(root)
        self.store.make_folder(self.layout.iteration(1).folder)
        self.interrupts = Interrupts()
        options = RunOptions(stall_timeout=STALL_SECONDS, **run)  # type: ignore[arg-type]
        self.watchdog = Watchdog(self.store, INFO, self.interrupts, options, self.clock)

    def heartbeat(self) -> Heartbeat:
        return decode(self.store.read(self.layout.heartbeat(INFO.id)), Heartbeat)

    def deposit(self, index: int, *, failed: bool = False) -> None:
        record = deposit("branch", index, None if failed else [1.0])
        self.store.publish(self.layout.iteration(1).record(record.unit), encode(record))

    def checks(self, seconds: float) -> bool:
        """Check every second; whether the pool stalled."""
        for _ in range(round(seconds)):
            self.clock.advance(1.0)
            if self.watchdog.check():
                return True
        return False


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


# Heartbeats


def test_a_change_of_state_is_reported_at_once_and_the_rest_at_intervals(scene: Scene) -> None:
    scene.checks(1)
    first = scene.heartbeat()
    assert (first.state, first.iteration, first.worker) == ("starting", -1, INFO)
    scene.checks(HEARTBEAT_SECONDS - 1)
    assert scene.heartbeat() == first
    scene.checks(1)
    assert scene.heartbeat().beat == first.beat + HEARTBEAT_SECONDS
    scene.watchdog.report("working", 1, "branch-001")
    since = scene.clock.time()
    scene.checks(1)
    for _ in range(2):
        beat = scene.heartbeat()
        assert (beat.state, beat.doing, beat.since) == ("working", "branch-001", since)
        assert beat.started == first.started
        scene.watchdog.report("working", 1, "branch-001")  # no change
        scene.checks(HEARTBEAT_SECONDS)


def test_the_end_removes_the_heartbeat(scene: Scene) -> None:
    scene.checks(1)
    scene.watchdog.end()
    assert scene.store.names_in(scene.layout.workers) == set()
    scene.watchdog.end()


def test_heartbeats_that_cannot_be_written_are_no_failure(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.store.publish(scene.layout.workers, b"a file")
    assert not scene.checks(30)
    assert caplog.text.count("no heartbeats: ") == 1


# Stalls


def test_a_pool_without_progress_has_stalled(scene: Scene) -> None:
    scene.watchdog.report("waiting", 1)
    scene.store.publish(scene.layout.iteration(1).lease(Unit(1, "branch", 2)), b"")
    assert scene.checks(2 * STALL_SECONDS)
    assert scene.clock.monotonic() - 1000 < STALL_SECONDS + 2 * STALL_SECONDS / STALL_CHECKS
    with pytest.raises(Stopped) as stopped:
        scene.interrupts.check()
    assert stopped.value.exit_code == 3
    assert str(stopped.value).startswith(
        f"{scene.layout.root}: stalled: nothing new in iteration 1 for 200 s, this worker waiting "
    )
    assert str(stopped.value).endswith("; claimed and not deposited: branch-002")


def test_progress_starts_the_stall_timeout_again(scene: Scene) -> None:
    scene.watchdog.report("waiting", 1)
    for index in range(5):
        assert not scene.checks(0.9 * STALL_SECONDS)
        scene.deposit(index)
    assert scene.checks(2 * STALL_SECONDS)


def test_a_lease_is_no_progress(scene: Scene) -> None:
    scene.watchdog.report("waiting", 1)
    for index in range(2):
        if scene.checks(0.7 * STALL_SECONDS):
            return
        scene.store.publish(scene.layout.iteration(1).lease(Unit(1, "branch", index)), b"")
    pytest.fail("leases count as progress")


def test_the_time_in_which_the_process_was_stopped_does_not_count(scene: Scene) -> None:
    scene.watchdog.report("waiting", 1)
    scene.checks(20)
    scene.clock.advance(100 * STALL_SECONDS)
    assert not scene.watchdog.check()
    assert not scene.checks(0.7 * STALL_SECONDS)
    assert scene.checks(STALL_SECONDS)


# Units that take too long


def test_an_overdue_unit_is_interrupted_once_enough_is_deposited(tmp_path: Path) -> None:
    scene = Scene(tmp_path, branch_timeout=30.0, min_deposits=2)
    scene.watchdog.report("working", 1, "branch-002")
    scene.deposit(0)
    with scene.interrupts.interruptible():
        scene.checks(60)
        assert scene.interrupts.interrupted == []  # the iteration cannot be merged without it
        scene.deposit(3, failed=True)
        scene.store.publish(scene.layout.iteration(1).record(Unit(1, "branch", 4)), b"{}")
        scene.checks(10)
        assert scene.interrupts.interrupted == []  # nor by what has failed, or is damaged
        scene.deposit(1)
        scene.checks(1)
        ((section, error),) = scene.interrupts.interrupted
    assert section == 1
    assert isinstance(error, TooLong)
    assert str(error) == "not done after 30 s"


def test_each_unit_has_the_whole_timeout(tmp_path: Path) -> None:
    scene = Scene(tmp_path, branch_timeout=30.0, min_deposits=1)
    scene.watchdog.report("working", 1, "branch-002")
    scene.deposit(0)
    for _ in range(3):
        with scene.interrupts.interruptible():
            scene.checks(29)
    scene.checks(60)
    assert scene.interrupts.interrupted == []


@pytest.mark.parametrize(
    ("state", "doing"),
    [("working", "closing-000"), ("working", "update-000"), ("waiting", ""), ("merging", "")],
)
def test_what_no_merge_does_without_has_no_timeout(tmp_path: Path, state: str, doing: str) -> None:
    scene = Scene(tmp_path, branch_timeout=30.0, min_deposits=1)
    scene.deposit(0)
    scene.watchdog.report(state, 1, doing)  # type: ignore[arg-type]
    with scene.interrupts.interruptible():
        scene.checks(100)
    assert scene.interrupts.interrupted == []


def test_without_a_timeout_no_unit_is_interrupted(scene: Scene) -> None:
    scene.watchdog.report("working", 1, "branch-002")
    for index in range(3):
        scene.deposit(index)
    with scene.interrupts.interruptible():
        scene.checks(0.5 * STALL_SECONDS)
    assert scene.interrupts.interrupted == []
