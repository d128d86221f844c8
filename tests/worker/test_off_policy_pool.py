"""Pools of MPO: the same champions with any number of workers and threads, and after kills; the
window of a shared replay."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from poolrl.agent import Agent
from poolrl.config.loading import load
from poolrl.config.run_options import RetentionRule, RunOptions
from poolrl.config.schema import Spec
from poolrl.errors import IncompatiblePool
from poolrl.formatting import count
from poolrl.launch.disk_use import window_line
from poolrl.monitoring.verify import verify_files
from poolrl.pool.directory import Pool, make_pool, open_pool
from poolrl.pool.retention import removable
from poolrl.pool.stop_criteria import StopCriteria
from poolrl.records.records import MergeRecord
from poolrl.records.work_units import Unit
from poolrl.rollouts.replay_chunk import Chunk
from poolrl.storage.deposits import DepositStore
from poolrl.worker.loop import Worker
from poolrl.worker.replay_window import WindowReader
from tests.faults.checker import check, same_history
from tests.helpers.agents import new_agent
from tests.helpers.command_line import in_process
from tests.helpers.forks import serve, serve_with_kills
from tests.helpers.memory_pool import patch_compute
from tests.helpers.rules import COMMON

ITERATIONS = 3

KEYS = {key: value for key, value in COMMON.items() if not key.startswith("learner.")} | {
    "learner.name": "mpo",
    "learner.batch_size": 8,
    "learner.batches": 2,
    "learner.update_interval": 8,
    "learner.warmup_steps": 8,
    "learner.replay_start": 8,
    "learner.normalize_returns": True,
    "learner.muscles": 2,
}

RULES: dict[str, dict[str, object]] = {
    "best": {"learner.replay_window": 0},
    "shared": {"learner.replay_window": 100},
    "mean": {
        "merge.rule": "mean",
        "merge.step": 1.5,
        "merge.momentum": 0.5,
        "learner.replay_window": 0,
    },
}

every_rule = pytest.mark.parametrize("rule", RULES)


def spec_of(rule: str) -> Spec:
    return load(None, KEYS | RULES[rule])[0]


def finished(root: Path, rule: str, **options: Any) -> Pool:
    pool = make_pool(root, spec_of(rule), RunOptions(ITERATIONS, **options))
    Worker(pool, StopCriteria(ITERATIONS), run=pool.run).run()
    return pool


@pytest.fixture(scope="module")
def undisturbed(memory_folder: Path) -> Callable[[str], Path]:
    """The pool of a rule that one worker with one thread has finished."""

    @cache
    def of(rule: str) -> Path:
        pool = finished(memory_folder / f"mpo {rule} alone", rule)
        record = pool.deposit_store().record(Unit(2, "branch", 0))
        assert record is not None
        assert record.status == "done", record.reason
        assert record.training is not None
        assert record.training.updates > 0
        assert check(pool.layout.root, iterations=ITERATIONS) == []
        return pool.layout.root

    return of


@every_rule
@pytest.mark.parametrize("workers", [2, 3])
def test_any_number_of_workers(
    memory_folder: Path, undisturbed: Callable[[str], Path], rule: str, workers: int
) -> None:
    root = memory_folder / f"mpo {rule} by {workers}"
    make_pool(root, spec_of(rule), RunOptions())
    serve(root, ITERATIONS, workers)
    assert same_history(undisturbed(rule), root) == []


def test_threads_and_replays_on_disk(
    memory_folder: Path, undisturbed: Callable[[str], Path]
) -> None:
    folder = memory_folder / "replays"
    folder.mkdir()
    root = memory_folder / "mpo with threads"
    pool = finished(root, "best", threads=3, replay_folder=str(folder))
    assert same_history(undisturbed("best"), pool.layout.root) == []
    assert list(folder.iterdir()) == []


@every_rule
def test_workers_that_are_killed(
    memory_folder: Path, undisturbed: Callable[[str], Path], rule: str
) -> None:
    root = memory_folder / f"mpo {rule} with kills"
    make_pool(root, spec_of(rule), RunOptions())
    assert serve_with_kills(root, ITERATIONS, 3, 8, seed=0) > 0
    assert same_history(undisturbed(rule), root) == []
    assert check(root, iterations=ITERATIONS) == []


def chunks_on_disk(root: Path) -> set[str]:
    found = root.glob("iterations/*/rollout-*.safetensors")
    return {path.relative_to(root).as_posix() for path in found}


def test_the_files_of_the_window_alone_stay(undisturbed: Callable[[str], Path]) -> None:
    root = undisturbed("shared")
    deposits = open_pool(root).deposit_store()
    windows = [deposits.merge(number).window for number in range(ITERATIONS + 1)]
    # Of four branches with 32 transitions each, the newest 100.
    assert [len(window) for window in windows] == [0, 4, 4, 4]
    assert {chunk.iteration for chunk in windows[-1]} == {ITERATIONS}
    assert chunks_on_disk(root) == {chunk.path for chunk in windows[-1]}
    assert chunks_on_disk(undisturbed("best")) == set()


def test_up_to_two_iterations_more_are_on_disk(
    memory_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has left the window is removed with the parent, which a single worker comes to last."""
    root = memory_folder / "mpo disk"
    there: list[int] = []
    publish = DepositStore.publish_rollout

    def counted(self: DepositStore, unit: Unit, data: bytes) -> str:
        sha256 = publish(self, unit, data)
        there.append(len(chunks_on_disk(root)))
        return sha256

    monkeypatch.setattr(DepositStore, "publish_rollout", counted)
    pool = finished(root, "shared")
    assert max(there) == 4 + 2 * pool.spec.pool.count
    line = window_line(pool.spec, new_agent(learner__name="mpo", network__actor=[8]))
    assert line is not None
    assert "and up to two iterations' more" in line


