"""Records as JSON."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from poolrl.records.codec import NewerSchema, Unreadable, decode, encode
from poolrl.records.evaluation import Evaluation, InfoRecord, paired_difference, standard_error
from poolrl.records.records import MergeRecord, UnitRecord
from tests.helpers.deposits import choose, deposit, first


def test_records_survive() -> None:
    for record in (deposit("branch", 3, [1.0, 2.5]), deposit("parent", 0, None)):
        assert decode(encode(record), UnitRecord) == record
    for merge in (first(), choose([deposit("branch", 0, [1.0]), deposit("parent", 0, [2.0])])):
        assert decode(encode(merge), MergeRecord) == merge


@pytest.mark.parametrize("cut", [0, 1, 20, -2])
def test_torn_records_are_unreadable(cut: int) -> None:
    with pytest.raises(Unreadable):
        decode(encode(deposit("branch", 0, [1.0]))[:cut], UnitRecord)


def test_other_kinds_newer_schemas_and_nan_are_unreadable() -> None:
    data = encode(deposit("branch", 0, [1.0]))
    with pytest.raises(Unreadable):
        decode(data, MergeRecord)
    with pytest.raises(NewerSchema, match="schema 3 is newer"):
        decode(encode(replace(deposit("branch", 0, [1.0]), schema=3)), UnitRecord)
    with pytest.raises(Unreadable):
        decode(data.replace(b'"score":1.0', b'"score":NaN'), UnitRecord)
    with pytest.raises(Unreadable):
        decode(b"[" * 100_000, UnitRecord)


def test_info_survives() -> None:
    info = {"a/b": InfoRecord("max", (1.0, None)), "é": InfoRecord("last", (-0.5, 1e300))}
    record = deposit("branch", 0, [1.0, 2.0])
    assert record.evaluation is not None
    record = replace(record, evaluation=replace(record.evaluation, info=info), schema=2)
    again = decode(encode(record), UnitRecord)
    assert again == record
    assert again.evaluation is not None
    assert again.evaluation.infos == info
    for wrong in (b'"values":[1.0]', b'"values":[1.0,1e301]', b'"values":[1.0,"x"]'):
        with pytest.raises(Unreadable):
            decode(encode(record).replace(b'"values":[1.0,null]', wrong), UnitRecord)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_record_or_unreadable(data: bytes) -> None:
    with pytest.raises(Unreadable):
        decode(data, UnitRecord)


def test_what_json_cannot_hold_is_not_written() -> None:
    record = deposit("branch", 0, [1.0])
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode(replace(record, finished=math.nan))


def test_standard_errors() -> None:
    assert standard_error([3.0]) == 0.0
    assert standard_error([1.0, 3.0]) == pytest.approx(math.sqrt(2) / math.sqrt(2))
    a = Evaluation.of([1.0, 2.0], [5, 5], deterministic=True)
    b = Evaluation.of([0.0, 3.0], [5, 5], deterministic=True)
    assert a.score == 1.5
    assert paired_difference(a, b).mean == 0.0
    assert paired_difference(a, b).standard_error == pytest.approx(1.0)
