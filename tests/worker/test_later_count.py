"""Pools with fewer branches after the first iteration."""

from __future__ import annotations

from pathlib import Path

import pytest

from poolrl.config.pools import PoolSpec
from poolrl.config.run_options import RunOptions
from poolrl.errors import UsageError
from poolrl.launch.pool_setup import validate
from poolrl.monitoring.pool_status import StatusReader
from poolrl.monitoring.verify import verify_files
from poolrl.pool.directory import Pool, make_pool
from poolrl.records.work_units import Unit
from poolrl.worker.unit_computation import UnitComputation
from tests.conftest import TINY, tiny_spec
from tests.helpers.command_line import poolrl, settings
from tests.helpers.workers import work


def made(root: Path, later: int, run: RunOptions | None = None) -> Pool:
    spec = tiny_spec(pool__count=4, pool__later_count=later)
    return make_pool(root, spec, run or RunOptions(iterations=3, keep="all"))


@pytest.mark.parametrize(
    ("count", "later", "text"),
    [
        (20, 5, "20 branches, then 5"),
        (20, 0, "20 branches"),
        (3, 5, "3 branches"),  # as with `--pool-count 3` and a configuration that says 5
        (2, 1, "2 branches, then 1"),
    ],
)
def test_the_numbers_of_branches(count: int, later: int, text: str) -> None:
    pool = PoolSpec(count=count, later_count=later)
    assert pool.size == text
    assert pool.branches(1) == count
    assert pool.branches(2) == pool.branches(100) == pool.fewest
    assert pool.fewest == (later if later in range(1, count) else count)


def test_later_iterations_wait_for_fewer_branches(tmp_path: Path) -> None:
    pool = made(tmp_path / "pool", 2)
    history = work(pool, 3)
    branches = [
        [unit.index for unit in merge.deposits if unit.kind == "branch"] for merge in history.merges
    ]
    assert branches == [[], [0, 1, 2, 3], [0, 1], [0, 1]]
    assert not any(merge.timing_dependent for merge in history.merges)
    assert verify_files(pool).discrepancies == []


def test_a_branch_has_the_same_bits_among_fewer(tmp_path: Path) -> None:
    few, all_of_them = made(tmp_path / "few", 2), made(tmp_path / "all", 0)
    work(few, 2)
    work(all_of_them, 2)
    first = Unit(2, "branch", 0)
    records = [pool.deposit_store().record(first) for pool in (few, all_of_them)]
    starts = [record.parent_sha256 for record in records if record]
    agents = [record.agent.sha256 for record in records if record and record.agent]
    assert len(starts) == len(agents) == 2
    assert starts[0] == starts[1]
    assert agents[0] == agents[1]


def test_threads_change_after_the_first_iteration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[int, set[int]] = {}
    real = UnitComputation.compute

    def compute(self: UnitComputation, unit: Unit, *given: object) -> object:
        seen.setdefault(unit.iteration, set()).add(self._threads)
        return real(self, unit, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(UnitComputation, "compute", compute)
    run = RunOptions(iterations=2, threads=1, later_threads=3)
    pool = made(tmp_path / "pool", 2, run)
    work(pool, 2, run=run)
    assert seen == {0: {1}, 1: {1}, 2: {3}}
    other = made(tmp_path / "other", 2)
    work(other, 2)
    champions = [each.deposit_store().merge(2).champion.sha256 for each in (pool, other)]
    assert champions[0] == champions[1]


def test_the_specification_has_it_only_where_it_says_something(tmp_path: Path) -> None:
    plain, own = made(tmp_path / "plain", 0), made(tmp_path / "own", 2)
    text = plain.layout.spec.read_text()
    assert "later_count" not in text
    assert "schema = 1" in text
    text = own.layout.spec.read_text()
    assert "later_count = 2" in text
    assert "schema = 2" in text


def test_status_waits_for_those_of_its_iteration(tmp_path: Path) -> None:
    pool = made(tmp_path / "pool", 2)
    assert StatusReader(pool).read().branches == 4
    work(pool, 1)
    status = StatusReader(pool).read()
    assert status.branches == 2
    assert len(status.units) == 3


def test_a_merge_cannot_need_more_than_later_iterations_have(tmp_path: Path) -> None:
    keys = TINY | {"pool.count": 4, "pool.later_count": 2, "run.min_deposits": 3}
    with pytest.raises(UsageError, match="3 branches, of an iteration that has 2"):
        validate(None, tmp_path / "pool", keys, None)
    validate(None, tmp_path / "pool", keys | {"run.min_deposits": 2}, None)


def test_run_says_how_many_and_goes_on(tmp_path: Path) -> None:
    call = ["run", "--pool-directory", "pool", *settings(pool__later_count=1)]
    first = poolrl(*call, "--iterations", 1, "--workers", 3, "--threads", 1, cwd=tmp_path)
    assert "3 branches, then 1, seed 0, 3 workers, then 1 worker\n" in first.stdout, first
    second = poolrl(*call, "--iterations", 2, "--workers", 1, cwd=tmp_path)
    assert second.returncode == 0, second
    root = tmp_path / "pool"
    assert len(list(root.glob("iterations/000001/branch-*.json"))) == 3
    assert len(list(root.glob("iterations/000002/branch-*.json"))) == 1
    verified = poolrl("verify", "pool", "--all", cwd=tmp_path)
    assert verified.returncode == 0, verified
