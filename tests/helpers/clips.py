"""Clips for tests."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from poolrl.clips.clip import FIELDS, QUATERNIONS, Clip


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
