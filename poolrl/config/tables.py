"""Nested tables of plain data: read as TOML, set by dotted key, validated as structures."""

from __future__ import annotations

import difflib
import hashlib
import json
import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import msgspec

from poolrl import files
from poolrl.errors import UsageError

T = TypeVar("T")

MOST_NESTED = 32
"""How deep tables may stand in each other."""


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        UsageError: it cannot be read, or is not TOML.
    """
    try:
        return parse_toml(files.read_plain(path, files.SPECIFICATION), str(path))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    except files.Strange as error:
        raise UsageError(f"{path}: {error}") from error


def parse_toml(data: bytes, source: str) -> dict[str, Any]:
    """Read TOML that anyone may have written.

    Raises:
        UsageError: it is not TOML, or holds what nothing here can use; names the source.
    """
    try:
        table = tomllib.loads(data.decode())
        check_plain(table)
    except RecursionError as error:
        raise UsageError(f"{source}: nested too deeply") from error
    except ValueError as error:
        raise UsageError(f"{source}: not valid TOML: {error}") from error
    return table


def check_plain(value: Any) -> None:
    """See that plain data is fit to be walked through, compared and written again.

    Raises:
        ValueError: it is nested deeper than ``MOST_NESTED``, or holds an integer of more than 64
            bits, which TOML and NumPy do not have.
    """
    level = [value]
    for _ in range(MOST_NESTED):
        deeper: list[Any] = []
        for each in level:
            if isinstance(each, Mapping):
                deeper += each.values()
            elif isinstance(each, (list, tuple)):
                deeper += each
            elif isinstance(each, int) and not -(2**63) <= each < 2**63:
                raise ValueError(f"an integer of {each.bit_length()} bits")
        level = deeper
        if not level:
            return
    raise ValueError(f"tables nested more than {MOST_NESTED} deep")


def convert(table: Any, kind: type[T], source: str = "") -> T:
    """Validate plain data as a structure.

    Raises:
        UsageError: one line that names the source, the key and what is wrong with it.
    """
    prefix = f"{source}: " if source else ""
    try:
        return msgspec.convert(table, kind)
    except UsageError as error:
        raise UsageError(f"{prefix}{error}") from None
    except msgspec.ValidationError as error:
        raise UsageError(prefix + _explain(error, table, kind)) from None


def parse_override(text: str) -> tuple[str, Any]:
    """Split ``a.b=value``; the value is read as TOML, and as a string where it is not TOML.

    Raises:
        UsageError: there is no ``=``.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UsageError(f"--set {text}: expected key=value, as in learner.learning_rate=1e-3")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
        check_plain(parsed)
    except tomllib.TOMLDecodeError:
        return key.strip(), value.strip()
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--set {key.strip()}: {error}") from error
    return key.strip(), parsed


def assign(table: dict[str, Any], dotted: str, value: Any) -> None:
    """Set a value by its dotted key, making the tables on the way.

    Raises:
        UsageError: one of them is a value.
    """
    *parents, last = dotted.split(".")
    for parent in parents:
        child = table.setdefault(parent, {})
        if not isinstance(child, dict):
            raise UsageError(f"{dotted}: {parent} is a value, not a table")
        table = child
    table[last] = value


def flatten(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as one table of dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def sha256(table: Mapping[str, Any]) -> str:
    """The identity of a specification: SHA-256 of its table as sorted JSON, infinities as strings.

    Raises:
        UsageError: it holds what JSON does not have: NaN, a date.
    """
    try:
        spelled = _spell_infinities(table)
        text = json.dumps(spelled, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UsageError(f"the specification cannot be written: {error}") from error
    return hashlib.sha256(text.encode()).hexdigest()


def _spell_infinities(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _spell_infinities(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_spell_infinities(inner) for inner in value]
    if isinstance(value, float) and math.isinf(value):
        return str(value)
    return value


def without_none(table: Mapping[str, Any]) -> dict[str, Any]:
    """A copy that TOML, which has no null, can hold."""
    return {
        key: without_none(value) if isinstance(value, Mapping) else value
        for key, value in table.items()
        if value is not None
    }


def _explain(error: msgspec.ValidationError, table: Any, kind: Any) -> str:
    """Turn "Expected `int` >= 1 - at `$.pool.count`" into "pool.count: expected int >= 1"."""
    message, _, where = str(error).partition(" - at `")
    path = _named(where.rstrip("`").removeprefix("$").removeprefix("."), table, kind)
    unknown = re.fullmatch(r"Object contains unknown field `(.*)`", message)
    if unknown:
        key = f"{path}.{unknown[1]}" if path else unknown[1]
        known = _known_keys(kind, path, table)
        close = difflib.get_close_matches(unknown[1], known, n=1)
        if close:
            return f"{key}: unknown key; did you mean {close[0]}?"
        return f"{key}: unknown key; known: {', '.join(known)}"
    value = _lookup(table, path)
    if message.startswith("Invalid"):
        return (
            f"{path}: unknown value {_short(value)}; known: {', '.join(_known_values(kind, path))}"
        )
    message = message[0].lower() + message[1:].replace("`", "")
    got = "" if value is _MISSING or isinstance(value, Mapping) else f", got {_short(value)}"
    message = re.sub(r", got \w+$", "", message)
    return f"{path}: {message}{got}" if path else f"{message}{got}"


def _named(path: str, table: Any, kind: Any) -> str:
    """A path with the key of the refused value, for which msgspec writes ``[...]`` in a table of
    structures."""
    before, dots, after = path.partition("[...]")
    if not dots:
        return path
    for part in before.split("."):
        kind = {field.name: field.type for field in msgspec.structs.fields(kind)}[part]
    element = get_args(kind)[1]
    for key, value in _lookup(table, before).items():
        try:
            msgspec.convert(value, element)
        except msgspec.ValidationError:
            return f"{before}.{key}{after}"
    return path


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


_MISSING = object()


def _lookup(table: Any, path: str) -> Any:
    for part in re.findall(r"[^.\[\]]+", path):
        if isinstance(table, Mapping) and part in table:
            table = table[part]
        elif isinstance(table, Sequence) and part.isdigit() and int(part) < len(table):
            table = table[int(part)]
        else:
            return _MISSING
    return table


def _known_keys(kind: Any, path: str, table: Any) -> list[str]:
    for part in filter(None, path.split(".")):
        if get_origin(kind) is dict:  # of structures, whose keys are anything
            kind = get_args(kind)[1]
            continue
        hints = {field.name: field.type for field in msgspec.structs.fields(kind)}
        kind = hints.get(part, kind)
        table = table.get(part, {}) if isinstance(table, Mapping) else {}
    if choices := get_args(kind):  # structures that a tag tells apart
        tagged = {cls.__struct_config__.tag: cls for cls in choices}
        field = choices[0].__struct_config__.tag_field
        kind = tagged[table[field]]
    return list(kind.__struct_fields__)


def _known_values(kind: Any, path: str) -> list[str]:
    for part in path.split("."):
        if choices := get_args(kind):  # the tag itself
            return [str(cls.__struct_config__.tag) for cls in choices]
        kind = {field.name: field.type for field in msgspec.structs.fields(kind)}[part]
    return [str(value) for value in get_args(kind)]
