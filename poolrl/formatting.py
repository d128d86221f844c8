"""Scores, durations, file sizes and counts as text."""

from __future__ import annotations

from rich.filesize import pick_unit_and_suffix


def decimals(value: float) -> str:
    """Format a score or a return: two decimals, or two digits of what is smaller than 0.1."""
    return f"{value:.2f}" if value == 0 or abs(value) >= 0.1 else f"{value:#.2g}"


def duration(seconds: float) -> str:
    """Format a duration in seconds: 45s, 3m20s, 2h05m."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def count(number: int, noun: str) -> str:
    """Format a number of things: ``1 branch``, ``10 branches``.

    Args:
        number: of them.
        noun: for one; its plural has an s, or es after ch, sh, s and x.
    """
    plural = f"{noun}es" if noun.endswith(("ch", "sh", "s", "x")) else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def file_size(size: int, *, binary: bool = False) -> str:
    """Format a number of bytes.

    Args:
        size: in bytes.
        binary: use powers of 1024 (``12 KiB``, ``1.5 GiB``) instead of 1000 (``12.0 kB``,
            ``1.5 GB``).
    """
    if binary:
        suffixes = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]
        unit, suffix = pick_unit_and_suffix(size, suffixes, 1024)
        whole = suffix == "B" or (size >= 10 * unit and suffix != "PiB")
    else:
        unit, suffix = pick_unit_and_suffix(size, ["bytes", "kB", "MB", "GB"], 1000)
        whole = suffix == "bytes"
    return f"{size / unit:.{0 if whole else 1}f} {suffix}"
