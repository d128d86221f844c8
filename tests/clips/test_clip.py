"""Clips in memory."""

from __future__ import annotations

import numpy as np
import pytest

from poolrl.clips.clip import FIELDS, Clip
from poolrl.errors import UsageError
from tests.helpers.clips import random_clip, with_value


def test_generalised_positions_and_velocities() -> None:
    clip = random_clip(joints=4)
    assert (clip.num_frames, clip.qpos.shape, clip.qvel.shape) == (7, (7, 11), (7, 10))
    assert np.array_equal(clip.qpos[:, 3:7], clip.quaternion)
    assert np.array_equal(clip.qvel[:, 3:6], clip.angular_velocity)
    assert clip.counts == {"joints": 4, "appendages": 2, "bodies": 3}


@pytest.mark.parametrize("field", FIELDS)
def test_what_is_no_clip(field: str) -> None:
    clip = random_clip()
    array = getattr(clip, field)
    wrong: list[tuple[np.ndarray, str]] = [
        (array[:-1], "frames"),
        (array.astype(np.float32), "float64"),
        (array[:, :, None], "two dimensions"),
    ]
    for value in (np.nan, np.inf):
        damaged = array.copy()
        damaged[3, 1] = value
        wrong.append((damaged, f"{value} in frame 3, column 1"))
    for value, message in wrong:
        # A position of another length is the one that the others differ from.
        said = "quaternion" if field == "position" and message == "frames" else field
        with pytest.raises(UsageError, match=rf"^{said}: .*{message}"):
            with_value(clip, field, value)


@pytest.mark.parametrize(
    ("field", "width", "message"),
    [
        ("position", 6, "expected a width of 3, got 6"),
        ("quaternion", 3, "a width of 3 is no multiple of 4"),
        ("joints_velocity", 5, "expected a width of 4, 1 for each of 4 joints, got 5"),
        ("appendages", 7, "a width of 7 is no multiple of 3"),
        ("body_quaternions", 8, "expected a width of 12, 4 for each of 3 bodies, got 8"),
    ],
)
def test_wrong_widths(field: str, width: int, message: str) -> None:
    clip = random_clip()
    with pytest.raises(UsageError, match=f"^{field}: {message}$"):
        with_value(clip, field, np.ones((7, width)))


def test_quaternions_are_of_unit_length() -> None:
    clip = random_clip()
    wrong = clip.body_quaternions.copy()
    wrong[2, 4:8] *= 1.01
    with pytest.raises(UsageError, match=r"^body_quaternions: .*1 in frame 2 is 1\.01, not 1$"):
        with_value(clip, "body_quaternions", wrong)
    near = with_value(clip, "quaternion", clip.quaternion.astype(np.float32).astype(np.float64))
    assert np.abs(near.quaternion - clip.quaternion).max() < 1e-6


def test_frames_and_rates() -> None:
    clip = random_clip()
    arrays = {field: getattr(clip, field) for field in FIELDS}
    for fps in (0.0, -50.0, float("nan"), float("inf")):
        with pytest.raises(UsageError, match=r"^fps: "):
            Clip("clip", "", fps, **arrays)
    with pytest.raises(UsageError, match=r"^position: no frames$"):
        Clip("clip", "", 50.0, **{field: array[:0] for field, array in arrays.items()})
