"""Rotations of many simulations, from unit quaternions (w, x, y, z)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]


def rotation_vectors(first: F64, second: F64) -> F64:
    """Return rotation vectors of first⁻¹·second, (…, 3): axis times angle in rad, of an angle from
    -π to π, as MuJoCo's ``mju_subQuat`` does.

    Args:
        first, second: (…, 4) each; they are broadcast.
    """
    w, x, y, z = np.moveaxis(first, -1, 0)
    a, b, c, d = np.moveaxis(second, -1, 0)
    real = w * a + x * b + y * c + z * d
    axis = np.stack(
        (
            w * b - x * a - y * d + z * c,
            w * c + x * d - y * a - z * b,
            w * d - x * c + y * b - z * a,
        ),
        axis=-1,
    )
    sine = np.sqrt(np.vecdot(axis, axis))
    angle = 2.0 * np.arctan2(sine, real)
    angle = np.where(angle > np.pi, angle - 2.0 * np.pi, angle)
    scale = np.divide(angle, sine, out=np.zeros_like(sine), where=sine > 0)
    vectors: F64 = axis * scale[..., None]
    return vectors


def angle_between(first: F64, second: F64) -> F64:
    """Return the angles 2·acos|first·second| between orientations, (n,), in rad.

    Args:
        first, second: (n, 4) each.
    """
    cosine = np.minimum(np.abs(np.vecdot(first, second)), 1.0)
    angle: F64 = 2.0 * np.arccos(cosine)
    return angle


def turned(first: F64, second: F64) -> F64:
    """Return the angles that the x axis turns by about z from one orientation to another, (n,), in
    rad, from -π to π.

    Args:
        first, second: (n, 4) each.
    """
    (x, y), (u, v) = _heading(first), _heading(second)
    angle: F64 = np.arctan2(x * v - y * u, x * u + y * v)
    return angle


def _heading(quaternion: F64) -> tuple[F64, F64]:
    """Return the x axis of orientations without its height, (n,) each."""
    w, x, y, z = np.moveaxis(quaternion, -1, 0)
    return 1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y + w * z)
