"""Units computed again from the same champions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from poolrl.agent import Agent
from poolrl.config.run_options import RunOptions
from poolrl.errors import Divergence, PoolrlError
from poolrl.monitoring.verify import verify_files
from poolrl.pool.directory import Pool, make_pool
from poolrl.pool.stop_criteria import StopCriteria
from poolrl.records.records import UnitRecord
from poolrl.records.work_units import Unit
from poolrl.worker.loop import Worker
from poolrl.worker.recomputation import Recomputer
from poolrl.worker.unit_computation import UnitComputation
from tests.conftest import tiny_spec
from tests.helpers.damage import edit, relist

ITERATIONS = 2


def finished(root: Path, given: bytes | None = None, **spec: object) -> Pool:
    pool = make_pool(root, tiny_spec(**spec), RunOptions(keep="all"), given)
    Worker(pool, StopCriteria(ITERATIONS)).run()
    return pool


def differences(pool: Pool, *units: Unit) -> list[str]:
    """Of some units, or all of them."""
    verified = verify_files(pool)
    assert verified.discrepancies == []
    recomputer = Recomputer(pool)
    return [
        str(discrepancy)
        for record in verified.recomputable_records()
        if record.unit in units or not units
        for discrepancy in recomputer.differences(record, verified.starting_merge(record.unit))
    ]


def record_of(pool: Pool, unit: Unit) -> Path:
    return pool.layout.iteration(unit.iteration).record(unit)


def a_loser(pool: Pool) -> Unit:
    """A branch of the last iteration that is not its champion."""
    champion = pool.deposit_store().merge(ITERATIONS).champion
    index = 0 if (champion.iteration, champion.index) != (ITERATIONS, 0) else 1
    return Unit(ITERATIONS, "branch", index)


def test_every_unit_comes_out_the_same(tmp_path: Path) -> None:
    pool = finished(tmp_path / "pool")
    assert len(verify_files(pool).recomputable_records()) == 1 + 4 * ITERATIONS + 1
    assert differences(pool) == []


def test_what_a_real_learner_gives_comes_out_the_same(tmp_path: Path) -> None:
    learner = {"learner__name": "ppo", "network__actor": [8], "network__critic": [8]}
    pool = finished(
        tmp_path / "pool",
        **learner,
        pool__count=2,
        branches__learning_rate=[1e-3, 1e-2],
        task__id="InvertedPendulum-v5",
        task__max_episode_steps=30,
    )
    assert differences(pool) == []


def test_a_pool_that_was_given_its_agent(tmp_path: Path) -> None:
    first = finished(tmp_path / "first")
    deposit_store = first.deposit_store()
    last = deposit_store.merge(ITERATIONS)
    given = deposit_store.champion(last.champion)
    second = finished(
        tmp_path / "second",
        given,
        initial_agent_sha256=last.champion.sha256,
        task__max_episode_steps=6,
    )
    assert differences(second) == []


def test_a_metric_that_no_rule_can_check(tmp_path: Path) -> None:
    pool = finished(tmp_path / "pool")
    unit = Unit(1, "branch", 2)
    edit(record_of(pool, unit), lambda r: r["training"]["metrics"].update({"rollout/x": 1.0}))
    edit(record_of(pool, unit), lambda r: r["training"].update(updates=9))
    assert differences(pool, Unit(1, "branch", 1)) == []
    found = differences(pool, unit)
    path = "iterations/000001/branch-002.json"
    assert f"{path}: training.updates: 9 recorded, 1 computed here" in found
    assert f"{path}: training.metrics.rollout/x: 1.0 recorded, nothing computed here" in found
    assert len(found) == 2


def forge(pool: Pool, unit: Unit) -> None:
    """Put another agent in the place of a unit's, with right names and hashes everywhere."""
    deposit_store, path = pool.deposit_store(), record_of(pool, unit)
    old = json.loads(path.read_bytes())["agent"]
    data = (pool.layout.root / old["path"]).read_bytes()
    agent = Agent.from_bytes(data)
    arrays = {
        name: array + 1 if name.startswith("actor") else array
        for name, array in agent.arrays.items()
    }
    reference = deposit_store.publish_agent(unit, Agent(arrays, agent.metadata).to_bytes())
    new = {"path": reference.path, "sha256": reference.sha256}
    edit(path, lambda record: record.update(agent=new))
    relist(pool.layout.root, path)


def test_a_forged_agent_is_found_and_other_versions_are_told(tmp_path: Path) -> None:
    pool = finished(tmp_path / "pool")
    unit = a_loser(pool)
    forge(pool, unit)
    path = pool.layout.relative(record_of(pool, unit))
    (found,) = differences(pool, unit)
    assert found.startswith(f"{path}: agent.sha256: ")
    edit(record_of(pool, unit), lambda r: r["worker"]["versions"].update(numpy="1.0", cpu="Z80"))
    _, versions = differences(pool, unit)
    assert versions.startswith(f"{path}: worker.versions: the deposit was made with ")
    assert "numpy 1.0 (" in versions
    assert "cpu Z80 (" in versions
    # Other versions alone are no difference.
    other = Unit(ITERATIONS, "parent", 0)
    edit(record_of(pool, other), lambda r: r["worker"]["versions"].update(numpy="1.0"))
    assert differences(pool, other) == []


def test_a_failed_branch_fails_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, unit = UnitComputation._evaluate, Unit(1, "branch", 1)

    def evaluate(self: UnitComputation, unit_: Unit, agent: Agent) -> object:
        if unit_ == unit:
            raise Divergence("a return is not finite")
        return real(self, unit_, agent)

    with monkeypatch.context() as patch:
        patch.setattr(UnitComputation, "_evaluate", evaluate)
        pool = finished(tmp_path / "pool")
        assert differences(pool) == []
    found = differences(pool, unit)
    assert any("status: failed recorded, done computed here" in difference for difference in found)


def test_what_cannot_be_computed_here_is_no_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = finished(tmp_path / "pool")

    def compute(*_: object) -> object:
        raise MemoryError("no memory")

    monkeypatch.setattr(UnitComputation, "compute", compute)
    with pytest.raises(PoolrlError, match=r"initial-000\.json: cannot be computed again: Mem"):
        differences(pool)


def test_a_champion_that_is_no_agent_is_a_discrepancy(tmp_path: Path) -> None:
    pool = finished(tmp_path / "pool")
    verified = verify_files(pool)
    start = verified.merges[0]
    (pool.layout.root / start.champion.path).write_bytes(b"nothing of the kind")
    record: UnitRecord = verified.units[Unit(1, "branch", 0)]
    (found,) = Recomputer(pool).differences(record, start)
    assert "cannot be computed again" in str(found)
    assert "missing or damaged" in str(found)
