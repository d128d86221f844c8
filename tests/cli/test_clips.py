"""``poolrl clips``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from poolrl.clips import read_clips, synthesis, write_clips
from poolrl.clips.clip import FIELDS
from poolrl.clips.preprocess import make_clip
from poolrl.clips.recordings import Recording
from tests.helpers.clips import SNAKE, random_clip, smooth_positions, snake
from tests.helpers.command_line import in_process
from tests.helpers.pools import snapshot
from tests.helpers.rodents import needs_dm

h5py = pytest.importorskip("h5py", reason="needs the extra clips")

BODY = ("--model", "snake.xml", "--root", "trunk", "--appendages", "tail,head")
TRACKED = ("--tracked", "trunk, neck, head")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A session of a small body, and clips of it."""
    (tmp_path / "snake.xml").write_text(SNAKE)
    with h5py.File(tmp_path / "session.h5", "w") as file:
        file["pose/qpos"] = smooth_positions(100)
    write_clips(tmp_path / "clips.h5", [make_clip(recorded(), snake())], synthetic=True)
    return tmp_path


def recorded() -> Recording:
    return Recording("clip_0", "Turn", 50.0, smooth_positions(100))


def said(folder: Path, *arguments: object) -> str:
    """What a command prints that succeeds."""
    done = in_process("clips", *arguments, cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def refused(folder: Path, *arguments: object) -> str:
    """The one line of a command that fails and leaves everything as it was."""
    before = snapshot(folder)
    done = in_process("clips", *arguments, cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert snapshot(folder) == before
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_a_session_becomes_clips(folder: Path) -> None:
    assert said(folder, "convert", "session.h5", "-o", "new.h5", *BODY, *TRACKED) == "new.h5\n"
    (clip,) = read_clips(folder / "new.h5")
    (expected,) = read_clips(folder / "clips.h5")
    assert (clip.name, clip.label) == ("session", "")
    for field in FIELDS:
        assert np.array_equal(getattr(clip, field), getattr(expected, field))

    (folder / "times.csv").write_text("start,label\n0.5,Rear\n1,Walk\n")
    said(folder, "cut", "new.h5", "--times", "times.csv", "--seconds", "0.4", "-o", "cut.h5")
    first, second = read_clips(folder / "cut.h5")
    assert (first.label, second.label) == ("Rear", "Walk")
    assert np.array_equal(first.joints, clip.joints[25:45])


def test_flat_files_there_and_back(folder: Path) -> None:
    said(folder, "convert", "clips.h5", "--to", "flat", "-o", "flat.h5", *BODY, *TRACKED)
    said(folder, "convert", "flat.h5", "-o", "back.h5", *BODY, *TRACKED)
    said(folder, "convert", "flat.h5", "-o", "parts.h5", "--frames-per-clip", "50", *BODY, *TRACKED)
    (clip,), (back,) = read_clips(folder / "clips.h5"), read_clips(folder / "back.h5")
    for field in FIELDS:
        assert np.array_equal(getattr(back, field), getattr(clip, field))
    assert [each.num_frames for each in read_clips(folder / "parts.h5")] == [50, 50]
    # What was made stays marked as such.
    for name in ("flat.h5", "back.h5", "parts.h5"):
        assert ", synthetic\n" in said(folder, "info", name)


def test_what_is_in_a_file(folder: Path) -> None:
    clips = [random_clip(i, name=f"clip_{i}", frames=5 + i, label="AB"[i % 2]) for i in range(3)]
    write_clips(folder / "three.h5", clips)
    assert said(folder, "info", "three.h5") == (
        "clips, 50 frames a second\n"
        "4 joints, 2 appendages, 3 bodies\n"
        "label  clips  frames  shortest  longest\n"
        "A          2      12         5        7\n"
        "B          1       6         6        6\n"
        "all        3      18\n"
    )
    found = json.loads(said(folder, "info", "clips.h5", "--check", "--json"))
    assert found == {
        "layout": "clips",
        "fps": 50.0,
        "synthetic": True,
        "joints": 3,
        "appendages": 2,
        "bodies": 3,
        "labels": {"Turn": {"clips": 1, "frames": 100, "shortest": 100, "longest": 100}},
    }
    assert said(folder, "info", "session.h5") == (
        "recordings of 10 generalised positions\n"
        "label   clips  frames  shortest  longest\n"
        "(none)      1     100       100      100\n"
        "all         1     100\n"
    )


@needs_dm
def test_synthetic_clips(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthesis, "SETTLING_SECONDS", 0.1)
    for name in ("one.h5", "two.h5"):
        options = ("--clips", "2", "--seconds", "0.1", "--seed", "4")
        assert said(folder, "synthesize", "-o", name, *options) == f"{name}\n"
    with h5py.File(folder / "one.h5") as one, h5py.File(folder / "two.h5") as two:
        assert bool(one.attrs["synthetic"])
        names: list[str] = []
        one.visititems(lambda name, each: names.append(name) if hasattr(each, "shape") else None)
        assert len(names) == 2 * (len(FIELDS) + 1)
        for name in names:
            assert one[name][()].tobytes() == two[name][()].tobytes()
    assert [clip.label for clip in read_clips(folder / "one.h5", joints=67)] == ["Still", "Sway"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("info", "snake.xml"), "poolrl: snake.xml: no HDF5 file, or a damaged one: "),
        (("info", "missing.h5"), "poolrl: missing.h5: No such file or directory"),
        (("info", "nan.h5", "--check"), "poolrl: nan.h5: clip_0/walkers/walker_0/joints: nan in "),
        (("convert", "clips.h5", "-o", "n.h5"), "poolrl: clips.h5: has clips already; --to flat"),
        (
            ("convert", "nan.h5", "--to", "flat", "-o", "n.h5", *BODY, *TRACKED),
            "poolrl: nan.h5: clip_0/walkers/walker_0/joints: nan in ",
        ),
        (("convert", "session.h5", "-o", "no/n.h5", *BODY, *TRACKED), "poolrl: no/n.h5: no such"),
        (
            ("convert", "session.h5", "-o", "n.h5", *BODY),
            "poolrl: --model snake.xml: model: no body 'torso' (--root, --appendages, --tracked)",
        ),
        (
            ("convert", "session.h5", "-o", "n.h5", "--model", "missing.xml"),
            "poolrl: --model missing.xml: ",
        ),
        (("cut", "clips.h5", "--times", "t.csv", "-o", "n.h5"), "poolrl: t.csv: line 2: 1 s to 21"),
        (("cut", "session.h5", "--times", "t.csv", "-o", "n.h5"), "poolrl: session.h5: pose/walk"),
        (("cut", "clips.h5", "--times", "t.csv", "-o", "clips.h5"), "poolrl: clips.h5: it is read"),
        (("convert", "session.h5", "-o", "./session.h5", *BODY), "poolrl: session.h5: it is read"),
    ],
)
def test_what_is_wrong_is_one_line(folder: Path, arguments: tuple[str, ...], message: str) -> None:
    (folder / "t.csv").write_text("start\n1\n")
    damaged = folder / "nan.h5"
    damaged.write_bytes((folder / "clips.h5").read_bytes())
    with h5py.File(damaged, "r+") as file:
        file["clip_0/walkers/walker_0/joints"][0, 3] = np.nan
    assert refused(folder, *arguments).startswith(message)


@needs_dm
def test_a_recording_of_another_body_is_refused(folder: Path) -> None:
    for option, message in (
        (("--body-scale", "nan"), "poolrl: --body-scale: expected more than 0, got nan\n"),
        (("--tracked", "ear"), "poolrl: model: no body 'ear' (--root, --appendages, --tracked)\n"),
    ):
        assert refused(folder, "convert", "session.h5", "-o", "new.h5", *option) == message
    assert refused(folder, "convert", "session.h5", "-o", "new.h5") == (
        "poolrl: session.h5: session: qpos: expected a width of 74, the body's, got 10\n"
    )
