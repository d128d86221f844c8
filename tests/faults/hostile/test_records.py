"""Hostile records and merges are unreadable, and their units are done again."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poolrl.config import tables
from poolrl.config.run_options import RunOptions
from poolrl.monitoring.history import History
from poolrl.pool.directory import Pool
from poolrl.pool.stop_criteria import StopCriteria
from poolrl.records.codec import NewerSchema, Unreadable, decode, encode
from poolrl.records.records import MergeRecord, UnitRecord
from poolrl.records.work_units import Unit
from poolrl.report.plot import plot_bytes
from poolrl.worker.loop import Worker
from tests.faults.hostile.values import mutated, to_json
from tests.helpers.deposits import choose, deposit, first


def changed(record: Any, **fields: Any) -> bytes:
    """A record with other values, by dotted key."""
    table = json.loads(encode(record))
    for key, value in fields.items():
        tables.assign(table, key.replace("__", "."), value)
    return to_json(table)


BRANCH = deposit("branch", 0, [1.0, 3.0])
CONTRADICTIONS: dict[str, dict[str, Any]] = {
    "a score that is not the mean": {"evaluation__score": 9.0},
    "a standard error that is not theirs": {"evaluation__standard_error": 0.0},
    "returns without lengths": {"evaluation__lengths": [5]},
    "no episodes": {"evaluation__returns": [], "evaluation__lengths": []},
    "a negative length": {"evaluation__lengths": [5, -5]},
    "steps beyond 64 bits": {"evaluation__lengths": [5, 10**30]},
    "done without an agent": {"agent": None},
    "failed with an agent": {"status": "failed"},
    "a negative index": {"index": -1},
    "a kind of another iteration": {"kind": "initial"},
    "a parent with an index": {"kind": "parent", "index": 3},
    "a path out of the pool": {"agent__path": "../../../etc/passwd"},
    "an absolute path": {"agent__path": "/etc/passwd"},
    "a path of another iteration": {"agent__path": "iterations/000002/branch-000-0.safetensors"},
    "a hash that is none": {"agent__sha256": "0"},
    "a hash with a line's end": {"spec_sha256": "0" * 64 + "\n"},
    "a host on two lines": {"worker__host": "a\nb"},
    "a host that colours the terminal": {"worker__host": "\x1b[31m"},
    "seconds before the beginning": {"seconds": {"training": {"wall": -1.0}}},
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_records_that_contradict_themselves(name: str) -> None:
    assert decode(changed(BRANCH), UnitRecord) == BRANCH
    with pytest.raises(Unreadable):
        decode(changed(BRANCH, **CONTRADICTIONS[name]), UnitRecord)


@pytest.mark.parametrize(
    "fields",
    [
        {"champion__path": "../outside.safetensors"},
        {"champion__path": "iterations/000001/branch-000-0000000000000000.safetensors"},
        {"champion__iteration": 7},
        {"champion__sha256": "0" * 64},
        {"rule": "initial"},
        {"environment_steps": -1},
    ],
)
def test_merges_that_contradict_themselves(fields: dict[str, Any]) -> None:
    merge = choose([deposit("branch", 0, [1.0]), deposit("parent", 0, [0.0])])
    with pytest.raises(Unreadable):
        decode(changed(merge, **fields), MergeRecord)


@pytest.mark.parametrize("data", [b'{"a":"\xed\xa0\x80"}', b'{"schema":1e999}', b"9" * 5000])
def test_json_that_is_none(data: bytes) -> None:
    with pytest.raises(Unreadable):
        decode(data, UnitRecord)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_table_is_a_record_or_unreadable(data: st.DataObject) -> None:
    for record in (BRANCH, first()):
        try:
            found = decode(to_json(data.draw(mutated(json.loads(encode(record))))), type(record))
        except (Unreadable, NewerSchema):
            continue
        assert decode(encode(found), type(record)) == found


def test_a_record_of_other_episodes_is_done_again(pool: Pool) -> None:
    layout = pool.layout.iteration(1)
    path = layout.record(Unit(1, "branch", 1))
    before = json.loads(path.read_bytes())
    score = before["evaluation"]["returns"][0]
    evaluation = {"returns": [score], "lengths": [4], "score": score, "standard_error": 0.0}
    path.write_text(json.dumps(before | {"evaluation": before["evaluation"] | evaluation}))
    layout.merge.unlink()
    Worker(pool, StopCriteria(1)).run()
    assert json.loads(path.read_bytes())["evaluation"] == before["evaluation"]
    assert any(name.startswith(f"{path.name}.corrupt-") for name in os.listdir(layout.folder))


def test_a_damaged_closing_record_is_done_again(pool: Pool) -> None:
    path = pool.layout.iteration(1).record(Unit(1, "closing", 0))
    before = json.loads(path.read_bytes())
    path.write_bytes(b"{")
    Worker(pool, StopCriteria(1)).run()
    assert json.loads(path.read_bytes())["evaluation"] == before["evaluation"]


def test_a_history_with_gaps_is_drawn(pool: Pool) -> None:
    Worker(pool, StopCriteria(3), run=RunOptions(keep="all")).run()
    for path in pool.layout.iteration(2).folder.glob("[bp]*.json"):
        path.write_bytes(b"{")
    history = History(pool)
    history.refresh()
    assert plot_bytes(history).startswith(b"\x89PNG")
