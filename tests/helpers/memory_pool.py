"""A pool in memory with a clock moved by hand, and workers in this process that share it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from poolrl.config.run_options import RunOptions
from poolrl.errors import Divergence
from poolrl.pool.directory import make_pool
from poolrl.pool.stop_criteria import StopCriteria
from poolrl.records.records import MergeRecord, UnitRecord
from poolrl.records.work_units import Unit
from poolrl.storage.memory import MemoryClaims, MemoryStore
from poolrl.worker.loop import Worker
from poolrl.worker.unit_computation import Result, UnitComputation
from tests.conftest import tiny_spec
from tests.helpers.manual_clock import ManualClock

LEASE_SECONDS = 2.0


class Scene:
    """A pool in memory, and the workers that share it."""

    def __init__(self, root: Path, **spec: object) -> None:
        self.clock = ManualClock()
        self.store = MemoryStore(root, self.clock)
        self.pool = make_pool(root, tiny_spec(**spec), RunOptions(), store=self.store)
        self.deposits = self.pool.deposit_store()

    def claims(self) -> MemoryClaims:
        return MemoryClaims(self.store, LEASE_SECONDS, self.clock)

    def worker(self, iterations: int = 1, **options: Any) -> Worker:
        criteria = StopCriteria(iterations, clock=self.clock)
        return Worker(self.pool, criteria, clock=self.clock, claims=self.claims(), **options)

    def work(self, iterations: int = 1, **options: Any) -> MergeRecord:
        return self.worker(iterations, **options).run()

    def holder(self, unit: Unit, copy: int = 0) -> MemoryClaims:
        """Another worker that has claimed a unit of iteration 1, and is alive."""
        self.work(0)
        layout = self.pool.layout.iteration(unit.iteration)
        self.store.make_folder(layout.folder)
        claims = self.claims()
        assert claims.claim(layout.lease(unit, copy))
        return claims

    def record(self, unit: Unit) -> UnitRecord:
        record = self.deposits.record(unit)
        assert record is not None
        return record

    def seconds_of(self, action: Callable[[], object]) -> float:
        start = self.clock.monotonic()
        action()
        return self.clock.monotonic() - start


def patch_compute(
    monkeypatch: pytest.MonkeyPatch, before: Callable[[Unit], object] = lambda unit: None
) -> None:
    """Call something before each unit is computed."""
    real = UnitComputation.compute

    def compute(self: UnitComputation, unit: Unit, *given: Any) -> Result:
        before(unit)
        return real(self, unit, *given)

    monkeypatch.setattr(UnitComputation, "compute", compute)


def patch_evaluate(monkeypatch: pytest.MonkeyPatch, diverges: Callable[[Unit], bool]) -> None:
    """Let units diverge."""
    real = UnitComputation._evaluate

    def evaluate(self: UnitComputation, unit: Unit, agent: Any) -> Any:
        if diverges(unit):
            raise Divergence("a return is not finite")
        return real(self, unit, agent)

    monkeypatch.setattr(UnitComputation, "_evaluate", evaluate)


def with_a_late_branch(root: Path, monkeypatch: pytest.MonkeyPatch, **keys: object) -> Scene:
    """A pool whose third branch another worker holds, and nobody computes a copy of."""
    scene = Scene(root / "nowhere", **keys)
    scene.holder(Unit(1, "branch", 2))
    monkeypatch.setattr(
        "poolrl.worker.stragglers.StragglerDetector.stragglers", lambda self, snapshot: []
    )
    return scene