def test_retention_keeps_chunks_as_long_as_agents(memory_folder: Path) -> None:
    pool = finished(memory_folder / "mpo all kept", "shared", keep="all")
    assert len(chunks_on_disk(pool.layout.root)) == 4 * ITERATIONS
    window = pool.deposit_store().merge(ITERATIONS).window
    found = removable(pool, RetentionRule.parse("champions"))
    named = {f"{file.folder}/{file.name}" for file in found if file.category == "rollouts"}
    kept = {chunk.path for chunk in window}
    assert named == chunks_on_disk(pool.layout.root) - kept


def test_a_window_wider_than_an_iteration(memory_folder: Path) -> None:
    """Chunks leave it later than their iteration expires."""
    root = memory_folder / "mpo wide"
    spec = load(None, KEYS | {"learner.replay_window": 170})[0]
    pool = make_pool(root, spec, RunOptions(5))
    Worker(pool, StopCriteria(5), run=pool.run).run()
    window = pool.deposit_store().merge(5).window
    assert {chunk.iteration for chunk in window} == {4, 5}
    assert chunks_on_disk(root) == {chunk.path for chunk in window}
    said = in_process("verify", root, "--all", cwd=memory_folder)
    assert said.returncode == 0, said.stdout + said.stderr
    assert "27 units computed again" in said.stdout
    # Alone, a branch needs others again, and these need others; a sample has none such.
    for options, units in ((("--iteration", "4", "--branch", "1"), 1), (("--sample", "25"), 11)):
        said = in_process("verify", root, *options, cwd=memory_folder)
        assert said.returncode == 0, said.stdout + said.stderr
        assert f"{count(units, 'unit')} computed again" in said.stdout


def test_a_sample_has_no_candidate_whose_branches_lack_their_window(memory_folder: Path) -> None:
    root = memory_folder / "mpo candidates"
    spec = load(None, KEYS | RULES["shared"] | {"merge.candidates": [1.5]})[0]
    pool = make_pool(root, spec, RunOptions(2))
    Worker(pool, StopCriteria(2), run=pool.run).run()
    # Of two iterations with four branches, a candidate and a parent: the second one's parent alone.
    said = in_process("verify", root, "--sample", "50", cwd=memory_folder)
    assert said.returncode == 0, said.stdout + said.stderr
    assert "9 units computed again" in said.stdout
    said = in_process("verify", root, "--iteration", "2", cwd=memory_folder)
    assert said.returncode == 0, said.stdout + said.stderr


