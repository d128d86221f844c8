"""Units that fail: divergence, attempts, abandoned units and full disks."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from poolrl.config.run_options import RunOptions
from poolrl.errors import Divergence, PoolrlError
from poolrl.pool.directory import Pool, make_pool
from poolrl.records.work_units import Unit
from poolrl.storage.plain_files import StoreError
from poolrl.worker import unit_computation as compute
from poolrl.worker.unit_computation import Result, UnitComputation
from tests.conftest import tiny_spec
from tests.helpers.workers import work


def breaking(monkeypatch: pytest.MonkeyPatch, broken: Unit, error: Exception, times: int) -> None:
    """Let a unit's computation raise, a number of times."""
    real, left = UnitComputation.compute, [times]

    def compute(self: UnitComputation, unit: Unit, *given: Any) -> Result:
        if unit == broken and left[0]:
            left[0] -= 1
            raise error
        return real(self, unit, *given)

    monkeypatch.setattr(UnitComputation, "compute", compute)


def test_a_divergence_is_deposited_at_once_and_never_wins(
    tiny_pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = UnitComputation._evaluate

    def evaluate(self: UnitComputation, unit: Unit, agent: object) -> object:
        if unit == Unit(1, "branch", 1):
            raise Divergence("a return is not finite")
        return real(self, unit, agent)  # type: ignore[arg-type]

    monkeypatch.setattr(UnitComputation, "_evaluate", evaluate)
    history = work(tiny_pool)
    failed = [unit for unit in history.units if unit.status == "failed"]
    assert [(unit.unit, unit.reason) for unit in failed] == [
        (Unit(1, "branch", 1), "a return is not finite")
    ]
    assert history.merges[1].champion.index != 1
    assert not history.merges[1].timing_dependent


def test_a_passing_failure_is_an_attempt_and_changes_nothing(
    tiny_pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = work(make_pool(tmp_path / "other", tiny_spec(), RunOptions()))
    breaking(monkeypatch, Unit(1, "branch", 0), MemoryError("no memory"), times=2)
    for _ in range(2):
        # All else of the iteration is done first, and then the unit is left to another worker.
        with pytest.raises(PoolrlError, match="branch-000: MemoryError: no memory"):
            work(tiny_pool)
    history = work(tiny_pool)
    names = os.listdir(tiny_pool.layout.iteration(1).folder)
    assert sum("branch-000.attempt-" in name for name in names) == 2
    assert history.merges[-1].champion.sha256 == undisturbed.merges[-1].champion.sha256
    assert not history.merges[1].timing_dependent


def test_a_unit_that_fails_for_many_workers_is_abandoned(
    tiny_pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaking(monkeypatch, Unit(1, "branch", 2), RuntimeError("a bug"), times=99)
    for _ in range(3):
        with pytest.raises(PoolrlError, match="a bug"):
            work(tiny_pool)
    history = work(tiny_pool)
    record = next(unit for unit in history.units if unit.unit == Unit(1, "branch", 2))
    assert record.status == "abandoned"
    assert "3 attempts failed" in record.reason
    assert history.merges[1].timing_dependent
    assert history.merges[2].iteration == 2


def test_a_failing_unit_with_a_lease_that_is_never_removed_does_not_hang(
    tiny_pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaking(monkeypatch, Unit(1, "branch", 2), RuntimeError("a bug"), times=99)
    work(tiny_pool, iterations=0)
    layout = tiny_pool.layout.iteration(1)
    layout.folder.mkdir()
    marker = layout.lease(Unit(1, "branch", 2))
    marker.write_bytes(b"")
    os.utime(marker, (2**32, 2**32))
    for _ in range(3):
        with pytest.raises(PoolrlError, match="a bug"):
            work(tiny_pool, iterations=1)
    assert work(tiny_pool, iterations=1).merges[1].timing_dependent


def test_a_bad_machine_does_not_use_up_the_attempts(
    tiny_pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    work(tiny_pool, iterations=0)

    def compute(*_: object) -> Result:
        raise MemoryError("no memory")

    with monkeypatch.context() as patch:
        patch.setattr(UnitComputation, "compute", compute)
        for _ in range(2):
            with pytest.raises(PoolrlError, match="no memory"):
                work(tiny_pool)
    history = work(tiny_pool)
    assert {unit.status for unit in history.units} == {"done"}


def test_an_initial_agent_that_failed_is_made_once_it_can_be(
    tiny_pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaking(monkeypatch, Unit(0, "initial", 0), MemoryError("no memory"), times=5)
    for _ in range(5):
        with pytest.raises(PoolrlError, match="no memory"):
            work(tiny_pool)
    assert len(work(tiny_pool).merges) == 3


def test_a_metric_that_is_not_finite_is_a_divergence(tmp_path: Path) -> None:
    spec = tiny_spec(
        learner__name="reinforce",
        network__critic=[8],
        network__activation="relu",
        learner__baseline_learning_rate=1e8,
        learner__max_grad_norm=0,
        learner__minibatch_size=1,
    )
    history = work(make_pool(tmp_path / "pool", spec, RunOptions()), iterations=3)
    assert "failed" in {unit.status for unit in history.units}
    assert not list((tmp_path / "pool").rglob("*.corrupt-*"))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_bad_metric_of_an_agent_that_is_finite_is_a_divergence_too(
    tiny_pool: Pool, monkeypatch: pytest.MonkeyPatch, bad: float
) -> None:
    real = compute.train

    def train(*arguments: Any, **others: Any) -> object:
        return real(*arguments, **others)._replace(metrics={"train/value_loss": bad})

    monkeypatch.setattr(compute, "train", train)
    history = work(tiny_pool)
    branches = [unit for unit in history.units if unit.kind == "branch"]
    assert {unit.status for unit in branches} == {"failed"}
    assert {unit.reason for unit in branches} == {"train/value_loss is not finite"}


def test_all_branches_failing_keeps_the_parent(
    tiny_pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def evaluate(self: UnitComputation, unit: Unit, agent: object) -> object:
        if unit.kind == "branch":
            raise Divergence("a return is not finite")
        return real(self, unit, agent)  # type: ignore[arg-type]

    real = UnitComputation._evaluate
    monkeypatch.setattr(UnitComputation, "_evaluate", evaluate)
    history = work(tiny_pool)
    assert [merge.rule for merge in history.merges] == ["initial", *["no branch succeeded"] * 2]
    assert len({merge.champion.sha256 for merge in history.merges}) == 1


def test_an_initial_agent_that_diverges_ends_the_pool_with_its_reason(
    tiny_pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def evaluate(*_: object) -> object:
        raise Divergence("a return is not finite")

    monkeypatch.setattr(UnitComputation, "_evaluate", evaluate)
    with pytest.raises(PoolrlError, match="a return is not finite"):
        work(tiny_pool)


def test_a_full_disk_is_one_line(tiny_pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fsync

    def full(descriptor: int) -> None:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="cannot write: No space left on device"):
        work(tiny_pool)
    leases = [path for path in tiny_pool.layout.root.rglob("*.lease") if path.is_file()]
    assert leases == []
