"""Status of a pool, with real workers, and with files of set modification times."""

from __future__ import annotations

import json
import os
import signal
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from poolrl.config.run_options import RunOptions
from poolrl.errors import UsageError
from poolrl.monitoring.heartbeats import ServerClock
from poolrl.monitoring.pool_status import StatusReader
from poolrl.monitoring.status_types import Status, UnitStatus
from poolrl.pool.directory import Pool, make_pool, open_pool
from poolrl.pool.stop_criteria import StopCriteria
from poolrl.records.records import Attempt, WorkerInfo
from poolrl.records.work_units import Unit
from poolrl.storage.claims import lease_owner
from poolrl.storage.store import Store
from poolrl.worker.loop import Worker
from tests.conftest import tiny_spec
from tests.helpers.processes import at_work_on, ended, odd, start
from tests.helpers.waiting import until
from tests.helpers.worker_files import beat, claim, made_old


def status_of(pool: Pool) -> Status:
    return StatusReader(open_pool(pool.layout.root)).read()


def unit_of(status: Status, stem: str) -> UnitStatus:
    return next(unit for unit in status.units if unit.unit == stem)


def wait_for(pool: Pool, condition: Callable[[Status], Any]) -> Status:
    reader = StatusReader(open_pool(pool.layout.root))
    found: list[Status] = []
    until(lambda: found.append(reader.read()) or condition(found[-1]))
    return found[-1]


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    """Three branches, leases of 30 s, and an iteration that is merged."""
    spec = tiny_spec(pool__lease_duration=30.0)
    made = make_pool(tmp_path / "pool", spec, RunOptions(iterations=4))
    Worker(made, StopCriteria(1)).run()
    made.layout.iteration(1).record(Unit(1, "closing", 0)).unlink()
    return made


def test_a_pool_without_any_worker_yet(tmp_path: Path) -> None:
    made = make_pool(tmp_path / "pool", tiny_spec(), RunOptions(iterations=4))
    status = status_of(made)
    assert (status.state, status.iteration, status.merged, status.champion) == (
        "new",
        0,
        None,
        None,
    )
    assert [(unit.unit, unit.state) for unit in status.units] == [("initial-000", "free")]
    assert status.waiting[0].text.startswith("no worker is alive: nothing goes on")


def test_a_finished_pool_has_a_result(tiny_pool: Pool) -> None:
    Worker(tiny_pool, StopCriteria(3)).run()
    status = status_of(tiny_pool)
    assert (status.state, status.iteration, status.iterations) == ("finished", 3, 3)
    assert status.units == status.waiting == []
    assert status.result is not None
    assert status.result.evaluation is not None
    assert len(status.result.evaluation.returns) == 5
    assert status.champion is not None
    assert status.champion.iteration == 3
    assert status.speed is not None
    assert status.speed.iterations == 3
    assert status.seconds_left == 0


def test_a_pool_without_workers_has_stopped(pool: Pool) -> None:
    status = status_of(pool)
    assert (status.state, status.iteration, status.merged) == ("stopped", 2, 1)
    assert status.counts == {"free": 4}
    beat(pool, "n1", 7, 100, job="12_3")
    (reason,) = status_of(pool).waiting
    assert "the last one, on n1 (job 12_3), was heard 1m40s ago" in reason.text


def test_a_reader_follows_another_run_and_notices_a_move(pool: Pool, tmp_path: Path) -> None:
    reader = StatusReader(pool)
    assert reader.read().iterations == 4
    make_pool(pool.layout.root, pool.spec, RunOptions(iterations=1))
    status = reader.read()
    assert (status.iterations, [unit.unit for unit in status.units]) == (1, ["closing-000"])
    pool.layout.root.rename(tmp_path / "moved")
    with pytest.raises(UsageError, match="pool: no such directory"):
        reader.read()


