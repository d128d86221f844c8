"""The table of a pool's history."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from poolrl.config.run_options import RunOptions
from poolrl.monitoring.history import working_seconds
from poolrl.pool.directory import Pool, make_pool
from poolrl.pool.stop_criteria import StopCriteria
from poolrl.records.records import Seconds, UnitRecord
from poolrl.worker.loop import Worker
from tests.conftest import tiny_spec
from tests.helpers.command_line import in_process
from tests.helpers.deposits import deposit


def took(seconds: float, finished: float, waited: float = 0.0, index: int = 0) -> UnitRecord:
    """A unit that took some seconds of work, after some seconds of waiting."""
    phases = {
        "training": Seconds(seconds - 1),
        "publish": Seconds(1),
        "waiting": Seconds(waited),
    }
    return replace(deposit("branch", index, [0.0]), seconds=phases, finished=finished)


def test_working_time_is_the_union_of_what_units_took() -> None:
    one, two = took(10, finished=110), took(10, finished=115)
    assert working_seconds([one, two]) == [10, 15]
    inside = took(2, finished=112)
    assert working_seconds([two, inside, one]) == [15, 12, 10]
    assert working_seconds([took(10, finished=110, waited=50), took(5, finished=130)]) == [10, 15]


def test_a_pause_within_an_iteration_does_not_count() -> None:
    """All workers were stopped, and started again a day later."""
    day = 86_400
    units = [took(10, 100, index=0), took(10, 105, index=1), took(20, 100 + day, index=2)]
    assert working_seconds(units) == [10, 15, 35]


def test_no_units_took_no_time() -> None:
    assert working_seconds([]) == []
    assert working_seconds([deposit("branch", 0, [0.0])]) == [0]


@pytest.mark.parametrize(
    ("style", "text"),
    [("json", "[]\n"), ("jsonl", ""), ("table", "pool: no record yet\n")],
)
def test_a_pool_without_records(tiny_pool: Pool, tmp_path: Path, style: str, text: str) -> None:
    done = in_process("history", "pool", "--format", style, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, text, "")


def test_the_columns_do_not_depend_on_records(tmp_path: Path) -> None:
    spec = tiny_spec(branches__learning_rate=[0.1, 0.2, 0.3])
    pool = make_pool(tmp_path / "pool", spec, RunOptions())
    before = in_process("history", "pool", "--format", "csv", cwd=tmp_path).stdout
    Worker(pool, StopCriteria(1)).run()
    after = in_process("history", "pool", "--format", "csv", cwd=tmp_path).stdout
    assert before.count("\n") == 1
    assert "learning_rate" in before
    assert after.startswith(before)
