"""Validation of plain data as structures, with errors that name the key."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, get_args, get_origin

import msgspec

from poolrl.errors import UsageError, did_you_mean

T = TypeVar("T")


def convert(table: Any, kind: type[T], source: str = "") -> T:
    """Validate plain data and convert it to a structure.

    Args:
        table: plain data.
        kind: type of the structure.
        source: prefix of errors, such as the name of a file.

    Raises:
        UsageError: one line with the source, the key and the reason.
    """
    prefix = f"{source}: " if source else ""
    try:
        return msgspec.convert(table, kind)
    except UsageError as error:
        raise UsageError(f"{prefix}{error}") from None
    except msgspec.ValidationError as error:
        raise UsageError(prefix + _explain(error, table, kind)) from None


def _explain(error: msgspec.ValidationError, table: Any, kind: Any) -> str:
    """Turn "Expected `int` >= 1 - at `$.pool.count`" into "pool.count: expected int >= 1"."""
    message, _, location = str(error).partition(" - at `")
    path = _with_key(location.rstrip("`").removeprefix("$").removeprefix("."), table, kind)
    unknown = re.fullmatch(r"Object contains unknown field `(.*)`", message)
    if unknown:
        key = f"{path}.{unknown[1]}" if path else unknown[1]
        known = _known_keys(kind, path, table)
        hint = did_you_mean(unknown[1], known, f"known: {', '.join(known)}")
        return f"{key}: unknown key; {hint}"
    value = _lookup(table, path)
    if message.startswith("Invalid"):
        values = ", ".join(_known_values(kind, path, table))
        return f"{path}: unknown value {_short(value)}; known: {values}"
    message = message[0].lower() + message[1:].replace("`", "")
    got = "" if value is _MISSING or isinstance(value, Mapping) else f", got {_short(value)}"
    message = re.sub(r", got \w+$", "", message)
    return f"{path}: {message}{got}" if path else f"{message}{got}"


def _with_key(path: str, table: Any, kind: Any) -> str:
    """Replace ``[...]``, which msgspec writes for the key in a table of structures, by the key of
    the first invalid value."""
    before, dots, after = path.partition("[...]")
    if not dots:
        return path
    inner = table
    for part in before.split("."):
        fields = msgspec.structs.fields(_member(kind, inner))
        kind = _plain({field.name: field.type for field in fields}[part])
        inner = inner[part]
    element = get_args(kind)[1]
    for key, value in inner.items():
        try:
            msgspec.convert(value, element)
        except msgspec.ValidationError:
            return f"{before}.{key}{after}"
    return path


def _short(value: Any) -> str:
    """The value's repr, truncated to 80 characters."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


_MISSING = object()


def _lookup(table: Any, path: str) -> Any:
    """The value at a path such as ``a.b[1]``, or ``_MISSING``."""
    for part in re.findall(r"[^.\[\]]+", path):
        if isinstance(table, Mapping) and part in table:
            table = table[part]
        elif isinstance(table, Sequence) and part.isdigit() and int(part) < len(table):
            table = table[int(part)]
        else:
            return _MISSING
    return table


def _known_keys(kind: Any, path: str, table: Any) -> list[str]:
    """The keys of the structure at a path within ``kind``."""
    for part in filter(None, path.split(".")):
        if get_origin(kind) is dict:  # a table of structures with arbitrary keys
            kind = get_args(kind)[1]
            continue
        hints = {field.name: field.type for field in msgspec.structs.fields(kind)}
        kind = hints.get(part, kind)
        table = table.get(part, {}) if isinstance(table, Mapping) else {}
    return list(_member(kind, table).__struct_fields__)


def _known_values(kind: Any, path: str, table: Any) -> list[str]:
    """The values that a literal, or the tag of a union, may have at a path within ``kind``."""
    for part in path.split("."):
        choices = get_args(kind)
        if get_origin(kind) is dict:  # a table of values with arbitrary keys
            return [str(value) for value in get_args(choices[1])]
        if choices and part == choices[0].__struct_config__.tag_field:
            return [str(cls.__struct_config__.tag) for cls in choices]
        fields = msgspec.structs.fields(_member(kind, table))
        kind = _plain({field.name: field.type for field in fields}[part])
        table = table.get(part, {}) if isinstance(table, Mapping) else {}
    return [str(value) for value in get_args(kind)]


def _plain(kind: Any) -> Any:
    """A type without what ``Annotated`` says of it."""
    return kind.__origin__ if hasattr(kind, "__metadata__") else kind


def _member(kind: Any, table: Any) -> Any:
    """The structure that a table is, of a tagged union by its tag."""
    choices = get_args(kind)
    if not choices:
        return kind
    structures = [each for each in choices if hasattr(each, "__struct_config__")]
    if len(structures) == 1:  # beside values that are no tables
        return structures[0]
    tagged = {cls.__struct_config__.tag: cls for cls in choices}
    return tagged[table[choices[0].__struct_config__.tag_field]]
