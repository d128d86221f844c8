"""Clips in the flat layout of stac-mjx."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
import pytest

from poolrl.clips import Clip, ClipFile, write_clips
from poolrl.clips.flat_file import write_flat
from poolrl.clips.preprocess import Body, make_clip
from poolrl.clips.recordings import Recording, is_synthetic, read_recordings
from poolrl.errors import UsageError
from tests.helpers.clips import SNAKE, assert_same, random_clip, smooth_positions, snake

h5py = pytest.importorskip("h5py", reason="needs the extra clips")
yaml = pytest.importorskip("yaml", reason="needs the extra clips")

BODY = snake()
LABELS = ("Walk", "Rear", "")


def clips_of(*lengths: int) -> list[Clip]:
    return [
        make_clip(
            Recording(f"clip_{i}", LABELS[i % 3], 50.0, smooth_positions(frames, seed=i)), BODY
        )
        for i, frames in enumerate(lengths)
    ]


@pytest.mark.parametrize("lengths", [(6, 6, 6), (4, 9, 1), (5,)])
def test_there_and_back(tmp_path: Path, lengths: tuple[int, ...]) -> None:
    clips = clips_of(*lengths)
    source, flat = tmp_path / "clips.h5", tmp_path / "flat.h5"
    write_clips(source, clips, synthetic=len(lengths) == 1)
    with ClipFile(source) as file:
        write_flat(flat, file, BODY)
    found = [make_clip(each, BODY) for each in read_recordings(flat, fps=50.0)]
    assert [clip.label for clip in found] == [clip.label or "clip" for clip in clips]
    for one, other in zip(found, clips, strict=True):
        assert_same(replace(one, name=other.name, label=other.label), other)
    assert is_synthetic(flat) == (len(lengths) == 1)


def test_the_layout(tmp_path: Path) -> None:
    source, flat = tmp_path / "clips.h5", tmp_path / "flat.h5"
    clips = clips_of(3, 4)
    write_clips(source, clips)
    with ClipFile(source) as file:
        write_flat(flat, file, BODY)
    with h5py.File(flat) as found:
        shapes = {name: found[name].shape for name in ("qpos", "qvel", "xpos", "xquat")}
        assert shapes == {"qpos": (8, 10), "qvel": (8, 9), "xpos": (8, 5, 3), "xquat": (8, 5, 4)}
        assert [name.decode() for name in found["names_qpos"]][6:] == [
            "root",
            "neck",
            "head",
            "tail",
        ]
        assert [name.decode() for name in found["names_xpos"]][:2] == ["world", "trunk"]
        assert found["clip_lengths"][()].tolist() == [3, 4]
        assert np.array_equal(found["qpos"][3], clips[0].qpos[2])
        assert np.array_equal(found["xpos"][4:, 1], clips[1].position)
        config = yaml.safe_load(found["config"][()])
    assert config["stac"]["n_frames_per_clip"] == 4
    assert config["model"]["snips_order"] == ["Walk_0.p", "Rear_1.p"]


def test_names_beyond_ascii(tmp_path: Path) -> None:
    model = mujoco.MjModel.from_xml_string(SNAKE.replace('name="head"', 'name="tête"'))
    body = Body(model, "trunk", ("tail", "tête"), ("trunk", "neck", "tête"))
    source, flat = tmp_path / "clips.h5", tmp_path / "flat.h5"
    write_clips(source, clips_of(3))
    with ClipFile(source) as file:
        write_flat(flat, file, body)
    (found,) = read_recordings(flat, fps=50.0)
    assert found.body_names == ("world", "trunk", "neck", "tête", "tail")


def test_another_body_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "clips.h5"
    write_clips(source, [random_clip(joints=4)])
    with ClipFile(source) as file, pytest.raises(UsageError, match=r"joints: 4 joints, but .* 3$"):
        write_flat(tmp_path / "flat.h5", file, BODY)
    assert [path.name for path in tmp_path.iterdir()] == ["clips.h5"]


def test_a_body_of_another_scale_is_refused(tmp_path: Path) -> None:
    model = mujoco.MjModel.from_xml_string(SNAKE.replace('pos="0.1 0 0"', 'pos="0.09 0 0"'))
    source = tmp_path / "clips.h5"
    write_clips(source, clips_of(3))
    message = (
        r"clip_0: body_positions: \w+ is 10 mm from where the model puts it in frame \d: another"
    )
    with ClipFile(source) as file, pytest.raises(UsageError, match=message):
        write_flat(
            tmp_path / "flat.h5", file, Body(model, BODY.root, BODY.appendages, BODY.tracked)
        )
    assert [path.name for path in tmp_path.iterdir()] == ["clips.h5"]
