"""Differences by key."""

from __future__ import annotations

from poolrl.records.consistency import compare


def test_the_first_difference_of_each_list_is_reported() -> None:
    one = {"a": [1.0, 2.0, 3.0], "b": {"c": 1, "d": None}, "e": []}
    other = {"a": [1.0, 2.5, 3.5], "b": {"c": 1}, "e": [1]}
    assert [str(each) for each in compare("file", one, other, "here")] == [
        "file: a[1]: 2.0 recorded, 2.5 here; 1 more of a",
        "file: b.d: None recorded, nothing here",
        "file: e: [] recorded, nothing here; 1 more of e",
    ]
