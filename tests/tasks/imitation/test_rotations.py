"""Rotations of many simulations against MuJoCo's functions for one."""

from __future__ import annotations

import math

import mujoco
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from poolrl.tasks.imitation.rotations import angle_between, rotation_vectors, turned

quaternions = (
    st.lists(st.floats(-1, 1), min_size=4, max_size=4)
    .filter(lambda q: math.hypot(*q) > 0.1)
    .map(lambda q: np.array(q) / np.linalg.norm(q))
)


@given(st.lists(st.tuples(quaternions, quaternions), min_size=1, max_size=5))
def test_rotation_vectors_are_mujocos(pairs: list[tuple[np.ndarray, np.ndarray]]) -> None:
    first, second = (np.array(part) for part in zip(*pairs, strict=True))
    vectors = rotation_vectors(first, second)
    assert np.isfinite(vectors).all()
    for vector, a, b in zip(vectors, first, second, strict=True):
        expected = np.zeros(3)
        mujoco.mju_subQuat(expected, b, a)
        apart = np.abs(vector - expected).max()
        # At half a turn an axis and its opposite are the same rotation.
        is_half = abs(np.linalg.norm(expected) - math.pi) < 1e-7
        assert apart < 1e-12 or (is_half and np.abs(vector + expected).max() < 1e-6)


@given(quaternions)
def test_equal_and_opposite_quaternions_are_no_rotation(q: np.ndarray) -> None:
    same = np.stack((q, q)), np.stack((q, -q))
    assert np.abs(rotation_vectors(*same)).max() < 1e-7
    assert angle_between(*same).max() < 1e-7


@given(st.floats(-3.1, 3.1), st.floats(-3.1, 3.1))
def test_an_axis_turns_about_the_vertical_alone(start: float, by: float) -> None:
    def upright(angle: float, tilt: float) -> np.ndarray:
        yaw, roll, both = np.zeros(4), np.zeros(4), np.zeros(4)
        mujoco.mju_axisAngle2Quat(yaw, np.array([0.0, 0.0, 1.0]), angle)
        mujoco.mju_axisAngle2Quat(roll, np.array([1.0, 0.0, 0.0]), tilt)
        mujoco.mju_mulQuat(both, yaw, roll)
        return both

    angle = turned(upright(start, 0.3)[None], upright(start + by, -0.8)[None])[0]
    assert abs(angle - by) < 1e-9
    assert (
        abs(angle_between(upright(start, 0.3)[None], upright(start + by, 0.3)[None])[0] - abs(by))
        < 1e-6
    )