def test_every_state_of_a_unit(pool: Pool) -> None:
    claim(pool, Unit(2, "branch", 0), "n1", 11, 3)
    beat(pool, "n1", 11, 4, since=20, iteration=2, doing="branch-000", job="12_0")
    claim(pool, Unit(2, "branch", 1), "n2", 12, 14)
    beat(pool, "n2", 12, 15, since=2, iteration=2, doing="branch-001", job="12_1")
    beat(pool, "n3", 13, 1, state="waiting", iteration=2, job="12_2")
    folder = pool.layout.iteration(2)
    for stem, changed in (
        ("branch-002", {"status": "failed", "reason": "diverged", "evaluation": None}),
        ("parent-000", {}),
    ):
        table = json.loads((pool.layout.iteration(1).folder / f"{stem}.json").read_bytes())
        del table["seconds"]  # durations do not matter here
        if changed:
            table["agent"] = None
        record = folder.folder / f"{stem}.json"
        record.write_text(json.dumps({**table, **changed, "iteration": 2}))
    status = status_of(pool)
    assert status.state == "running"
    assert status.counts == {"working": 1, "silent": 1, "failed": 1, "deposited": 1}
    working = unit_of(status, "branch-000")
    assert (working.host, working.pid, working.job) == ("n1", 11, "12_0")
    assert working.claimed_seconds == pytest.approx(24, abs=1)
    assert working.lease_seconds == pytest.approx(3, abs=1)
    assert working.heartbeat_seconds == pytest.approx(4, abs=1)
    assert unit_of(status, "branch-002").reason == "diverged"
    assert unit_of(status, "parent-000").score is not None
    silent, other = status.waiting
    assert silent.unit == "branch-001"
    assert silent.text == (
        "branch-001: worker on n2 (job 12_1) silent for 14s; taken over once its lease has lapsed, "
        "in at most 16s (31s where leases cannot be taken over); 1 worker waits for it"
    )
    assert silent.within_seconds == pytest.approx(16, abs=1)
    assert other.text.startswith("branch-000: worker on n1 (job 12_0) at it for 24s")
    states = {worker.host: worker.state for worker in status.workers}
    assert states == {"n1": "working", "n2": "silent", "n3": "waiting"}


def test_reasons_name_the_timeouts(pool: Pool) -> None:
    run = RunOptions(iterations=4, branch_timeout=100.0, min_deposits=2, stall_timeout=200.0)
    make_pool(pool.layout.root, pool.spec, run)
    claim(pool, Unit(2, "branch", 0), "n1", 11, 3)
    beat(pool, "n1", 11, 4, since=120, iteration=2, doing="branch-000")
    made_old(pool.layout.iteration(1).merge, 150)
    texts = [reason.text for reason in status_of(pool).waiting]
    assert texts == [
        "branch-000: worker on n1 (process 11) at it for 2m04s; a free worker computes a backup "
        "after 5m00s; the iteration goes on without it after 1m40s, if 2 more branches have "
        "succeeded",
        "nothing new for 2m30s; the workers end with exit code 3 after 3m20s",
    ]


def test_attempts_are_listed_with_their_reasons(pool: Pool) -> None:
    info = WorkerInfo(id=uuid.uuid4().hex, host="n1", pid=7, versions={}, job="12_3")
    pool.layout.iteration(2).folder.mkdir()
    for reason in ("MemoryError: ", "OSError: no space"):
        attempt = Attempt(
            iteration=2,
            kind="branch",
            index=1,
            reason=reason,
            details="Traceback …",
            worker=replace(info, id=uuid.uuid4().hex),
        )
        pool.deposit_store().publish_attempt(attempt)
    (pool.layout.iteration(2).folder / f"branch-002.attempt-{info.id}.json").write_text("{")
    status = status_of(pool)
    assert unit_of(status, "branch-001").attempts == 2
    listed = {
        (attempt.unit, attempt.reason, attempt.host, attempt.job) for attempt in status.attempts
    }
    assert listed == {
        ("branch-001", "MemoryError: ", "n1", "12_3"),
        ("branch-001", "OSError: no space", "n1", "12_3"),
        ("branch-002", "its record cannot be read", "", ""),
    }


def test_a_stopped_worker_is_reported_as_silent(tmp_path: Path) -> None:
    spec = tiny_spec(pool__lease_duration=6.0)
    pool = make_pool(tmp_path / "pool", spec, RunOptions(iterations=4))
    stopped = odd(pool, "hang", "in branch 1")
    with ended(stopped):
        until(at_work_on(pool, Unit(1, "branch", 1)))
        status = wait_for(pool, lambda s: unit_of(s, "branch-001").claimed_seconds is not None)
        assert unit_of(status, "branch-001").pid == stopped.pid
        assert status.state == "running"
        stopped.send_signal(signal.SIGSTOP)
        status = wait_for(pool, lambda s: unit_of(s, "branch-001").state == "silent")
        reason = next(reason for reason in status.waiting if reason.unit)
        assert "silent for" in reason.text
        other = start(pool, 2)
        with ended(other):
            wait_for(pool, lambda s: s.iteration > 1)
            stopped.send_signal(signal.SIGCONT)


