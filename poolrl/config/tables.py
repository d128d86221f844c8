"""Nested tables of plain data: TOML, dotted keys, and the hash of a specification."""

from __future__ import annotations

import ast
import codecs
import hashlib
import json
import math
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w

from poolrl import files
from poolrl.errors import UsageError

MAX_DEPTH = 32
"""Maximum nesting of tables."""


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        UsageError: it cannot be read, or is not valid; names the file.
    """
    try:
        return parse_toml(files.read_plain(path, files.SPECIFICATION), str(path))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    except files.NotAPlainFile as error:
        raise UsageError(f"{path}: {error}") from error


def parse_toml(data: bytes, source: str) -> dict[str, Any]:
    """Parse TOML from an untrusted source, with or without a byte order mark.

    Raises:
        UsageError: it is not TOML, is nested too deeply or has too large an integer; names the
            source.
    """
    try:
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise ValueError("it is in UTF-16; write it in UTF-8")
        table = tomllib.loads(data.removeprefix(codecs.BOM_UTF8).decode())
        check_plain(table)
    except RecursionError as error:
        raise UsageError(f"{source}: nested too deeply") from error
    except ValueError as error:
        raise UsageError(f"{source}: not valid TOML: {error}") from error
    return table


def check_plain(value: Any) -> None:
    """Check that plain data can be traversed recursively and written as TOML.

    Raises:
        ValueError: it is nested deeper than ``MAX_DEPTH``, or has an integer of more than 64 bits,
            which TOML and NumPy do not support, or bytes of a command line that are no text.
    """
    level = [value]
    for _ in range(MAX_DEPTH):
        deeper: list[Any] = []
        for each in level:
            if isinstance(each, Mapping):
                deeper += each.values()
            elif isinstance(each, (list, tuple)):
                deeper += each
            elif isinstance(each, int) and not -(2**63) <= each < 2**63:
                raise ValueError(f"an integer of {each.bit_length()} bits")
            elif isinstance(each, str) and any("\ud800" <= c <= "\udfff" for c in each):
                raise ValueError(f"{each!r} is not text in UTF-8")
        level = deeper
        if not level:
            return
    raise ValueError(f"tables nested more than {MAX_DEPTH} deep")


_PART = re.compile(r'"([^"]+)"|([^."]+)')
_DOTTED = re.compile(rf"(?:{_PART.pattern})(?:\.(?:{_PART.pattern}))*")
_PYTHON = re.compile(
    r"true|false|none|null|[\[({].*|[-+]?([0-9_]+\.|\.[0-9])[0-9_]*(e[-+]?[0-9]+)?", re.I | re.S
)
"""Texts that mean something in Python (or JSON) but are no TOML: ``False``, ``.5``, ``(1, 2)``."""

_WORDS = {"true": True, "false": False}


def parse_value(text: str) -> Any:
    """Parse a value of the command line: TOML, one of Python's literals, or else a string.

    A word in quotes is a string: ``"None"``.

    Raises:
        ValueError: it is ``None``, which TOML cannot hold, or fails ``check_plain``.
    """
    text = text.strip()
    try:
        value: Any = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = _python_value(text) if _PYTHON.fullmatch(text) else text
    check_plain(value)
    return value


def _python_value(text: str) -> Any:
    """Parse what is no TOML; a text that is no literal of plain data either is returned as it is.

    Raises:
        ValueError: it is, or contains, ``None``. The word ``none`` is a text.
    """
    word = text.lower()
    if word in _WORDS:
        return _WORDS[word]
    if word in ("none", "null") and text != "none":  # a value of some keys
        raise ValueError(
            f"{text} is no value here: leave it out where it is the default, or write "
            f"'\"{text}\"' for the word"
        )
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError):
        return text
    return _as_toml(value, text)


def _as_toml(value: Any, text: str) -> Any:
    """Convert what a text means in Python to what TOML can hold: tuples to lists.

    Raises:
        ValueError: TOML cannot hold it.
    """
    if isinstance(value, (list, tuple)):
        return [_as_toml(part, text) for part in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _as_toml(part, text) for key, part in value.items()}
    if isinstance(value, (str, bool, int, float)):
        return value
    raise ValueError(f"{text} contains {value!r}, which TOML cannot hold")


def was_text(recorded: Any, value: Any) -> bool:
    """Whether an earlier version recorded as a text what ``parse_value`` takes for a value now.

    Args:
        recorded: of a pool.
        value: of a command line.
    """
    if not isinstance(recorded, str) or not _PYTHON.fullmatch(recorded):
        return False
    try:
        return bool(value == parse_value(recorded)) and value != recorded
    except (ValueError, RecursionError):
        return False


def parse_override(text: str) -> tuple[str, Any]:
    """Parse ``a.b=value``, the value as by ``parse_value``.

    Raises:
        UsageError: there is no ``=``, or the value cannot be taken.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UsageError(f"--set {text}: expected key=value, as in learner.learning_rate=1e-3")
    try:
        return key.strip(), parse_value(value)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--set {key.strip()}: {error}") from error


