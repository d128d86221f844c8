"""Pools whose branches share experience."""

from __future__ import annotations

from pathlib import Path

from poolrl.config.run_options import RunOptions
from poolrl.pool.directory import Pool, make_pool
from poolrl.pool.stop_criteria import StopCriteria
from poolrl.records.records import MergeRecord, UnitRecord
from poolrl.records.work_units import Unit
from poolrl.worker.loop import Worker
from tests.conftest import tiny_spec
from tests.helpers.memory_pool import Scene

UPDATE = {
    "selection__keep_parent": False,
    "merge__rule": "update",
    "learner__name": "ppo",
    "learner__minibatch_size": 4,
}

MADE = Unit(1, "update", 0)


def work(root: Path, iterations: int = 3, keep: str = "champions", **keys: object) -> Pool:
    pool = make_pool(root, tiny_spec(**UPDATE | keys), RunOptions(iterations))
    Worker(pool, StopCriteria(iterations), run=RunOptions(iterations, keep=keep)).run()
    return pool


def record(pool: Pool, unit: Unit) -> UnitRecord:
    found = pool.deposit_store().record(unit)
    assert found is not None
    return found


def merges(pool: Pool) -> list[MergeRecord]:
    deposits = pool.deposit_store()
    return [deposits.merge(number) for number in deposits.iterations()]


def scenes(root: Path) -> tuple[Scene, Scene]:
    """A pool, and one of the same specification that is finished undisturbed."""
    undisturbed = Scene(root / "undisturbed", **UPDATE)
    undisturbed.work(2)
    return Scene(root / "nowhere", **UPDATE), undisturbed


def champions(scene: Scene) -> list[str]:
    return [scene.deposits.merge(number).champion.sha256 for number in scene.deposits.iterations()]
