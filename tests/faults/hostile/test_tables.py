"""Hostile TOML tables and overrides are refused with one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from poolrl.config import tables
from poolrl.config.validation import convert
from poolrl.errors import IncompatiblePool, UsageError
from poolrl.pool.directory import Pool, open_pool


@pytest.mark.parametrize(
    "text",
    [
        "x = " + "9" * 5000,
        "x = 0x" + "f" * 5000,
        "x = " + "[" * 5000,
        "x = " + "[" * 50 + "]" * 50,
        "x = 99999999999999999999",
        "\0",
        "\udc80",
    ],
)
def test_tables_that_nothing_can_use(pool: Pool, tmp_path: Path, text: str) -> None:
    path = tmp_path / "hostile.toml"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(UsageError, match=r"hostile\.toml: ") as error:
        tables.read_toml(path)
    assert len(str(error.value)) < 500
    for file in (pool.layout.spec, pool.layout.run):
        before = file.read_bytes()
        file.write_bytes(path.read_bytes())
        with pytest.raises(IncompatiblePool, match=rf"{file.name}: "):
            open_pool(pool.layout.root)
        file.write_bytes(before)
    with pytest.raises(UsageError):
        convert(tables.parse_override("a.b=" + text.partition("=")[2]), int)


def test_versions_that_no_record_can_repeat(pool: Pool) -> None:
    text = pool.layout.spec.read_text()
    pool.layout.spec.write_text(text.replace("\n[made_with]\n", '\n[made_with]\n"a\\nb" = "c"\n'))
    with pytest.raises(IncompatiblePool, match=r"pool\.toml: .*made_with"):
        open_pool(pool.layout.root)


def test_a_huge_table_is_not_read(tmp_path: Path) -> None:
    with open(tmp_path / "huge.toml", "wb") as file:
        file.truncate(2**40)
    with pytest.raises(UsageError, match=r"huge\.toml: larger than"):
        tables.read_toml(tmp_path / "huge.toml")
