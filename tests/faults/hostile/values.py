"""Hypothesis strategies: hostile values, and tables and bytes with hostile values."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import tomli_w
from hypothesis import strategies as st

CANARIES = ("hostile_canary", "hostile_package")
"""Modules on the path that must not be imported."""

BIGGER_THAN_FLOATS = "\ue000 1e999"
"""Becomes the number 1e999 in JSON, which no float can represent."""


def deep(depth: int) -> Any:
    """Nested tables and lists."""
    value: Any = 1
    for i in range(depth):
        value = [value] if i % 2 else {"a": value}
    return value


NUMBERS: list[Any] = [0, -1, 1, 2, 7, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64, -(2**63) - 1]
NUMBERS += [10**30, 10**400, 0.0, -0.0, 0.5, 5e-324, 1e16, 1e300, 1e308, -1e308]
NUMBERS += [math.nan, math.inf, -math.inf]

TEXTS = ["", ".", "..", "/", "~", "~/x", "~no_such_user/x", "../../outside/kept", "/etc/passwd"]
TEXTS += ["/dev/zero", "/dev/stdin", "./pipe", "pipe", "./loop", "./model.xml", "outside", "a\\b"]
TEXTS += ["\0", "a\0b", "a\nb", "\x1b[31mred", "\u202eleft", "\u2028", "\ud800", "é" * 3, "x" * 300]
TEXTS += ["x" * 5000, "/" * 5000, "nan", "1e999", "%s%n{0}", "[bold]x[/]", "$(touch outside/new)"]
TEXTS += ["hostile_canary:Canary", "hostile_package.inner:Canary", "hostile_canary:CartPole-v1"]
TEXTS += ["hostile_canary", "canary.py:Canary", "./canary.py:Canary", "this:s", "antigravity:x"]
TEXTS += ["os:system", ":", "a:", ":a", "a..b:c", ".py:C", "/:C", "\0.py:C", "~no_such_user/a.py:C"]
TEXTS += ["Swimmer-v5", "Pendulum-v1", "CartPole-v1", "Plateau-v0", "Switches-v0", "ALE/Pong-v5"]
TEXTS += ["Ant-v3", "GymV26Environment-v0", "AnymalC-v0", "Blackjack-v1", "Nowhere-v0"]
TEXTS += ["iterations/000001/merge.json", "iterations/../../outside/kept.safetensors"]
TEXTS += ["iterations/000001/../../../outside/kept", "iterations/٠٠٠٠٠١/branch-000.json"]
TEXTS += ["0" * 64, "f" * 63, "F" * 64, "0" * 64 + "\n", "done", "failed", "branch", "initial"]
TEXTS += ["<mujoco/>", "<mujoco><include file='/etc/passwd'/></mujoco>", "<mujoco", "<!DOCTYPE a>"]

scalars = (
    st.sampled_from(NUMBERS)
    | st.sampled_from(TEXTS)
    | st.sampled_from([None, True, False, BIGGER_THAN_FLOATS])
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
)
structures = st.sampled_from(
    [[], {}, [[]], {"": 1}, deep(40), deep(400), [0] * 300, ["a"] * 9]
).map(
    deepcopy  # the mutations change them
)
values = st.one_of(
    scalars,
    scalars,
    structures,
    st.recursive(
        scalars,
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
        ),
        max_leaves=6,
    ),
)


@st.composite
def mutated(draw: st.DrawFn, table: Any, keys: tuple[str, ...] = ()) -> Any:
    """A copy of a table with one to three changes.

    Args:
        draw: Hypothesis' function.
        table: the original.
        keys: names for keys that are added.
    """
    table = json.loads(json.dumps(table))
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3]))):
        places = list(_places(table))
        if not places:
            return draw(values)
        holder, key = places[draw(st.integers(0, len(places) - 1))]
        change = draw(
            st.sampled_from(["value", "value", "value", "remove", "add", "swap", "repeat"])
        )
        if change == "value":
            holder[key] = draw(values)
        elif change == "remove":
            del holder[key]
        elif change == "swap":
            other, there = places[draw(st.integers(0, len(places) - 1))]
            holder[key] = json.loads(json.dumps(other[there]))
        elif change == "repeat" and isinstance(holder[key], list):
            holder[key] = holder[key] * draw(st.sampled_from([0, 2, 50]))
        elif isinstance(holder, dict):
            name = st.sampled_from([*keys, "schema", "extra"]) | st.text(max_size=8)
            holder[draw(name)] = draw(values)
        else:
            holder.append(draw(values))
    return table


def _places(table: Any) -> Iterator[tuple[Any, Any]]:
    inner = table.items() if isinstance(table, dict) else enumerate(table)
    for key, value in list(inner):
        yield table, key
        if isinstance(value, (dict, list)):
            yield from _places(value)


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """Bytes of which some are changed, cut, repeated or replaced."""
    for _ in range(draw(st.sampled_from([1, 1, 2, 4]))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        to = min(len(data), at + draw(st.sampled_from([0, 1, 8, 64, 10**6])))
        piece = draw(
            st.binary(min_size=1, max_size=8)
            | st.sampled_from(
                [b"", b"\0" * 64, b"\xff" * 8, b"\xed\xa0\x80", b'"', b"{", b"9" * 5000]
            )
            | st.just(data[at:to])
        )
        data = data[:at] + piece + data[draw(st.sampled_from([at, to])) :]
    return data


def to_json(table: Any) -> bytes:
    """Lax JSON, with NaN, infinities, and numbers that no float can represent."""
    text = json.dumps(table).replace(json.dumps(BIGGER_THAN_FLOATS), "1e999")
    return text.encode()


def to_toml(table: Any) -> bytes:
    """TOML; a value that TOML does not have is written as a string."""
    try:
        text = tomli_w.dumps(_for_toml(table)) if isinstance(table, dict) else f"x = {table!r}"
    except (RecursionError, ValueError):  # from the writer
        text = "x = " + "[{a=" * 400
    return text.encode(errors="replace")


def _for_toml(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _for_toml(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_for_toml(inner) for inner in value if inner is not None]
    if isinstance(value, int) and abs(value) > 10**4000:
        return str(value)
    return value


whole = st.one_of(
    st.binary(max_size=200),
    values.map(to_json),
    st.sampled_from(
        [b"", b"[" * 100_000, b'{"a":' * 50_000, b"\xff\xfe", b"\0" * 4096, b"a" * 2**21]
    ),
    st.sampled_from(
        [b"9" * 5000, b"x = " + b"9" * 5000, b"x = " + b"[" * 5000, b"{}", b"[]", b"null"]
    ),
)
"""The bytes of a file that poolrl did not write."""
