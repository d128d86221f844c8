"""The best-ever fallback: a pure function of the merges, kept by files, shown by reports."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from msgspec.structs import replace

from poolrl.config.merging import MergeSpec
from poolrl.config.run_options import RunOptions
from poolrl.config.schema import SelectionSpec
from poolrl.monitoring.history import FALLBACK_COLUMNS, History
from poolrl.monitoring.pool_status import StatusReader
from poolrl.monitoring.verify import verify_files
from poolrl.pool.directory import Pool, make_pool, open_pool
from poolrl.pool.merge_rules import merge
from poolrl.pool.stop_criteria import StopCriteria
from poolrl.records.codec import Unreadable, decode, encode
from poolrl.records.records import MergeRecord
from poolrl.records.work_units import Unit
from poolrl.report.plot import plot_bytes
from poolrl.worker.loop import Worker
from poolrl.worker.recomputation import Recomputer
from tests.conftest import tiny_spec
from tests.faults.checker import check
from tests.helpers.command_line import assert_refused, in_process
from tests.helpers.deposits import deposit, first, sha256

FALLBACK = {"selection__keep_parent": False, "learner__learning_rate": 3.0}


def line(scores: list[float | None], most: int) -> list[MergeRecord]:
    """Merges of a pool of one branch that scores so, the initial agent having 0."""
    initial = replace(
        deposit("initial", 0, [0.0]), iteration=0, agent=deposit("branch", 0, [0.0]).agent
    )
    unit = Unit(0, "initial", 0)
    assert initial.agent is not None
    path = unit.agent_path(initial.agent.sha256)
    initial = replace(initial, agent=replace(initial.agent, path=path))
    merges: list[MergeRecord] = []
    for iteration, score in enumerate([0.0, *scores]):
        record = replace(
            deposit("branch", 0, None if score is None else [score]), iteration=iteration
        )
        if record.agent is not None:
            digest = sha256(f"{iteration}")
            path = record.unit.agent_path(digest)
            record = replace(record, agent=replace(record.agent, path=path, sha256=digest))
        merges.append(
            merge(
                merges[-1] if merges else None,
                [record if iteration else initial],
                iteration=iteration,
                branches=1,
                selection=SelectionSpec(),
                spec_sha256=sha256("spec"),
                rule=MergeSpec(fallback=most),
            )
        )
    return merges


@given(
    st.lists(st.none() | st.sampled_from([-1.0, 0.0, 1.0, 2.0, 3.0]), max_size=12),
    st.integers(0, 3),
)
def test_the_line_goes_back_after_more_than_so_many_iterations(
    scores: list[float | None], most: int
) -> None:
    """RLAI's loop, written down: best, n and the agent after each iteration."""
    best, best_at, since, agent = 0.0, 0, 0, 0
    for number, (score, record) in enumerate(zip([0.0, *scores], line(scores, most), strict=True)):
        assert record.best_ever is not UNSET
        if number > 0:
            agent = number if score is not None else agent
            since += 1
            if score is not None and score > best:
                best, best_at, since = score, number, 0
            elif since > most:
                agent, since = best_at, 0
                assert record.rule == "best-ever fallback"
                assert record.champion.score is None
        assert record.champion.iteration == agent
        assert record.best_ever.iterations_since == since
        assert (record.result.iteration, record.result.score) == (best_at, best)
        assert decode(encode(record), MergeRecord) == record


def test_without_it_records_have_the_keys_that_they_had() -> None:
    assert "best_ever" not in json.loads(encode(first()))


def test_a_fallback_to_another_champion_contradicts_itself() -> None:
    last = line([1.0, 0.0], 0)[-1]
    assert last.rule == "best-ever fallback"
    other = line([1.0, 0.0], 9)[-1]
    with pytest.raises(Unreadable, match="another champion than the best-ever"):
        decode(encode(replace(other, rule="best-ever fallback")), MergeRecord)
    assert last.best_ever is not UNSET
    nobody = replace(last.best_ever, champion=replace(last.best_ever.champion, score=None))
    with pytest.raises(Unreadable, match="none of this line"):
        decode(encode(replace(last, best_ever=nobody)), MergeRecord)


