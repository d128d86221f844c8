"""JSON form of the records."""

from __future__ import annotations

import json
from typing import TypeVar

import msgspec
from msgspec import Struct

from poolrl.records import consistency
from poolrl.records.records import SCHEMA, MergeRecord, SourcesRecord, UnitRecord
from poolrl.records.types import Record

R = TypeVar("R", bound=Record)


class Unreadable(ValueError):
    """The bytes are no record of the kind that was expected."""


class NewerSchema(ValueError):
    """A later version of poolrl wrote the record; it is not damaged."""


class _Schema(Struct):
    schema: int = SCHEMA


def encode(record: Record) -> bytes:
    """Encode a record as one line of JSON.

    Raises:
        ValueError: it holds NaN or infinity, which JSON cannot.
    """
    table = msgspec.to_builtins(record)
    return json.dumps(table, allow_nan=False, separators=(",", ":")).encode() + b"\n"


def decode(data: bytes, kind: type[R]) -> R:
    """Decode a record, and check that it does not contradict itself.

    Raises:
        Unreadable: it is torn, of another kind, holds NaN or infinity, or contradicts itself.
        NewerSchema: a later version wrote it.
    """
    try:
        schema = msgspec.json.decode(data, type=_Schema).schema
        if schema > SCHEMA:
            raise NewerSchema(
                f"schema {schema} is newer than this version of poolrl reads ({SCHEMA})"
            )
        record = msgspec.json.decode(data, type=kind)
    except NewerSchema:
        raise
    except (ValueError, RecursionError) as error:  # invalid UTF-8 raises no DecodeError
        raise Unreadable(str(error)) from error
    contradiction = None
    if isinstance(record, UnitRecord):
        contradiction = consistency.of_unit(record)
    elif isinstance(record, MergeRecord):
        contradiction = consistency.of_merge(record)
    elif isinstance(record, SourcesRecord):
        contradiction = consistency.of_sources(record)
    if contradiction is not None:
        raise Unreadable(contradiction)
    return record
