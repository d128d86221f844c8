"""Evaluation clips cut from recorded sessions, by a table of start times."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from poolrl.clips.clip import Clip, frame_count
from poolrl.clips.clip_file import ClipFile, ClipInfo
from poolrl.errors import UsageError
from poolrl.files import SPECIFICATION, NotAPlainFile, read_plain

LABELS = ("label", "note", "manual_notes")
"""Columns that hold the behaviour; the first that is there counts."""


class Part(NamedTuple):
    """A row of the table.

    Attributes:
        line: of the file, from 1.
        clip: which clip of the session's file; empty for the only one.
        start: in s.
        label: the behaviour; empty for none.
    """

    line: int
    clip: str
    start: float
    label: str


def read_times(path: str | Path) -> list[Part]:
    """Read a table of start times: CSV with a header.

    Its columns are ``start``, in seconds or as minutes:seconds or hours:minutes:seconds; one of
    ``LABELS``, the behaviour; ``clip``, for files of several sessions. All but the first may be
    missing, and others are ignored.

    Raises:
        UsageError: the file cannot be read as such; names the line.
    """
    try:
        text = read_plain(path, SPECIFICATION).decode("utf-8-sig")
    except (OSError, NotAPlainFile, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(f"{path}: {reason}") from error
    rows = csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True)
    try:
        columns = {(name or "").strip().lower(): name for name in rows.fieldnames or ()}
        if "start" not in columns:
            raise UsageError(f"{path}: line 1: no column `start`")
        label = next((columns[name] for name in LABELS if name in columns), None)
        parts = [
            Part(
                rows.line_num,
                _cell(row, columns.get("clip")),
                _seconds(path, rows.line_num, _cell(row, columns["start"])),
                _cell(row, label),
            )
            for row in rows
        ]
    except csv.Error as error:
        raise UsageError(f"{path}: line {rows.line_num}: {error}") from error
    if not parts:
        raise UsageError(f"{path}: no start times")
    return parts


def cut(
    sessions: ClipFile, parts: Sequence[Part], times: str | Path, *, seconds: float
) -> Iterator[Clip]:
    """Yield the clips of a table, ``clip_0``, ``clip_1`` and so on; only their frames are read.

    Args:
        sessions: file of long clips.
        parts: rows of the table.
        times: path of the table, for messages.
        seconds: length of each clip.

    Raises:
        UsageError: a row is about no clip of the file, or goes beyond its end; names the line.
    """
    spans = [_span(sessions, part, times, seconds) for part in parts]
    for number, (part, (index, start, stop)) in enumerate(zip(parts, spans, strict=True)):
        clip = sessions.read(index, start, stop)
        yield replace(clip, name=f"clip_{number}", label=part.label or clip.label)


def _span(
    sessions: ClipFile, part: Part, times: str | Path, seconds: float
) -> tuple[int, int, int]:
    index = _index(sessions.infos, part, times, sessions.path)
    info = sessions.infos[index]
    start, frames = round(part.start * info.fps), frame_count(seconds, info.fps)
    if start + frames > info.num_frames:
        raise UsageError(
            f"{times}: line {part.line}: {part.start:g} s to {part.start + seconds:g} s, but "
            f"{info.name} of {sessions.path} ends at {info.num_frames / info.fps:g} s"
        )
    return index, start, start + frames


def _index(infos: Sequence[ClipInfo], part: Part, times: str | Path, path: str | Path) -> int:
    names = [info.name for info in infos]
    if part.clip:
        if part.clip not in names:
            raise UsageError(f"{times}: line {part.line}: {path} has no clip {part.clip!r}")
        return names.index(part.clip)
    if len(names) > 1:
        raise UsageError(
            f"{times}: line {part.line}: {path} has {len(names)} clips; name one in a column `clip`"
        )
    return 0


def _cell(row: dict[str, str | None], column: str | None) -> str:
    value = None if column is None else row.get(column)
    return (value or "").strip()


def _seconds(path: str | Path, line: int, text: str) -> float:
    match = re.fullmatch(r"(?:(?:(\d{1,6}):(?=\d{1,2}:))?(\d{1,6}):)?(\d{1,9}(?:\.\d*)?)", text)
    if match is None:
        raise UsageError(
            f"{path}: line {line}: start: {text!r} is no time; write seconds, or minutes:seconds"
        )
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return math.fsum((3600 * hours, 60 * minutes, seconds))