def test_ages_are_by_the_file_servers_clock(pool: Pool) -> None:
    # This machine is a minute behind: a file that was just written is from the future.
    claim(pool, Unit(2, "branch", 0), "n1", 11, -60)
    beat(pool, "n1", 11, -58, iteration=2, doing="branch-000")
    status = status_of(pool)
    assert status.clock.known_by == "assumed"
    assert status.clock.offset_seconds == pytest.approx(60, abs=1)
    assert unit_of(status, "branch-000").lease_seconds == pytest.approx(0, abs=1)
    assert unit_of(status, "branch-000").heartbeat_seconds == pytest.approx(2, abs=1)


def test_the_clock_offset_comes_from_a_worker_of_this_machine(pool: Pool) -> None:
    host = os.uname().nodename
    beat(pool, host, 11, 20, ahead=15.0, state="waiting", iteration=2)
    status = status_of(pool)
    assert status.clock.known_by == "worker"
    assert status.clock.offset_seconds == pytest.approx(-15, abs=1)
    (worker,) = status.workers
    assert worker.heartbeat_seconds == pytest.approx(5, abs=1)
    assert worker.state == "waiting"


def test_the_clock_offset_comes_from_files_that_change() -> None:
    clock = ServerClock()
    now = time.time()
    clock.observe(now - 50, since=now - 2)  # the server is behind
    assert clock.offset().known_by == "watched"
    assert clock.offset().offset_seconds == pytest.approx(-45, abs=1)
    assert clock.age(now - 50) == pytest.approx(5, abs=1)


def test_old_heartbeats_are_only_counted(pool: Pool) -> None:
    for pid in range(3):
        beat(pool, "n1", pid, 7200, iteration=2)
    status = status_of(pool)
    assert (status.workers, status.forgotten_workers) == ([], 3)


def test_reading_the_status_writes_nothing(pool: Pool) -> None:
    claim(pool, Unit(2, "branch", 1), "n2", 12, 500)
    beat(pool, "n2", 12, 500, iteration=2)

    def state() -> list[tuple[str, int, int]]:
        paths = sorted(pool.layout.root.rglob("*"))
        return [(str(p), p.lstat().st_mtime_ns, p.lstat().st_size) for p in paths]

    before = state()
    status_of(pool)
    assert state() == before


@pytest.mark.parametrize("what", ["pipe", "folder", "link", "empty", "junk", "huge", "long host"])
def test_hostile_heartbeats_and_leases(pool: Pool, what: str, tmp_path: Path) -> None:
    claim(pool, Unit(2, "branch", 0), "n1", 11, 3)
    paths = [
        beat(pool, "n1", 11, 3, iteration=2),
        pool.layout.iteration(2).lease(Unit(2, "branch", 0)),
    ]
    for path in paths:
        path.unlink()
        if what == "pipe":
            os.mkfifo(path)
        elif what == "folder":
            path.mkdir()
        elif what == "link":
            (tmp_path / "target").write_bytes(b"filelock/2\npid=1\nhost=x\n")
            path.symlink_to(tmp_path / "target")
        elif what == "huge":
            with open(path, "wb") as file:
                file.truncate(2**33)
        else:
            contents = {
                "empty": b"",
                "junk": b"\xff\x00{",
                "long host": b"pid=1\nhost=" + b"x" * 9999,
            }
            path.write_bytes(contents[what])
    status = status_of(pool)
    assert unit_of(status, "branch-000").state == "working"
    assert status.workers == []
    msgspec.json.encode(status)


def test_the_owner_of_a_lease(tmp_path: Path) -> None:
    assert lease_owner(b"filelock/2\npid=12\nhost=n1?pidns-f0000163\n") == ("n1", 12)
    assert lease_owner(b"") is None
    assert lease_owner("pid=١٢\nhost=n1".encode()) is None
    assert Store(tmp_path).read_dated(tmp_path / "nowhere") is None


def test_the_status_of_a_large_pool_is_fast(tmp_path: Path) -> None:
    spec = tiny_spec(pool__count=1000)
    pool = make_pool(tmp_path / "pool", spec, RunOptions(iterations=2))
    Worker(pool, StopCriteria(0)).run()
    for index in range(300):
        claim(pool, Unit(1, "branch", index), f"n{index}", 9, 0)
        beat(pool, f"n{index}", 9, 1, iteration=1, doing=f"branch-{index:03d}")
    start_time = time.process_time()
    status = status_of(pool)
    assert time.process_time() - start_time < 2.0
    assert status.counts == {"working": 300, "free": 701}
