"""One worker in this process: failures, damage, lateness, rates that survive a merge."""

from __future__ import annotations

import dataclasses
import os
import stat
from pathlib import Path

import mujoco
import pytest
from msgspec.structs import replace

from poolrl.config.schema import RunOptions
from poolrl.errors import Divergence, IncompatiblePool, PoolrlError, UsageError
from poolrl.monitoring.history import History
from poolrl.pool.directory import Pool, make_pool
from poolrl.pool.stop_criteria import Ending
from poolrl.records.records import UnitRecord, decode, encode
from poolrl.records.work_units import Unit
from poolrl.storage.deposits import Archive
from poolrl.storage.store import StoreError
from poolrl.tasks.mujoco.model import load_model, model_sha256
from poolrl.worker import unit_computation as compute
from poolrl.worker.loop import Worker
from poolrl.worker.unit_computation import Computer, Result
from tests.conftest import tiny_spec


def work(pool: Pool, iterations: int = 2, **options: object) -> History:
    Worker(pool, Ending(iterations), **options).run()  # type: ignore[arg-type]
    history = History(pool)
    history.refresh()
    return history


def breaking(monkeypatch: pytest.MonkeyPatch, broken: Unit, error: Exception, times: int) -> None:
    """Let a unit's computation raise, a number of times."""
    real, left = Computer.compute, [times]

    def compute(self: Computer, unit: Unit, champion: object) -> Result:
        if unit == broken and left[0]:
            left[0] -= 1
            raise error
        return real(self, unit, champion)  # type: ignore[arg-type]

    monkeypatch.setattr(Computer, "compute", compute)