def test_branches_learn_from_the_window(undisturbed: Callable[[str], Path]) -> None:
    """The first iteration is the same without one, and the second is not."""
    for number, same in ((1, True), (2, False)):
        champions = [
            open_pool(undisturbed(rule)).deposit_store().merge(number).champion.sha256
            for rule in ("best", "shared")
        ]
        assert (champions[0] == champions[1]) == same


def test_a_chunk_that_is_lost_is_one_line_and_nothing_else_is(
    memory_folder: Path, undisturbed: Callable[[str], Path]
) -> None:
    root = memory_folder / "mpo lost"
    pool = make_pool(root, spec_of("shared"), RunOptions())
    Worker(pool, StopCriteria(2)).run()
    path = root / sorted(chunks_on_disk(root))[1]
    data = path.read_bytes()
    for damage in (data[:-1], b""):
        path.write_bytes(damage)
        said = in_process("verify", root, cwd=memory_folder)
        assert said.returncode == 4
        assert f"{path.relative_to(root)}: " in said.stdout
        assert "in the window of the shared replay" in said.stdout
        with pytest.raises(IncompatiblePool, match=f"{path.name}: missing or damaged, and in the"):
            Worker(open_pool(root), StopCriteria(ITERATIONS)).run()
    path.write_bytes(data)
    Worker(open_pool(root), StopCriteria(ITERATIONS)).run()
    assert same_history(undisturbed("shared"), root) == []


def test_damage_of_a_chunk_outside_of_the_newest_window_is_found(memory_folder: Path) -> None:
    root = memory_folder / "mpo damaged elsewhere"
    pool = finished(root, "shared", keep="all")
    layout = pool.layout.iteration(ITERATIONS)
    for number in (1, ITERATIONS):
        (chunk,) = root.glob(f"iterations/{number:06d}/rollout-001-*.safetensors")
        data = chunk.read_bytes()
        chunk.write_bytes(data[:-1])
        (found,) = verify_files(pool).discrepancies
        assert found.path == pool.layout.relative(chunk)
        chunk.unlink()
        assert len(verify_files(pool).discrepancies) == (number == ITERATIONS)
        chunk.write_bytes(data)
        for kind in ("parent", "closing"):  # the last iteration is open then
            layout.record(Unit(ITERATIONS, kind, 0)).unlink(missing_ok=True)
        layout.merge.unlink(missing_ok=True)
    assert verify_files(pool).discrepancies == []


def test_a_chunk_damaged_before_the_merge_is_sampled_again(
    memory_folder: Path, undisturbed: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = memory_folder / "mpo damaged"
    pool = make_pool(root, spec_of("shared"), RunOptions())
    damaged: list[Path] = []

    def damage(unit: Unit) -> None:
        if unit.iteration == 2 and not damaged:
            for path in root.glob("iterations/000002/rollout-*.safetensors"):
                damaged.append(path)
                path.write_bytes(b"nothing")

    patch_compute(monkeypatch, damage)
    Worker(pool, StopCriteria(ITERATIONS)).run()
    assert damaged
    assert list(root.glob("iterations/000002/branch-*.json.corrupt-*"))
    assert same_history(undisturbed("shared"), root) == []


def test_a_worker_that_comes_after_the_merge_goes_on(
    memory_folder: Path, undisturbed: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others have removed the chunks that it was about to read."""
    root = memory_folder / "mpo late"
    pool = make_pool(root, spec_of("shared"), RunOptions())
    real, late = WindowReader.read, []

    def read(self: WindowReader, merged: MergeRecord, champion: Agent) -> list[Chunk]:
        if merged.iteration == ITERATIONS - 1 and not late:
            late.append(merged)
            serve(root, ITERATIONS, 1)
            assert not {chunk.path for chunk in merged.window} & chunks_on_disk(root)
        return real(self, merged, champion)

    monkeypatch.setattr(WindowReader, "read", read)
    Worker(pool, StopCriteria(ITERATIONS)).run()
    assert late
    assert same_history(undisturbed("shared"), root) == []
