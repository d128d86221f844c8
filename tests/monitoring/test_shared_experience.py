"""Pools whose branches share experience: what stays of them, verification, reports."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from poolrl.monitoring.current_iteration import CurrentIteration
from poolrl.monitoring.heartbeats import HeartbeatReader, ServerClock
from poolrl.monitoring.history import History
from poolrl.monitoring.pool_status import StatusReader
from poolrl.monitoring.verify import verify_files
from poolrl.pool.directory import Pool
from poolrl.records.records import Seconds
from poolrl.records.work_units import KindName, Unit, second_stage_of, units_of
from poolrl.report.plot import plot_bytes
from tests.helpers.command_line import in_process
from tests.helpers.deposits import sha256
from tests.helpers.memory_pool import Scene
from tests.helpers.shared_experience import UPDATE, work


def files_of(pool: Pool, iteration: int, start: str) -> list[str]:
    folder = pool.layout.iteration(iteration).folder
    return sorted(p.name for p in folder.glob(f"{start}-*.safetensors"))


@pytest.mark.parametrize(("keep", "stay"), [("champions", 0), ("last:2", 2), ("all", 4)])
def test_rollouts_go_with_the_agents_of_their_iteration(
    tmp_path: Path, keep: str, stay: int
) -> None:
    pool = work(tmp_path / "pool", 4, keep=keep)
    kept = [number for number in range(1, 5) if files_of(pool, number, "rollout")]
    assert kept == list(range(5 - stay, 5))
    assert all(len(files_of(pool, number, "rollout")) == 3 for number in kept)
    assert all(len(files_of(pool, number, "update")) == 1 for number in range(1, 5))
    done = in_process("prune", "pool", "--keep", "champions", cwd=tmp_path)
    assert done.returncode == 0
    if stay:
        assert f"rollouts: {3 * stay}, " in done.stdout
    assert not any(files_of(pool, number, "rollout") for number in range(1, 5))
    assert verify_files(pool).discrepancies == []


@pytest.mark.parametrize("keep", ["all", "champions"])
def test_verify_samples_and_updates_again(tmp_path: Path, keep: str) -> None:
    work(tmp_path / "pool", keep=keep)
    for options in (["--all"], ["--iteration", "2"], ["--sample", "9"]):
        done = in_process("verify", "pool", *options, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
    only = in_process("verify", "pool", "--iteration", "2", "--branch", "1", cwd=tmp_path)
    assert only.returncode == 0
    assert "1 unit computed again" in only.stdout


def changed(pool: Pool, unit: Unit, change: Callable[[dict[str, Any]], object]) -> None:
    path = pool.layout.iteration(unit.iteration).record(unit)
    table = json.loads(path.read_text())
    change(table)
    path.write_text(json.dumps(table))


def test_verify_finds_another_rollout_and_another_update(tmp_path: Path) -> None:
    pool = work(tmp_path / "pool")
    other = sha256("another rollout")
    changed(pool, Unit(2, "branch", 1), lambda table: table.update(rollout_sha256=other))
    changed(pool, Unit(3, "update", 0), lambda table: table["training"].update(episodes=7))
    done = in_process("verify", "pool", "--all", cwd=tmp_path)
    assert done.returncode == 4
    assert "iterations/000002/branch-001.json: rollout_sha256: " in done.stdout
    assert "iterations/000002/sources.json: deposits[1].sha256: " in done.stdout
    assert "iterations/000002/merge.json: deposits.branch-001.sha256: " in done.stdout
    assert "iterations/000003/update-000.json: training.episodes: 7 recorded, 6" in done.stdout


def test_verify_finds_damage(tmp_path: Path) -> None:
    pool = work(tmp_path / "pool", keep="all")
    folder = pool.layout.iteration(2).folder
    (path,) = folder.glob("rollout-001-*")
    path.write_bytes(path.read_bytes()[:-1])
    (found,) = verify_files(pool).discrepancies
    assert found.path == f"iterations/000002/{path.name}"
    assert found.message.startswith("SHA-256 ")
    path.unlink()  # as after its merge
    assert verify_files(pool).discrepancies == []
    for name in ("merge.json", "parent-000.json"):
        (folder / name).unlink()
    messages = {each.path: each.message for each in verify_files(pool).discrepancies}
    assert messages[f"iterations/000002/{path.name}"] == "missing"


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("branch", {"rollout_sha256": None}, "done, without an agent or an evaluation"),
        ("update", {"rollout_sha256": "0" * 64}, "only branches have rollouts"),
        ("update", {"sources_sha256": None}, "only candidates and updates name the branches"),
        ("branch", {"status": "failed", "reason": "x"}, "failed, with an agent or an evaluation"),
    ],
)
def test_records_that_contradict_themselves_are_damaged(
    tmp_path: Path, name: KindName, change: dict[str, Any], message: str
) -> None:
    pool = work(tmp_path / "pool", 1)

    def plant(table: dict[str, Any]) -> None:
        table.update(change)
        for key in [key for key, value in table.items() if value is None and key in change]:
            del table[key]

    changed(pool, Unit(1, name, 0), plant)
    found = [each.message for each in verify_files(pool).discrepancies]
    assert any(message in each for each in found), found


def test_a_branch_of_another_rule_is_set_aside(tmp_path: Path) -> None:
    """Records that fit each other, but not the pool's rule."""
    with_agents = Scene(tmp_path / "one", **UPDATE | {"merge__rule": "mean"})
    with_rollouts = Scene(tmp_path / "two", **UPDATE)
    for scene, other in ((with_agents, with_rollouts), (with_rollouts, with_agents)):
        other.work(1)
        strange = replace(
            other.record(Unit(1, "branch", 0)),
            spec_sha256=scene.pool.spec_sha256,
            parent_sha256=scene.work(0).champion.sha256,
        )
        scene.store.make_folder(scene.pool.layout.iteration(1).folder)
        record_path = scene.pool.layout.iteration(1).record(strange.unit)
        scene.store.remove_files(record_path.parent, [record_path.name, "merge.json"])
        scene.deposits.publish_record(strange)
        assert scene.deposits.deposit(strange.unit) is None


