"""One worker in this process: its end, late deposits, retention, hyperparameters and records."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from poolrl.config.run_options import RunOptions
from poolrl.errors import IncompatiblePool, UsageError
from poolrl.monitoring.history import History
from poolrl.pool.directory import Pool, make_pool
from poolrl.pool.stop_criteria import StopCriteria
from poolrl.records.work_units import Unit
from poolrl.tasks.mujoco.model import load_model, model_sha256
from poolrl.worker.loop import Worker
from poolrl.worker.unit_computation import Result, UnitComputation
from tests.conftest import tiny_spec
from tests.helpers.models import copy_gymnasium_model
from tests.helpers.workers import work


def test_slow_imports_wait_until_they_are_used() -> None:
    code = (
        "import sys, poolrl.worker.loop; "
        "sys.exit(bool({'torch', 'scipy.signal', 'scipy.stats', 'pandas'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_another_model_is_refused(tmp_path: Path) -> None:
    model = tmp_path / "mine.xml"
    copy_gymnasium_model("swimmer.xml", model)
    kwargs = {"task__id": "Swimmer-v5", "task__kwargs.xml_file": str(model)}
    spec = tiny_spec(**kwargs, task__model_sha256=model_sha256(load_model(str(model))))
    pool = make_pool(tmp_path / "pool", spec, RunOptions())
    Worker(pool, StopCriteria(0)).run()
    load_model.cache_clear()
    model.write_text(model.read_text().replace('viscosity="0.1"', 'viscosity="0.2"'))
    with pytest.raises(IncompatiblePool, match=r"task\.model_sha256"):
        Worker(pool, StopCriteria(1))
    # Another version of MuJoCo compiles another model, which is a warning.
    Worker(dataclasses.replace(pool, made_with={"mujoco": "3.0.0"}), StopCriteria(0))


def test_a_late_deposit_is_dropped(tiny_pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    # While this worker computes a branch, another one finishes the whole pool.
    real, entered = UnitComputation.compute, []

    def compute(self: UnitComputation, unit: Unit, *given: Any) -> Result:
        result = real(self, unit, *given)
        if unit == Unit(1, "branch", 1) and not entered:
            entered.append(True)
            os.unlink(tiny_pool.layout.iteration(1).lease(unit))
            work(tiny_pool)
        return result

    monkeypatch.setattr(UnitComputation, "compute", compute)
    Worker(tiny_pool, StopCriteria(2), prefer=1).run()
    assert entered
    for iteration in (1, 2):
        folder = tiny_pool.layout.iteration(iteration).folder
        agents = [name for name in os.listdir(folder) if name.endswith(".safetensors")]
        champion = tiny_pool.deposit_store().merge(iteration).champion.path.rpartition("/")[2]
        assert set(agents) <= {champion}


def test_losers_agents_go_or_stay(tiny_pool: Pool, tmp_path: Path) -> None:
    def agents(pool: Pool) -> int:
        return len(list(pool.layout.iteration(1).folder.glob("*.safetensors")))

    history = work(tiny_pool)
    assert agents(tiny_pool) == (history.merges[1].champion.kind == "branch")
    other = make_pool(tmp_path / "other", tiny_spec(), RunOptions())
    work(other, run=RunOptions(keep="all"))
    assert agents(other) == 3


def test_branch_values_survive_merges(tmp_path: Path) -> None:
    rates = [0.01, 0.1, 0.3]
    spec = tiny_spec(branches__learning_rate=rates)
    history = work(make_pool(tmp_path / "pool", spec, RunOptions()), iterations=3)
    for iteration in (1, 2, 3):
        branches = [
            unit for unit in history.units if unit.iteration == iteration and unit.kind == "branch"
        ]
        assert [unit.hyperparameters["learning_rate"] for unit in branches] == rates


def test_a_target_ends_the_pool(tiny_pool: Pool) -> None:
    Worker(tiny_pool, StopCriteria(iterations=100, target_return=-1e9)).run()
    history = History(tiny_pool)
    history.refresh()
    assert len(history.merges) == 2  # the first re-evaluation is in iteration 1
    assert history.closing is not None


def test_a_deadline_ends_the_pool_after_the_initial_agent(tiny_pool: Pool) -> None:
    Worker(tiny_pool, StopCriteria(iterations=100, deadline=1.0)).run()
    history = History(tiny_pool)
    history.refresh()
    assert len(history.merges) == 1
    assert history.closing is not None


def test_evaluation_seeds_are_common_and_new_each_iteration(tiny_pool: Pool) -> None:
    first, second = Unit(1, "branch", 0), Unit(1, "branch", 1)
    assert first.evaluation_key == second.evaluation_key == Unit(1, "parent", 0).evaluation_key
    assert first.evaluation_key != Unit(2, "branch", 0).evaluation_key
    assert first.training_key != second.training_key
    assert Unit(1, "closing", 0).evaluation_key != first.evaluation_key
    history = work(tiny_pool)
    kept = [unit for unit in history.units if unit.kind == "parent"]
    assert all(unit.evaluation and len(unit.evaluation.returns) == 3 for unit in kept)


def test_an_unknown_task_is_reported_before_any_work(tmp_path: Path) -> None:
    pool = make_pool(tmp_path / "pool", tiny_spec(task__id="Nowhere-v0"), RunOptions())
    with pytest.raises(UsageError, match=r"task\.id"):
        Worker(pool, StopCriteria(1))


def test_records_account_for_a_workers_time(tiny_pool: Pool) -> None:
    history = work(tiny_pool)
    phases = {phase for unit in history.units for phase in unit.seconds}
    assert {"training", "evaluation", "load", "look", "claim", "publish", "merge"} <= phases
    assert all(s.wall >= 0 and s.cpu >= 0 for unit in history.units for s in unit.seconds.values())
    assert history.seconds_with_one_core_per_branch() > 0


def test_a_worker_elsewhere_is_let_in_with_a_warning(
    tiny_pool: Pool, caplog: pytest.LogCaptureFixture
) -> None:
    assert work(tiny_pool, iterations=0).units[0].worker.differs == ()
    elsewhere = {**tiny_pool.made_with, "numpy": "1.0", "blas": "another 3"}
    history = work(dataclasses.replace(tiny_pool, made_with=elsewhere), iterations=1)
    first = [unit for unit in history.units if unit.iteration == 1]
    assert {unit.worker.differs for unit in first} == {("numpy", "blas")}
    assert "numpy: 1.0 → " in caplog.text
    assert "blas: another 3 → " in caplog.text
