"""Clips for tests."""

from __future__ import annotations

from dataclasses import replace

import mujoco
import numpy as np

from poolrl.clips.clip import FIELDS, QUATERNIONS, Clip
from poolrl.clips.preprocess import Body


def random_clip(
    seed: int = 0,
    *,
    frames: int = 7,
    joints: int = 4,
    appendages: int = 2,
    bodies: int = 3,
    name: str = "clip_0",
    label: str = "Walk",
    fps: float = 50.0,
) -> Clip:
    """A clip of random numbers; its fields do not belong together."""
    generator = np.random.default_rng(seed)
    of = {"": 1, "joints": joints, "appendages": appendages, "bodies": bodies}
    arrays = {}
    for field, (columns, count) in FIELDS.items():
        array = generator.standard_normal((frames, columns * of[count]))
        if field in QUATERNIONS and array.size:
            array = array.reshape(frames, -1, 4)
            array /= np.linalg.norm(array, axis=2, keepdims=True)
            array = array.reshape(frames, -1)
        arrays[field] = array
    return Clip(name, label, fps, **arrays)


def with_value(clip: Clip, field: str, value: np.ndarray) -> Clip:
    """A clip with another array."""
    return replace(clip, **{field: value})


def assert_same(one: Clip, other: Clip) -> None:
    """Check that two clips are equal to the bit."""
    assert (one.name, one.label, one.fps) == (other.name, other.label, other.fps)
    for field in FIELDS:
        found, expected = getattr(one, field), getattr(other, field)
        assert found.dtype == expected.dtype
        assert np.array_equal(found, expected), field


SNAKE = """
<mujoco>
  <compiler autolimits="true"/>
  <worldbody>
    <body name="trunk">
      <freejoint/>
      <geom type="capsule" size="0.02" fromto="-0.1 0 0 0.1 0 0"/>
      <body name="neck" pos="0.1 0 0">
        <joint name="neck" axis="0 1 0"/>
        <geom type="capsule" size="0.01" fromto="0 0 0 0.05 0 0"/>
        <body name="head" pos="0.05 0 0.01">
          <joint name="head" axis="0 0 1"/>
          <geom type="sphere" size="0.02"/>
        </body>
      </body>
      <body name="tail" pos="-0.1 0 0">
        <joint name="tail" axis="0 0 1"/>
        <geom type="capsule" size="0.01" fromto="0 0 0 -0.08 0 0"/>
      </body>
    </body>
  </worldbody>
</mujoco>
"""
"""A body with a free joint and three hinges."""


def snake() -> Body:
    """``SNAKE``, with two end effectors and three tracked bodies."""
    model = mujoco.MjModel.from_xml_string(SNAKE)
    return Body(model, "trunk", ("tail", "head"), ("trunk", "neck", "head"))


def smooth_positions(frames: int, seed: int = 0, joints: int = 3) -> np.ndarray:
    """Positions (frames, 7 + joints) of a body that moves smoothly and turns."""
    generator = np.random.default_rng(seed)
    time = np.arange(frames)[:, None] / 50.0
    phase, rate = generator.uniform(0, 6, (2, 7 + joints))
    qpos = 0.3 * np.sin(rate * time + phase)
    qpos[:, 3:7] += generator.standard_normal(4)
    qpos[:, 3:7] /= np.linalg.norm(qpos[:, 3:7], axis=1, keepdims=True)
    return qpos
