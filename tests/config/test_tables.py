"""Nested tables."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poolrl.config import tables
from poolrl.config.run_options import RunOptions
from poolrl.errors import UsageError
from poolrl.pool.directory import make_pool, open_pool
from tests.conftest import tiny_spec


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("a.b=1", "a.b", 1),
        ("a.b=1e-3", "a.b", 1e-3),
        ("a=[1, 2]", "a", [1, 2]),
        ("a=true", "a", True),
        ("a=word", "a", "word"),
        ("a=b=c", "a", "b=c"),
        ('a="1"', "a", "1"),
    ],
)
def test_overrides_are_read_as_toml(text: str, key: str, value: object) -> None:
    assert tables.parse_override(text) == (key, value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("True", True),
        (" False ", False),
        ("TRUE", True),
        (".5", 0.5),
        ("-5.", -5.0),
        ("+.5e3", 500.0),
        ("[True, False]", [True, False]),
        ("(1, (2, 'x'))", [1, [2, "x"]]),
        ("{'a': True, 'b': (1,)}", {"a": True, "b": [1]}),
        # Texts, as they are.
        ('"False"', "False"),
        ("'None'", "None"),
        ("none", "none"),
        ("Falsehood", "Falsehood"),
        ("no", "no"),
        ("[a, b]", "[a, b]"),
        ("(x).xml", "(x).xml"),
        ("1.2.3", "1.2.3"),
        ("127.0.0.1", "127.0.0.1"),
        ("((((", "(((("),
    ],
)
def test_values_are_read_as_python_too(text: str, value: object) -> None:
    found = tables.parse_value(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("text", ["None", "null", "[1, None]", "{1: 2}", "{1, 2}", "(1j,)"])
def test_what_toml_cannot_hold_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"^--set a\.b: .*") as error:
        tables.parse_override(f"a.b={text}")
    assert text in str(error.value)


@pytest.mark.parametrize("text", ["./\udcff.npz", "['a', '\udcff']"])
def test_bytes_of_a_command_line_that_are_no_text_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"^--set a\.b: '.*udcff.*' is not text in UTF-8$"):
        tables.parse_override(f"a.b={text}")


def test_what_was_a_text_is_known_again() -> None:
    for recorded in ("False", "FALSE"):
        assert tables.was_text(recorded, False)
        assert not tables.was_text(recorded, True)
        assert not tables.was_text(recorded, recorded)
    assert tables.was_text("(1, 2)", [1, 2])
    assert not tables.was_text("5", 5)  # TOML, which was never a text
    assert not tables.was_text("None", "None")
    assert not tables.was_text(False, False)


@pytest.mark.parametrize("text", ["a", "=1", ""])
def test_an_override_without_a_key_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="key=value"):
        tables.parse_override(text)


VALUES = st.recursive(
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("a.= é\U0001f600"), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=100)
@given(VALUES)
def test_an_override_that_is_written_is_read_back(value: object) -> None:
    assert tables.parse_override(tables.override("a.b", value)) == ("a.b", value)


@pytest.mark.parametrize("value", [None, Path("a"), [1j], {"a": None}])
def test_an_override_that_cannot_be_written_is_named(value: object) -> None:
    with pytest.raises(UsageError, match=r"^a\.b: .* is nothing that TOML can hold$"):
        tables.override("a.b", value)


def test_assigning_makes_the_tables_on_the_way() -> None:
    table: dict[str, object] = {"a": {"b": 1}}
    tables.assign(table, "a.c", 2)
    tables.assign(table, "d.e.f", 3)
    assert table == {"a": {"b": 1, "c": 2}, "d": {"e": {"f": 3}}}
    assert tables.flatten(table) == {"a.b": 1, "a.c": 2, "d.e.f": 3}
    with pytest.raises(UsageError, match=r"a\.b\.c: b is a value"):
        tables.assign(table, "a.b.c", 4)
    tables.assign(table, 'd."x.y".z', 5)
    assert table["d"] == {"e": {"f": 3}, "x.y": {"z": 5}}
    flat = tables.flatten(table, quoted=True)
    assert flat == {"a.b": 1, "a.c": 2, "d.e.f": 3, 'd."x.y".z': 5}
    again: dict[str, object] = {}
    for key, value in flat.items():
        tables.assign(again, key, value)
    assert again == table


def test_the_identity_does_not_depend_on_the_order_of_keys() -> None:
    assert tables.sha256({"a": 1, "b": {"c": 2, "d": 3}}) == (
        tables.sha256({"b": {"d": 3, "c": 2}, "a": 1})
    )
    assert tables.sha256({"a": 1}) != tables.sha256({"a": 1.5})


def test_infinities_have_an_identity_and_nan_has_none() -> None:
    inf = float("inf")
    ranges = [{"a": {"b": pair}} for pair in ([0.0, inf], [-inf, 0.0], [0.0, 1.0])]
    assert len({tables.sha256(table) for table in ranges}) == 3
    assert tables.sha256({"a": (0.0, inf)}) == tables.sha256({"a": [0.0, inf]})
    with pytest.raises(UsageError, match="cannot be written"):
        tables.sha256({"a": [float("nan")]})


def test_what_toml_cannot_hold_is_left_out() -> None:
    assert tables.without_none({"a": None, "b": {"c": None, "d": 1}}) == {"b": {"d": 1}}


def test_a_byte_order_mark_is_no_part_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(b"\xef\xbb\xbf[pool]\r\ncount = 3\r\n")
    assert tables.read_toml(path) == {"pool": {"count": 3}}
    path.write_bytes(b"\xef\xbb\xbf")
    assert tables.read_toml(path) == {}


def test_two_marks_or_another_encoding_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    for data, word in (
        (b"\xef\xbb\xbf\xef\xbb\xbf[pool]", "not valid TOML"),
        ("[pool]".encode("utf-16"), "UTF-16; write it in UTF-8"),
        ("\ufeff[pool]".encode("utf-16-be"), "UTF-16; write it in UTF-8"),
    ):
        path.write_bytes(data)
        with pytest.raises(UsageError, match=word):
            tables.read_toml(path)


def test_a_pool_whose_files_an_editor_has_marked_is_the_same(tmp_path: Path) -> None:
    pool = make_pool(tmp_path / "pool", tiny_spec(), RunOptions(iterations=7))
    for path in (pool.layout.spec, pool.layout.root / "run.toml"):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    again = open_pool(pool.layout.root)
    assert (again.spec, again.run) == (pool.spec, pool.run)