def test_a_divergence_is_deposited_at_once_and_never_wins(
    tiny_pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Computer._evaluate

    def evaluate(self: Computer, unit: Unit, agent: object) -> object:
        if unit == Unit(1, "branch", 1):
            raise Divergence("a return is not finite")
        return real(self, unit, agent)  # type: ignore[arg-type]

    monkeypatch.setattr(Computer, "_evaluate", evaluate)
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


def test_a_failing_unit_with_a_marker_that_never_yields_is_no_hang(
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


def test_a_bad_machine_does_not_eat_up_the_attempts(
    tiny_pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    work(tiny_pool, iterations=0)

    def compute(*_: object) -> Result:
        raise MemoryError("no memory")

    with monkeypatch.context() as patch:
        patch.setattr(Computer, "compute", compute)
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

    def train(*arguments: object) -> object:
        return real(*arguments)._replace(metrics={"train/value_loss": bad})  # type: ignore[arg-type]

    monkeypatch.setattr(compute, "train", train)
    history = work(tiny_pool)
    branches = [unit for unit in history.units if unit.kind == "branch"]
    assert {unit.status for unit in branches} == {"failed"}
    assert {unit.reason for unit in branches} == {"train/value_loss is not finite"}


def test_a_lost_standing_champion_ends_the_pool(
    tiny_pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def evaluate(self: Computer, unit: Unit, agent: object) -> object:
        if unit.kind == "branch":
            for path in tiny_pool.layout.iteration(0).folder.glob("*.safetensors"):
                path.unlink()
            raise Divergence("a return is not finite")
        return real(self, unit, agent)  # type: ignore[arg-type]

    real = Computer._evaluate
    monkeypatch.setattr(Computer, "_evaluate", evaluate)
    with pytest.raises(IncompatiblePool, match="missing or damaged"):
        work(tiny_pool)
    assert tiny_pool.layout.iteration(0).record(Unit(0, "initial", 0)).exists()


def test_a_deposit_of_a_later_version_is_left_alone(tiny_pool: Pool) -> None:
    work(tiny_pool, iterations=1)
    layout = tiny_pool.layout.iteration(1)
    layout.merge.unlink()
    path = layout.record(Unit(1, "branch", 1))
    newer = path.read_bytes().replace(b'"schema":1', b'"schema":2,"more":3')
    path.write_bytes(newer)
    with pytest.raises(IncompatiblePool, match="schema 2 is newer"):
        work(tiny_pool)
    assert path.read_bytes() == newer


def test_another_model_is_refused(tmp_path: Path) -> None:
    model = tmp_path / "mine.xml"
    source = load_model("swimmer.xml")
    mujoco.mj_saveLastXML(str(model), source)
    kwargs = {"task__id": "Swimmer-v5", "task__kwargs.xml_file": str(model)}
    spec = tiny_spec(**kwargs, task__model_sha256=model_sha256(load_model(str(model))))
    pool = make_pool(tmp_path / "pool", spec, RunOptions())
    Worker(pool, Ending(0)).run()
    load_model.cache_clear()
    model.write_text(model.read_text().replace('viscosity="0.1"', 'viscosity="0.2"'))
    with pytest.raises(IncompatiblePool, match=r"task\.model_sha256"):
        Worker(pool, Ending(1))
    # Another version of MuJoCo compiles another model, which is a warning.
    Worker(dataclasses.replace(pool, made_with={"mujoco": "3.0.0"}), Ending(0))


def test_all_branches_failing_keeps_the_parent(
    tiny_pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def evaluate(self: Computer, unit: Unit, agent: object) -> object:
        if unit.kind == "branch":
            raise Divergence("a return is not finite")
        return real(self, unit, agent)  # type: ignore[arg-type]

    real = Computer._evaluate
    monkeypatch.setattr(Computer, "_evaluate", evaluate)
    history = work(tiny_pool)
    assert [merge.rule for merge in history.merges] == ["initial", *["no branch succeeded"] * 2]
    assert len({merge.champion.sha256 for merge in history.merges}) == 1


def test_an_initial_agent_that_diverges_ends_the_pool_with_its_reason(
    tiny_pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def evaluate(*_: object) -> object:
        raise Divergence("a return is not finite")

    monkeypatch.setattr(Computer, "_evaluate", evaluate)
    with pytest.raises(PoolrlError, match="a return is not finite"):
        work(tiny_pool)


def test_damaged_deposits_are_set_aside_and_done_again(tmp_path: Path) -> None:
    spec = tiny_spec(selection__keep_parent=False)
    undisturbed = work(make_pool(tmp_path / "other", spec, RunOptions()))
    pool = make_pool(tmp_path / "pool", spec, RunOptions())
    work(pool, iterations=1, run=RunOptions(keep="all"))
    layout = pool.layout.iteration(1)
    layout.merge.unlink()
    winner = undisturbed.merges[1].champion
    loser = (winner.index + 1) % 3
    # A damaged agent file keeps its name, so the new one of that name must take its place.
    pool.layout.resolve(winner.path).write_bytes(b"other bytes")
    layout.record(Unit(1, "branch", loser)).write_bytes(b'{"torn')
    history = work(pool)
    assert history.merges[-1].champion.sha256 == undisturbed.merges[-1].champion.sha256
    aside = [name for name in os.listdir(layout.folder) if ".corrupt-" in name]
    assert any(name.startswith(f"branch-{loser:03d}.json.corrupt-") for name in aside)
    assert any(name.startswith(f"branch-{winner.index:03d}.json.corrupt-") for name in aside)


def test_a_deposit_that_started_from_another_agent_is_done_again(
    tiny_pool: Pool, tmp_path: Path
) -> None:
    undisturbed = work(make_pool(tmp_path / "other", tiny_spec(), RunOptions()))
    work(tiny_pool, iterations=1)
    layout = tiny_pool.layout.iteration(1)
    layout.merge.unlink()
    path = layout.record(Unit(1, "branch", 1))
    record = decode(path.read_bytes(), UnitRecord)
    path.write_bytes(encode(replace(record, parent_sha256="0" * 64)))
    history = work(tiny_pool)
    assert len(list(layout.folder.glob("branch-001.json.corrupt-*"))) == 1
    assert history.merges[-1].champion.sha256 == undisturbed.merges[-1].champion.sha256


def test_what_a_damaged_deposit_says_is_told_without_what_moves_a_cursor(
    tiny_pool: Pool, caplog: pytest.LogCaptureFixture
) -> None:
    work(tiny_pool, iterations=1)
    layout = tiny_pool.layout.iteration(1)
    layout.merge.unlink()
    layout.record(Unit(1, "branch", 1)).write_text(
        '{"schema":1,"seconds":{"x":{"\x9b2J\u2028":1}}}', encoding="utf-8"
    )
    work(tiny_pool)
    assert "set aside" in caplog.text
    assert all(record.getMessage().isprintable() for record in caplog.records)


def test_a_champion_that_is_damaged_later_is_an_incompatible_pool(tiny_pool: Pool) -> None:
    history = work(tiny_pool)
    path = tiny_pool.layout.resolve(history.merges[-1].champion.path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(IncompatiblePool, match="missing or damaged"):
        work(tiny_pool, iterations=3)


def test_what_is_late_is_dropped(tiny_pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    # While this worker computes a branch, another one finishes the whole pool.
    real, entered = Computer.compute, []

    def compute(self: Computer, unit: Unit, champion: object) -> Result:
        result = real(self, unit, champion)  # type: ignore[arg-type]
        if unit == Unit(1, "branch", 1) and not entered:
            entered.append(True)
            os.unlink(tiny_pool.layout.iteration(1).lease(unit))
            work(tiny_pool)
        return result

    monkeypatch.setattr(Computer, "compute", compute)
    Worker(tiny_pool, Ending(2), prefer=1).run()
    assert entered
    for iteration in (1, 2):
        folder = tiny_pool.layout.iteration(iteration).folder
        agents = [name for name in os.listdir(folder) if name.endswith(".safetensors")]
        champion = Archive(tiny_pool).merge(iteration).champion.path.rpartition("/")[2]
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
    Worker(tiny_pool, Ending(iterations=100, target_return=-1e9)).run()
    history = History(tiny_pool)
    history.refresh()
    assert len(history.merges) == 2  # the first re-evaluation is in iteration 1
    assert history.closing is not None


def test_a_deadline_ends_the_pool_after_the_initial_agent(tiny_pool: Pool) -> None:
    Worker(tiny_pool, Ending(iterations=100, deadline=1.0)).run()
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


def test_an_unknown_task_is_told_before_any_work(tmp_path: Path) -> None:
    pool = make_pool(tmp_path / "pool", tiny_spec(task__id="Nowhere-v0"), RunOptions())
    with pytest.raises(UsageError, match=r"task\.id"):
        Worker(pool, Ending(1))


def test_records_account_for_a_workers_time(tiny_pool: Pool) -> None:
    history = work(tiny_pool)
    told = {phase for unit in history.units for phase in unit.seconds}
    assert {"training", "evaluation", "load", "look", "claim", "publish", "merge"} <= told
    assert all(s.wall >= 0 and s.cpu >= 0 for unit in history.units for s in unit.seconds.values())
    assert history.core_a_branch_seconds() > 0


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
