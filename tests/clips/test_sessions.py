"""Clips cut from sessions by a table of start times."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from poolrl.clips import ClipFile, write_clips
from poolrl.clips.clip import FIELDS
from poolrl.clips.sessions import LABELS, cut, read_times
from poolrl.errors import UsageError
from tests.helpers.clips import random_clip

pytest.importorskip("h5py", reason="needs the extra clips")


@pytest.fixture
def session(tmp_path: Path) -> Path:
    write_clips(tmp_path / "session.h5", [random_clip(frames=100, fps=10.0, name="day")])
    return tmp_path / "session.h5"


@pytest.mark.parametrize("column", LABELS)
def test_parts_of_a_session(session: Path, tmp_path: Path, column: str) -> None:
    times = tmp_path / "times.csv"
    times.write_text(f"Start, {column}, ignored\n0,Rear,1\n 0:05.5 ,,\n8,Walk,\n")
    with ClipFile(session) as file:
        (whole,) = file
        clips = list(cut(file, read_times(times), times, seconds=2.0))
    assert [(clip.name, clip.label) for clip in clips] == [
        ("clip_0", "Rear"),
        ("clip_1", "Walk"),  # the session's own
        ("clip_2", "Walk"),
    ]
    for clip, start in zip(clips, (0, 55, 80), strict=True):
        assert (clip.fps, clip.num_frames) == (10.0, 20)
        for field in FIELDS:
            assert np.array_equal(getattr(clip, field), getattr(whole, field)[start : start + 20])


def test_several_sessions(tmp_path: Path) -> None:
    path, times = tmp_path / "sessions.h5", tmp_path / "times.csv"
    days = [random_clip(i, frames=20, name=name) for i, name in enumerate(("one", "two"))]
    write_clips(path, days)
    times.write_text("\ufeffclip,start,label\ntwo,0.1,Rear\none,0,\n", encoding="utf-8")
    with ClipFile(path) as file:
        second, first = cut(file, read_times(times), times, seconds=0.2)
    assert np.array_equal(second.joints, days[1].joints[5:15])
    assert np.array_equal(first.joints, days[0].joints[:10])


def test_times() -> None:
    written = {"0": 0.0, "12.5": 12.5, "1:02": 62.0, "10:00.25": 600.25, "1:00:01": 3601.0}
    written |= {"120:30": 7230.0, "2:00:30": 7230.0}
    for text, seconds in written.items():
        assert parsed(f"start\n{text}\n") == [seconds]


def parsed(text: str) -> list[float]:
    path = Path("times.csv")
    path.write_text(text)
    return [part.start for part in read_times(path)]


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "times.csv: line 1: no column `start`"),
        ("time,label\n1,Rear\n", "times.csv: line 1: no column `start`"),
        ("start\n", "times.csv: no start times"),
        ("start,label\n1,Rear\nsoon,Rear\n", "times.csv: line 3: start: 'soon' is no time"),
        ("start\n" + "9" * 400 + "\n", "times.csv: line 2: start: '999"),
        ("start\n1:100:30\n", "times.csv: line 2: start: '1:100:30' is no time"),
        ("start\n-1\n", "times.csv: line 2: start: '-1' is no time"),
        ("start,label\n1\n,Rear\n", "times.csv: line 3: start: '' is no time"),
        ("start\n9\n", "times.csv: line 2: 9 s to 11 s, but day of session.h5 ends at 10 s"),
        ("start,clip\n1,night\n", "times.csv: line 2: session.h5 has no clip 'night'"),
    ],
)
def test_what_is_wrong_is_one_line(session: Path, text: str, message: str) -> None:
    times = Path("times.csv")
    times.write_text(text)
    with ClipFile("session.h5") as file, pytest.raises(UsageError) as caught:
        list(cut(file, read_times(times), times, seconds=2.0))
    assert str(caught.value).startswith(message)


def test_more_of_what_is_wrong(session: Path) -> None:
    Path("times.csv").write_bytes(b"\xff\xfe\x00")
    for name in ("times.csv", "missing.csv", "."):
        with pytest.raises(UsageError, match=f"^{name}: ".replace(".", r"\.")):
            read_times(name)
    Path("times.csv").write_text("start\n1\n")
    write_clips("two.h5", [random_clip(name="one"), random_clip(name="two")])
    times = read_times("times.csv")
    with ClipFile("two.h5") as file, pytest.raises(UsageError, match=r"two\.h5 has 2 clips; name"):
        list(cut(file, times, "times.csv", seconds=0.02))
    with (
        ClipFile("session.h5") as file,
        pytest.raises(UsageError, match="expected 1 to 10,000,000"),
    ):
        list(cut(file, times, "times.csv", seconds=0.01))


def test_a_label_that_hdf5_cannot_hold(session: Path, tmp_path: Path) -> None:
    times, output = tmp_path / "times.csv", tmp_path / "cut.h5"
    times.write_text("start,label\n1,Re\0ar\n")
    with (
        ClipFile(session) as file,
        pytest.raises(UsageError, match=r"clip_0: 'Re\\x00ar' is no la"),
    ):
        write_clips(output, cut(file, read_times(times), times, seconds=2.0))
    assert not output.exists()
