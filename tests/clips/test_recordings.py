"""Recordings of generalised positions, as the files of stac-mjx and of tracking hold them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from poolrl.clips.recordings import has_recordings, read_recordings
from poolrl.errors import UsageError

h5py = pytest.importorskip("h5py", reason="needs the extra clips")
yaml = pytest.importorskip("yaml", reason="needs the extra clips")

BODIES = ("world", "torso", "skull")


def positions(frames: int, joints: int = 3, seed: int = 0) -> np.ndarray:
    qpos = np.random.default_rng(seed).standard_normal((frames, 7 + joints))
    qpos[:, 3:7] /= np.linalg.norm(qpos[:, 3:7], axis=1, keepdims=True)
    return qpos


def write_flat(
    path: Path,
    qpos: np.ndarray,
    config: object = None,
    datasets: dict[str, Any] | None = None,
) -> Path:
    """A file as stac-mjx writes it, with single precision as its arrays have it."""
    frames = len(qpos)
    with h5py.File(path, "w") as file:
        file["qpos"] = qpos.astype(np.float32)
        file["qvel"] = np.zeros((frames, qpos.shape[1] - 1), np.float32)
        file["xpos"] = np.zeros((frames, len(BODIES), 3), np.float32)
        file["xquat"] = np.zeros((frames, len(BODIES), 4), np.float32)
        file["names_qpos"] = np.array(["root"] * 7 + ["hip", "knee", "neck"], "S")
        file["names_xpos"] = np.array(BODIES, "S")
        if config is not None:
            file["config"] = np.bytes_(config if isinstance(config, str) else yaml.dump(config))
        for name, value in (datasets or {}).items():
            file.pop(name, None)
            file[name] = value
    return path


def test_clips_one_after_another(tmp_path: Path) -> None:
    qpos = positions(8)
    config = {
        "stac": {"n_frames_per_clip": 4},
        "model": {"snips_order": ["snips/FastWalk_12.p", "snips/Rear_3.p"]},
    }
    path = write_flat(tmp_path / "flat.h5", qpos, config)
    assert has_recordings(path)
    first, second = read_recordings(path, fps=50.0)
    assert [(each.name, each.label) for each in (first, second)] == [
        ("FastWalk_12", "FastWalk"),
        ("Rear_3", "Rear"),
    ]
    assert first.fps == 50.0
    assert first.body_names == BODIES
    assert first.xpos is not None
    assert first.xpos.shape == (4, 3, 3)
    assert np.array_equal(second.qpos, qpos[4:].astype(np.float32))


@pytest.mark.parametrize(
    ("config", "datasets", "asked", "lengths"),
    [
        (None, {}, None, [12]),
        ({"stac": {"n_frames_per_clip": 1}}, {}, None, [12]),
        ({"stac": {"n_frames_per_clip": 4}}, {}, None, [4, 4, 4]),
        ({"stac": {"n_frames_per_clip": 4}}, {}, 6, [6, 6]),
        ({"stac": {"n_frames_per_clip": 4}}, {"clip_lengths": [6, 2]}, None, [6, 2]),
        ({"model": {"snips_order": ["Walk_0", "Rear_1", "Walk_1"]}}, {}, None, [4, 4, 4]),
    ],
)
def test_lengths_of_clips(
    tmp_path: Path,
    config: object,
    datasets: dict[str, Any],
    asked: int | None,
    lengths: list[int],
) -> None:
    path = write_flat(tmp_path / "flat.h5", positions(12), config, datasets)
    found = list(read_recordings(path, fps=50.0, frames_per_clip=asked))
    assert [len(each.qpos) for each in found] == lengths
    assert len({each.name for each in found}) == len(found)
    stride = 12 // len(lengths)
    expected = positions(12).astype(np.float32)
    for number, each in enumerate(found):
        assert np.array_equal(each.qpos, expected[number * stride :][: lengths[number]])


@pytest.mark.parametrize("transposed", [False, True])
def test_a_session(tmp_path: Path, transposed: bool) -> None:
    path, qpos = tmp_path / "session_3.h5", positions(20)
    with h5py.File(path, "w") as file:
        file["pose/qpos"] = qpos.T if transposed else qpos
    (found,) = read_recordings(path, fps=30.0)
    assert (found.name, found.label, found.fps, found.xpos) == ("session_3", "", 30.0, None)
    assert np.array_equal(found.qpos, qpos)


def test_other_files_have_none(tmp_path: Path) -> None:
    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as file:
        file["tracks"] = np.zeros((3, 3))
    assert not has_recordings(path)
    with pytest.raises(UsageError, match=r"other\.h5: neither qpos nor pose/qpos"):
        list(read_recordings(path, fps=50.0))


NO_QUATERNION = positions(8)
NO_QUATERNION[:, 3:7] = 0.0
WITH_NAN = positions(8)
WITH_NAN[6, 8] = np.nan


@pytest.mark.parametrize(
    ("qpos", "config", "datasets", "message"),
    [
        (positions(8), "a: [", {}, "config: no YAML: "),
        (positions(8), "text", {}, "config: expected a mapping"),
        (positions(8), {"stac": {"n_frames_per_clip": 3}}, {}, "qpos: 8 frames are no clips of 3"),
        (positions(8), {"stac": {"n_frames_per_clip": "3"}}, {}, "config: stac.n_frames_per_clip"),
        (positions(8), {"model": {"snips_order": 3}}, {}, "config: model.snips_order: "),
        (positions(8), {"model": {"snips_order": ["a"] * 3}}, {}, "qpos: 8 frames are no 3 clips"),
        (positions(8), None, {"clip_lengths": [4, 5]}, "clip_lengths: expected 1 to 4 frames"),
        (positions(8), None, {"clip_lengths": []}, "clip_lengths: empty"),
        (positions(8), None, {"xpos": np.zeros((8, 2, 3))}, "xpos: expected the shape (8, 3, 3)"),
        (positions(8), None, {"qpos": np.zeros(8)}, "qpos: expected two dimensions, got 1"),
        (positions(8), None, {"qpos": "text"}, "qpos: expected a dataset of numbers"),
        (positions(0), None, {}, "qpos: no frames"),
        (NO_QUATERNION, None, {}, "qpos: columns 3 to 6 are no quaternions"),
        (WITH_NAN, {"stac": {"n_frames_per_clip": 4}}, {}, "qpos: nan in frame 6, column 8"),
    ],
)
def test_what_is_wrong_is_one_line(
    tmp_path: Path, qpos: np.ndarray, config: object, datasets: dict[str, Any], message: str
) -> None:
    path = write_flat(tmp_path / "flat.h5", qpos, config, datasets)
    with pytest.raises(UsageError) as caught:
        list(read_recordings(path, fps=50.0))
    assert str(caught.value).startswith(f"{path}: {message}")
    assert "\n" not in str(caught.value)
