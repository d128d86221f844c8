"""Deposits that are damaged, missing or of another origin."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from poolrl.config.run_options import RunOptions
from poolrl.errors import Divergence, IncompatiblePool
from poolrl.pool.directory import Pool, make_pool
from poolrl.records.codec import decode, encode
from poolrl.records.records import UnitRecord
from poolrl.records.work_units import Unit
from poolrl.worker.unit_computation import UnitComputation
from tests.conftest import tiny_spec
from tests.helpers.workers import work


def test_a_lost_champion_ends_the_pool(tiny_pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    def evaluate(self: UnitComputation, unit: Unit, agent: object) -> object:
        if unit.kind == "branch":
            for path in tiny_pool.layout.iteration(0).folder.glob("*.safetensors"):
                path.unlink()
            raise Divergence("a return is not finite")
        return real(self, unit, agent)  # type: ignore[arg-type]

    real = UnitComputation._evaluate
    monkeypatch.setattr(UnitComputation, "_evaluate", evaluate)
    with pytest.raises(IncompatiblePool, match="missing or damaged"):
        work(tiny_pool)
    assert tiny_pool.layout.iteration(0).record(Unit(0, "initial", 0)).exists()


def test_a_deposit_of_a_later_version_is_left_alone(tiny_pool: Pool) -> None:
    work(tiny_pool, iterations=1)
    layout = tiny_pool.layout.iteration(1)
    layout.merge.unlink()
    path = layout.record(Unit(1, "branch", 1))
    newer = path.read_bytes().replace(b'"schema":1', b'"schema":3,"more":3')
    path.write_bytes(newer)
    with pytest.raises(IncompatiblePool, match="schema 3 is newer"):
        work(tiny_pool)
    assert path.read_bytes() == newer


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


def test_a_damaged_deposit_is_logged_without_control_characters(
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
