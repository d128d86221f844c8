"""A motion clip in memory: what a body did, frame by frame, and which behaviour that is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from poolrl.errors import UsageError

Array = NDArray[np.float64]

UNIT_TOLERANCE = 1e-3
"""Largest deviation of a quaternion's length from 1; float32 and conversions leave 1e-6."""

ROOT_POSITIONS = 7
"""Generalised positions of a free joint: position and quaternion; its velocities are one less."""

MAX_FRAMES = 10**7
"""Of a clip that is made; 55 hours at 50 frames a second."""


class Field(NamedTuple):
    """An array of a clip.

    Attributes:
        columns: their number, or what it is a multiple of.
        of: key of ``Clip.counts`` that multiplies it; empty for none.
    """

    columns: int
    of: str = ""


FIELDS = {
    "position": Field(3),
    "quaternion": Field(4),
    "joints": Field(1, "joints"),
    "velocity": Field(3),
    "angular_velocity": Field(3),
    "joints_velocity": Field(1, "joints"),
    "center_of_mass": Field(3),
    "appendages": Field(3, "appendages"),
    "body_positions": Field(3, "bodies"),
    "body_quaternions": Field(4, "bodies"),
}
"""The arrays of a clip, by the names that files and dm_control give them."""

QUATERNIONS = ("quaternion", "body_quaternions")


@dataclass(frozen=True, eq=False)
class Clip:
    """A recorded movement of a body with a free root joint; rows are frames.

    The arrays are float64, of the same number of rows; positions are in m, angles in rad,
    velocities per second, quaternions (w, x, y, z) of unit length. All but the appendages are in
    the frame of the world, except that angular velocities are in the root's own, as in MuJoCo's
    ``qvel``.

    Attributes:
        name: of the clip, unlike any other's of its file.
        label: the behaviour; empty for none.
        fps: frames a second.
        position: (T, 3): of the root.
        quaternion: (T, 4): of the root.
        joints: (T, j): positions of the other joints, each with one degree of freedom.
        velocity: (T, 3): of the root.
        angular_velocity: (T, 3): of the root.
        joints_velocity: (T, j).
        center_of_mass: (T, 3): of the root's subtree.
        appendages: (T, 3a): positions of end effectors relative to the root's, in its frame.
        body_positions: (T, 3b): of the tracked bodies.
        body_quaternions: (T, 4b): of the tracked bodies.

    Raises:
        UsageError: an array has another shape or type, or holds NaN, infinity or a quaternion that
            is not of unit length; the message begins with the name of the field.
    """

    name: str
    label: str
    fps: float
    position: Array
    quaternion: Array
    joints: Array
    velocity: Array
    angular_velocity: Array
    joints_velocity: Array
    center_of_mass: Array
    appendages: Array
    body_positions: Array
    body_quaternions: Array

    def __post_init__(self) -> None:
        require_rate(self.fps)
        require_shapes({field: getattr(self, field).shape for field in FIELDS})
        for field in FIELDS:
            _require_numbers(field, getattr(self, field))

    @property
    def num_frames(self) -> int:
        """Number of frames T."""
        return len(self.position)

    @property
    def counts(self) -> dict[str, int]:
        """Numbers of ``joints``, ``appendages`` and ``bodies``."""
        return counts({field: getattr(self, field).shape for field in FIELDS})

    @property
    def qpos(self) -> Array:
        """MuJoCo's generalised positions, a new array (T, 7 + j)."""
        return np.concatenate((self.position, self.quaternion, self.joints), axis=1)

    @property
    def qvel(self) -> Array:
        """MuJoCo's generalised velocities, a new array (T, 6 + j)."""
        parts = (self.velocity, self.angular_velocity, self.joints_velocity)
        return np.concatenate(parts, axis=1)


def counts(shapes: dict[str, tuple[int, ...]]) -> dict[str, int]:
    """Numbers of ``joints``, ``appendages`` and ``bodies`` of arrays.

    Args:
        shapes: by ``FIELDS``, (T, columns) each.
    """
    sources = ("joints", "appendages", "body_positions")
    return {FIELDS[name].of: shapes[name][1] // FIELDS[name].columns for name in sources}


def require_rate(fps: float) -> None:
    """Check frames a second.

    Raises:
        UsageError: they are no positive number.
    """
    if not (math.isfinite(fps) and fps > 0):
        raise UsageError(f"fps: expected a positive number, got {fps}")


def frame_count(seconds: float, fps: float) -> int:
    """Return the number of frames of a duration.

    Args:
        seconds: the duration.
        fps: frames a second.

    Raises:
        UsageError: it is less than a frame, or more than ``MAX_FRAMES``.
    """
    if not 0.5 < seconds * fps <= MAX_FRAMES:
        raise UsageError(f"{seconds:g} s at {fps:g} frames a second: expected 1 to {MAX_FRAMES:,}")
    return round(seconds * fps)


def require_shapes(shapes: dict[str, tuple[int, ...]]) -> None:
    """Check that arrays can be those of one clip.

    Args:
        shapes: by ``FIELDS``.

    Raises:
        UsageError: they cannot; the message begins with the name of the field.
    """
    for name, shape in shapes.items():
        if len(shape) != 2:
            raise UsageError(f"{name}: expected two dimensions, got {len(shape)}")
        if shape[1] % FIELDS[name].columns:
            raise UsageError(
                f"{name}: a width of {shape[1]} is no multiple of {FIELDS[name].columns}"
            )
    frames, found = shapes["position"][0], counts(shapes)
    if frames == 0:
        raise UsageError("position: no frames")
    for name, (length, width) in shapes.items():
        columns, count = FIELDS[name]
        expected = columns * found.get(count, 1)
        if width != expected:
            of = f", {columns} for each of {found[count]} {count}" if count else ""
            raise UsageError(f"{name}: expected a width of {expected}{of}, got {width}")
        if length != frames:
            raise UsageError(f"{name}: {length} frames, but position has {frames}")


def _require_numbers(name: str, array: Array) -> None:
    if array.dtype != np.float64:
        raise UsageError(f"{name}: expected float64, got {array.dtype}")
    if not np.isfinite(array).all():
        frame, column = np.argwhere(~np.isfinite(array))[0]
        raise UsageError(f"{name}: {array[frame, column]} in frame {frame}, column {column}")
    if name in QUATERNIONS:
        _require_unit(name, array)


def _require_unit(name: str, array: Array) -> None:
    quaternions = array.reshape(len(array), -1, 4)
    with np.errstate(over="ignore"):
        # Unlike norm, without a copy of an array that may fill half of the memory.
        length = np.sqrt(np.einsum("tnk,tnk->tn", quaternions, quaternions))
    wrong = np.abs(length - 1.0) > UNIT_TOLERANCE
    if wrong.any():
        frame, number = np.argwhere(wrong)[0]
        of = f" of quaternion {number}" if array.shape[1] > 4 else ""
        raise UsageError(
            f"{name}: the length{of} in frame {frame} is {length[frame, number]:.4g}, not 1"
        )