def work(root: Path, iterations: int = 8, fallback: int = 1, keep: str = "champions") -> Pool:
    pool = make_pool(root, tiny_spec(**FALLBACK, merge__fallback=fallback), RunOptions(iterations))
    Worker(pool, StopCriteria(iterations), run=RunOptions(iterations, keep=keep)).run()
    return pool


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    """A pool whose steps are too long, so that it falls back often."""
    return work(tmp_path / "pool")


def test_a_pool_keeps_and_measures_its_best_ever_champion(pool: Pool, tmp_path: Path) -> None:
    history = History(pool)
    history.refresh()
    last = history.merges[-1]
    assert len(history.fallbacks()) > 1
    assert last.result.iteration < last.iteration
    assert pool.layout.resolve(last.result.path).exists()
    assert history.closing is not None
    assert history.closing.agent is not None
    assert history.closing.agent.sha256 == last.result.sha256 == history.closing.parent_sha256
    assert check(pool.layout.root, iterations=8) == []
    verified = verify_files(pool)
    assert verified.discrepancies == []
    recomputer = Recomputer(pool)
    for record in verified.recomputable_records():
        assert recomputer.differences(record, verified.starting_merge(record.unit)) == []
    recomputer.close()
    pruned = in_process("prune", "pool", "--keep", "champions", cwd=tmp_path)
    assert pruned.returncode == 0
    assert check(pool.layout.root, iterations=8) == []


def test_it_does_not_depend_on_when_the_pool_was_stopped(pool: Pool, tmp_path: Path) -> None:
    for iterations in (3, 5, 8):
        again = work(tmp_path / "again", iterations)
    found = [
        [(m.rule, m.champion, m.best_ever) for m in _merges(each)]
        for each in (pool, open_pool(again.layout.root))
    ]
    assert found[0] == found[1]


def _merges(pool: Pool) -> list[MergeRecord]:
    deposits = pool.deposit_store()
    return [deposits.merge(number) for number in deposits.iterations()]


def test_verify_notices_a_fallback_that_did_not_happen(pool: Pool) -> None:
    number = next(m.iteration for m in _merges(pool) if m.rule == "best-ever fallback")
    path = pool.layout.iteration(number).merge
    table = json.loads(path.read_text())
    table["best_ever"]["iterations_since"] += 1
    path.write_text(json.dumps(table))
    keys = {found.key for found in verify_files(pool).discrepancies}
    assert "best_ever.iterations_since" in keys


def test_reports_show_it(pool: Pool, tmp_path: Path) -> None:
    status = StatusReader(pool).read()
    last = _merges(pool)[-1]
    assert status.best_ever is not None
    assert status.best_ever.iteration == last.result.iteration
    assert "best-ever champion of iteration" in in_process("status", "pool", cwd=tmp_path).stdout
    history = History(pool)
    history.refresh()
    table = history.table()
    assert tuple(table.columns[-3:]) == FALLBACK_COLUMNS
    assert set(table["rule"]) >= {"best branch", "best-ever fallback"}
    assert plot_bytes(history).startswith(b"\x89PNG")
    done = in_process("evaluate", "pool", "--episodes", "3", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_pool_with_it_is_of_schema_2_and_one_without_is_as_it_was(tmp_path: Path) -> None:
    given = make_pool(tmp_path / "one", tiny_spec(**FALLBACK, merge__fallback=0), RunOptions())
    assert "schema = 2" in given.layout.spec.read_text()
    plain = make_pool(tmp_path / "two", tiny_spec(merge__rule="best"), RunOptions())
    text = plain.layout.spec.read_text()
    assert "schema = 1" in text
    assert "merge" not in text
    assert make_pool(tmp_path / "two", tiny_spec(), RunOptions()) == plain


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["merge.fallback=2", "selection.keep_parent=true"], "merge.fallback: "),
        (["merge.fallback=-1"], "merge.fallback: expected int >= 0, got -1"),
        (["merge.rule=worst"], "merge.rule: unknown value 'worst'; known: best"),
        (["merge.fall=1"], "merge.fall: unknown key; did you mean fallback?"),
    ],
)
def test_wrong_keys_are_refused_by_name(tmp_path: Path, keys: list[str], message: str) -> None:
    assert_refused(tmp_path, keys, message)
