"""Real workers that hang, stop, die or fail for ever; the pool goes on, or says why it cannot."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from poolrl.config.run_options import RunOptions
from poolrl.monitoring.history import History
from poolrl.pool.directory import Pool, make_pool
from poolrl.records.work_units import Unit
from tests.conftest import tiny_spec
from tests.helpers.pools import champions
from tests.helpers.processes import (
    ITERATIONS,
    at_work_on,
    ended,
    leftovers,
    odd,
    run,
    said_by,
    start,
)
from tests.helpers.waiting import until

Started = subprocess.Popen[bytes]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return champions(run(tmp_path_factory.mktemp("undisturbed") / "pool", workers=1))


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    return make_pool(tmp_path / "pool", tiny_spec(), RunOptions())


def test_a_unit_whose_worker_hangs_is_doubled(pool: Pool, undisturbed: list[str]) -> None:
    hung = odd(pool, "hang natively", "in branch 1")
    with ended(hung):
        until(at_work_on(pool, Unit(1, "branch", 1)))
        said = said_by(start(pool))
        assert "iteration 1 branch-001: straggler; computing backup copy 1" in said
        assert hung.poll() is None
        assert at_work_on(pool, Unit(1, "branch", 1))()  # and its lease is kept alive
    assert champions(pool) == undisturbed


def test_an_initial_unit_whose_worker_hangs_is_doubled(
    tmp_path: Path, undisturbed: list[str]
) -> None:
    spec = tiny_spec(pool__lease_duration=0.3)
    pool = make_pool(tmp_path / "pool", spec, RunOptions())
    hung = odd(pool, "hang", "in a unit")
    with ended(hung):
        until(at_work_on(pool, Unit(0, "initial", 0)))
        assert "initial-000: straggler; computing backup copy 1" in said_by(start(pool))
    assert len(champions(pool)) == ITERATIONS + 1


def test_a_stopped_worker_that_wakes_finds_its_pool_merged_and_leaves_nothing(
    pool: Pool, undisturbed: list[str]
) -> None:
    asleep = odd(pool, "stop", "in branch 1")
    with ended(asleep):
        until(at_work_on(pool, Unit(1, "branch", 1)))
        said_by(start(pool))
        assert champions(pool) == undisturbed
        before = {path for path in pool.layout.root.rglob("*") if "workers" not in path.parts}
        os.kill(asleep.pid, signal.SIGCONT)
        assert "iteration 1 branch-001: already merged; result dropped" in said_by(asleep)
    after = {path for path in pool.layout.root.rglob("*") if "workers" not in path.parts}
    # The stale lease that was taken over may be gone; nothing else is, and nothing is new.
    assert after <= before
    assert {path.suffix for path in before - after} <= {".lease"}
    assert champions(pool) == undisturbed


def test_a_stopped_worker_that_wakes_between_agent_and_record_leaves_nothing(
    pool: Pool, undisturbed: list[str]
) -> None:
    asleep = odd(pool, "stop", "between agent and record", 2)
    with ended(asleep):
        until(lambda: list(pool.layout.root.glob("iterations/000001/branch-*.safetensors")))
        said_by(start(pool))
        os.kill(asleep.pid, signal.SIGCONT)
        assert "already deposited by another worker" in said_by(asleep)
    history = History(pool)
    history.refresh()
    agents = {str(path) for path in pool.layout.root.rglob("*.safetensors")}
    assert agents == {str(pool.layout.resolve(merge.champion.path)) for merge in history.merges}
    assert champions(pool) == undisturbed


def test_a_unit_that_nobody_can_finish_is_left_behind(pool: Pool) -> None:
    options = ["--branch-timeout", "3s", "--min-deposits", "2"]
    workers = [odd(pool, "hang", "in branch 1", 1, *options) for _ in range(2)]
    with ended(*workers):
        said = [said_by(worker) for worker in workers]
    assert "iteration 1: merged without 1 deposits" in "".join(said)
    history = History(pool)
    history.refresh()
    first = history.merges[1]
    assert first.timing_dependent
    assert [(d.kind, d.index) for d in first.deposits] == [
        ("branch", 0),
        ("branch", 2),
        ("parent", 0),
    ]
    assert [merge.timing_dependent for merge in history.merges] == [
        False,
        True,
        False,
        False,
        False,
    ]
    assert leftovers(pool) == []


def test_too_few_deposits_are_not_merged_however_late_it_is(pool: Pool) -> None:
    options = ["--branch-timeout", "1s", "--min-deposits", "3", "--stall-timeout", "4s"]
    worker = odd(pool, "hang", "in branch 1", 1, *options)
    with ended(worker):
        said = said_by(worker, code=3)
    assert "stalled: nothing new in iteration 1 for 4 s" in said
    assert not pool.layout.iteration(1).merge.exists()


def test_a_unit_that_kills_its_workers_is_given_up_where_the_pool_may(tmp_path: Path) -> None:
    spec = tiny_spec(pool__lease_duration=0.3, pool__count=2)
    pool = make_pool(tmp_path / "pool", spec, RunOptions())
    for _ in range(spec.pool.max_attempts + 1):
        victim = odd(pool, "die", "in branch 1", 1, "--branch-timeout", "60s")
        with ended(victim):
            said_by(victim, code=-signal.SIGKILL)
    said_by(start(pool, 2, "--branch-timeout", "60s"))
    record = json.loads(pool.layout.iteration(1).record(Unit(1, "branch", 1)).read_text())
    assert record["status"] == "abandoned"
    merge = json.loads(pool.layout.iteration(1).merge.read_text())
    assert merge["timing_dependent"]


@pytest.mark.parametrize("behaviour", ["hang", "hang natively"])
def test_a_pool_in_which_nothing_moves_ends(pool: Pool, behaviour: str) -> None:
    hung = odd(pool, behaviour, "in branch 1", 1, "--stall-timeout", "2s")
    with ended(hung):
        until(at_work_on(pool, Unit(1, "branch", 1)))
        said = said_by(hung, code=3)
    if behaviour == "hang":
        assert said.splitlines()[-1].startswith(f"poolrl: {pool.layout.root}: stalled: nothing new")
        assert "this worker working branch-001" in said
        assert leftovers(pool) == []
    assert "Traceback" not in said


def test_a_pool_without_a_branch_that_succeeds_ends(pool: Pool) -> None:
    said = said_by(
        odd(pool, "diverge", "in every branch", 1, "--max-failed-iterations", "2"), code=1
    )
    assert (
        f"poolrl: {pool.layout.root}: no branch succeeded in the last 2 iterations: a return is "
        "not finite"
    ) in said
    assert not pool.layout.iteration(3).folder.exists()
    # The same again changes nothing, and a higher limit continues.
    said_by(odd(pool, "diverge", "in every branch", 1, "--max-failed-iterations", "2"), code=1)
    said_by(start(pool, 3, "--max-failed-iterations", "3"))
    history = History(pool)
    history.refresh()
    assert [merge.failed_iterations for merge in history.merges] == [0, 1, 2, 0]


def test_a_worker_tells_what_it_does(pool: Pool) -> None:
    hung = odd(pool, "hang", "in branch 1")
    with ended(hung):
        until(lambda: list(pool.layout.workers.glob("*.json")))
        (path,) = pool.layout.workers.glob("*.json")
        until(lambda: json.loads(path.read_text())["doing"] == "branch-001")
        beat = json.loads(path.read_text())
        assert (beat["state"], beat["iteration"]) == ("working", 1)
        assert beat["worker"]["pid"] == hung.pid
        hung.terminate()
        said_by(hung, code=75)
    assert not path.exists()  # who leaves of its own accord is no riddle