def test_reports_show_the_update(tmp_path: Path) -> None:
    pool = work(tmp_path / "pool", merge__fallback=2)
    history = History(pool)
    history.refresh()
    table = history.table()
    updates = table[table["kind"] == "update"]
    assert len(updates) == 3
    assert updates["environment_steps"].sum() == 0  # which the branches have taken
    assert updates["training_return"].notna().all()
    assert table["score"].notna().sum() == 1 + 3 + 1  # initial, parents, closing
    total = table[table["kind"] != "closing"]["environment_steps"].sum()
    assert total == table["total_environment_steps"].max()
    assert plot_bytes(history).startswith(b"\x89PNG")
    for command in (["history"], ["status"], ["verify", "--sample", "9"], ["evaluate"]):
        done = in_process(command[0], "pool", *command[1:], cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")


def test_the_time_with_a_core_per_branch_has_the_parent_beside_both_stages(tmp_path: Path) -> None:
    pool = work(tmp_path / "pool", 1)

    def lasts(seconds: float) -> Callable[[dict[str, Any]], object]:
        return lambda table: table.update(seconds={"training": {"wall": seconds, "cpu": seconds}})

    def total(parent: float) -> float:
        for index, seconds in enumerate((2.0, 3.0, 1.0)):
            changed(pool, Unit(1, "branch", index), lasts(seconds))
        changed(pool, Unit(1, "update", 0), lasts(4.0))
        changed(pool, Unit(1, "parent", 0), lasts(parent))
        changed(pool, Unit(0, "initial", 0), lasts(0.5))
        history = History(pool)
        history.refresh()
        return history.seconds_with_one_core_per_branch()

    assert total(parent=6.0) == 0.5 + 3.0 + 4.0
    assert total(parent=9.0) == 0.5 + 9.0


def test_status_shows_the_second_stage(tmp_path: Path) -> None:
    pool = work(tmp_path / "pool")
    folder = pool.layout.iteration(3).folder
    for name in ("merge.json", "closing-000.json", "update-000.json", "parent-000.json"):
        (folder / name).unlink()
    units = StatusReader(pool).read().units
    assert [unit.unit for unit in units][-2:] == ["parent-000", "update-000"]
    assert [unit.state for unit in units][-2:] == ["free", "free"]
    (folder / "sources.json").unlink()
    assert [unit.unit for unit in StatusReader(pool).read().units][-1] == "parent-000"


@pytest.mark.parametrize("rule", ["update", "mean", "best"])
def test_status_waits_for_units_without_siblings_by_those_before(tmp_path: Path, rule: str) -> None:
    scene = Scene(tmp_path / "nowhere", **UPDATE | {"merge__rule": rule})
    pool = scene.pool
    scene.work(1)
    layout = pool.layout.iteration(1)
    for unit, seconds in ((Unit(1, "update", 0), 40.0), (Unit(1, "parent", 0), 9.0)):
        record = scene.deposits.record(unit)
        if record is not None:
            slow = replace(record, seconds={"training": Seconds(seconds, seconds)})
            scene.store.remove_files(layout.folder, [layout.record(unit).name])
            scene.deposits.publish_record(slow)
    clock = ServerClock()
    heartbeats = HeartbeatReader(pool.store, clock)
    current = CurrentIteration(pool, scene.deposits, heartbeats, clock, units_of(2, 3))
    current.units = [*current.units, *second_stage_of(2, pool.spec.merge)]
    assert current.sibling_seconds("update-000") == (40.0 if rule == "update" else 0.0)
    assert current.sibling_seconds("parent-000") == (9.0 if rule != "best" else 0.0)
    assert current.sibling_seconds("branch-000") == 0.0
