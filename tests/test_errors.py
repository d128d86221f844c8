"""Errors as text."""

from __future__ import annotations

from poolrl.errors import UsageError, one_line


def test_an_error_is_one_line() -> None:
    assert one_line(UsageError("a\n  b\tc ")) == "UsageError: a b c"
    assert one_line(KeyError()) == "KeyError:"
