"""Writing of clips in the flat layout of stac-mjx, which track-mjx trains on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import NDArray

from poolrl.clips.clip import ROOT_POSITIONS, Array, Clip
from poolrl.clips.clip_file import ClipFile
from poolrl.clips.preprocess import SAME_PLACE, Body, poses
from poolrl.errors import UsageError
from poolrl.extras import require
from poolrl.hdf5 import mark, new_file


def write_flat(path: str | Path, clips: ClipFile, body: Body) -> None:
    """Write clips in the flat layout, whole or not at all; one clip at a time is in memory.

    ``poolrl.clips.recordings`` describes the layout. Clips that are shorter than the longest are
    padded with their last frame, and their lengths written as ``clip_lengths``. Numbers are
    float64.

    Args:
        path: of the file, which is replaced.
        clips: of the body.
        body: whose kinematics give the positions and orientations of all bodies.

    Raises:
        UsageError: the file cannot be written, or the clips are of another body: they have another
            number of joints, or tracked bodies that are elsewhere.
    """
    require("yaml", "clips", "the configuration of a flat file needs PyYAML")
    import yaml

    model = body.model
    lengths = [info.num_frames for info in clips.infos]
    stride = max(lengths)
    if clips.infos[0].counts["joints"] != model.nq - ROOT_POSITIONS:
        raise UsageError(
            f"{clips.path}: joints: {clips.infos[0].counts['joints']} joints, but the body has "
            f"{model.nq - ROOT_POSITIONS}"
        )
    config = {
        "model": {
            "snips_order": [f"{_letters(info.label)}_{i}.p" for i, info in enumerate(clips.infos)],
            "RENDER_FPS": clips.infos[0].fps,
        },
        "stac": {"n_frames_per_clip": stride},
    }
    joints = [model.joint(number).name for number in range(1, model.njnt)]
    shapes: dict[str, tuple[int, ...]] = {
        "qpos": (model.nq,),
        "qvel": (model.nv,),
        "xpos": (model.nbody, 3),
        "xquat": (model.nbody, 4),
    }
    with new_file(path) as new:
        file = new.file
        mark(file, synthetic=clips.is_synthetic)
        file["config"] = np.bytes_(yaml.safe_dump(config, sort_keys=False).encode())
        file["names_qpos"] = _bytes(["root"] * ROOT_POSITIONS + joints)
        file["names_xpos"] = _bytes([model.body(i).name for i in range(model.nbody)])
        if min(lengths) < stride:
            file["clip_lengths"] = lengths
        total = stride * len(lengths)
        arrays = {
            name: file.create_dataset(name, (total, *shape), np.float64)
            for name, shape in shapes.items()
        }
        for number, clip in enumerate(clips):
            rows = np.minimum(np.arange(stride), clip.num_frames - 1)
            qpos, places = clip.qpos, _places(model, clip.qpos)
            _require_same_places(clips, clip, places[0], body)
            written = {"qpos": qpos, "qvel": clip.qvel, "xpos": places[0], "xquat": places[1]}
            for name, array in written.items():
                arrays[name][number * stride : (number + 1) * stride] = array[rows]
            new.check()


def _places(model: mujoco.MjModel, qpos: Array) -> tuple[Array, Array]:
    """Positions (T, bodies, 3) and orientations (T, bodies, 4) of all bodies."""
    xpos = np.empty((len(qpos), model.nbody, 3))
    xquat = np.empty((len(qpos), model.nbody, 4))
    for frame, data in poses(model, qpos):
        xpos[frame], xquat[frame] = data.xpos, data.xquat
    return xpos, xquat


def _require_same_places(clips: ClipFile, clip: Clip, xpos: Array, body: Body) -> None:
    """Compare the tracked bodies of a clip, if they are so many, with those of the model."""
    tracked = body.ids(body.tracked)
    theirs = clip.body_positions.reshape(clip.num_frames, -1, 3)
    if not tracked or theirs.shape[1] != len(tracked):
        return
    distance = np.linalg.norm(theirs - xpos[:, tracked], axis=2)
    frame, worst = map(int, np.unravel_index(np.argmax(distance), distance.shape))
    if distance[frame, worst] > SAME_PLACE:
        raise UsageError(
            f"{clips.path}: {clip.name}: body_positions: {body.tracked[worst]} is "
            f"{1000 * distance[frame, worst]:.3g} mm from where the model puts it in frame "
            f"{frame}: another body, or another scale"
        )


def _bytes(names: Sequence[str]) -> NDArray[np.bytes_]:
    """Names as stac-mjx writes them; in UTF-8, of which NumPy itself has ASCII alone."""
    return np.array([name.encode() for name in names])


def _letters(label: str) -> str:
    """A label as files' names of stac-mjx have it, letters alone."""
    return re.sub(r"[^A-Za-z]", "", label) or "clip"
