"""Scores, durations, file sizes and counts as text."""

from __future__ import annotations

import pytest

from poolrl.formatting import count, decimals, duration, file_size


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0.00"),
        (-1234.567, "-1234.57"),
        (0.5, "0.50"),
        (0.0999, "0.10"),
        (0.00123, "0.0012"),
        (-2e-5, "-2.0e-05"),
        (float("inf"), "inf"),
        (float("nan"), "nan"),
    ],
)
def test_scores(value: float, text: str) -> None:
    assert decimals(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "0s"), (59.4, "59s"), (60, "1m00s"), (200, "3m20s"), (7500, "2h05m")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [
        (0, "worker", "0 workers"),
        (1, "worker", "1 worker"),
        (1, "branch", "1 branch"),
        (12_000, "branch", "12,000 branches"),
    ],
)
def test_counts(number: int, noun: str, text: str) -> None:
    assert count(number, noun) == text


@pytest.mark.parametrize(
    ("size", "decimal", "binary"),
    [
        (0, "0 bytes", "0 B"),
        (999, "999 bytes", "999 B"),
        (1000, "1.0 kB", "1000 B"),
        (1500, "1.5 kB", "1.5 KiB"),
        (12_345, "12.3 kB", "12 KiB"),
        (999_999, "1000.0 kB", "977 KiB"),
        (3 * 1024**3, "3.2 GB", "3.0 GiB"),
        (20 * 1024**4, "21990.2 GB", "20 TiB"),
        (12 * 1024**5, "13510798.9 GB", "12.0 PiB"),
    ],
)
def test_file_sizes(size: int, decimal: str, binary: str) -> None:
    assert file_size(size) == decimal
    assert file_size(size, binary=True) == binary