def override(key: str, value: Any) -> str:
    """The text that ``parse_override`` parses as this key and value.

    Raises:
        UsageError: TOML cannot hold the value; names the key.
    """
    try:
        return f"{key}={_inline(value)}"
    except TypeError as error:
        raise UsageError(f"{key}: {value!r} is nothing that TOML can hold") from error


def _inline(value: Any) -> str:
    """A value as TOML in one line, also a table."""
    if isinstance(value, Mapping):
        pairs = (f"{_inline(str(key))} = {_inline(inner)}" for key, inner in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_inline, value))}]"
    return tomli_w.dumps({"value": value}).removeprefix("value = ").rstrip("\n")


def assign(table: dict[str, Any], dotted: str, value: Any) -> None:
    """Set a value by its dotted key, creating missing tables.

    Args:
        table: changed in place.
        dotted: key of the value, as in ``learner.learning_rate``; a part that contains a dot is in
            quotes, as in TOML: ``task.randomize."opt.gravity"``.
        value: replaces any old value.

    Raises:
        UsageError: a part of the path is a value, not a table.
    """
    *parents, last = _parts(dotted)
    for parent in parents:
        child = table.setdefault(parent, {})
        if not isinstance(child, dict):
            raise UsageError(f"{dotted}: {parent} is a value, not a table")
        table = child
    table[last] = value


def _parts(dotted: str) -> list[str]:
    """The parts of a dotted key, some of which may be in quotes."""
    if '"' not in dotted or not _DOTTED.fullmatch(dotted):
        return dotted.split(".")
    return [quoted or bare for quoted, bare in _PART.findall(dotted)]


def flatten(
    table: Mapping[str, Any],
    prefix: str = "",
    whole: re.Pattern[str] | None = None,
    *,
    quoted: bool = False,
) -> dict[str, Any]:
    """Flatten nested tables to one table with dotted keys.

    Args:
        table: the tables.
        prefix: of all keys.
        whole: dotted keys whose tables are values, and stay tables.
        quoted: whether nested keys that contain a dot are put in quotes, as for ``assign``.
    """
    flat: dict[str, Any] = {}
    for key, value in table.items():
        name = f'{prefix}"{key}"' if quoted and prefix and "." in key else f"{prefix}{key}"
        if isinstance(value, Mapping) and not (whole and whole.fullmatch(name)):
            flat |= flatten(value, f"{name}.", whole, quoted=quoted)
        else:
            flat[name] = value
    return flat


def sha256(table: Mapping[str, Any]) -> str:
    """Hash of a specification: SHA-256 of its table as sorted JSON, with infinities as strings.

    Raises:
        UsageError: a value has no JSON form: NaN, a date.
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
    """A copy without the keys that are None, since TOML has no null."""
    return {
        key: without_none(value) if isinstance(value, Mapping) else value
        for key, value in table.items()
        if value is not None
    }
