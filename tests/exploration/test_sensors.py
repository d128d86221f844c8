"""Sensors of DEP: what running extrema make of lengths and forces."""

from __future__ import annotations

import numpy as np

from poolrl.exploration.sensors import SensorScaling


def test_the_equation() -> None:
    generator = np.random.default_rng(0)
    lengths = generator.normal(0.2, 0.1, (30, 2, 3))
    forces = generator.normal(-150, 40, (30, 2, 3))
    scaling = SensorScaling(2, 3, force_scale=0.04)
    for t, (length, force) in enumerate(zip(lengths, forces, strict=True)):
        found = scaling(length, force)
        seen, f = lengths[: t + 1], forces[: t + 1]
        expected = 2 * ((length - seen.min(0)) / (seen.max(0) - seen.min(0) + 0.1) - 0.5)
        expected += 0.04 * (force - f.min(0)) / (f.max(0) - f.min(0) + 0.1)
        np.testing.assert_allclose(found, expected, atol=1e-12)
    merged = scaling.extrema()
    np.testing.assert_array_equal(merged["length_min"], lengths.min(axis=(0, 1)))
    np.testing.assert_array_equal(merged["force_max"], forces.max(axis=(0, 1)))


def test_they_go_on_from_those_that_were_seen() -> None:
    known = {"length_min": np.array([-1.0]), "length_max": np.array([1.0])}
    scaling = SensorScaling(1, 1, extrema=known)
    np.testing.assert_allclose(scaling(np.array([[0.0]]), np.zeros((1, 1))), 2 * (1 / 2.1 - 0.5))


def test_what_is_not_finite_is_no_extremum() -> None:
    scaling = SensorScaling(2, 1)
    zero = np.zeros((2, 1))
    scaling(np.array([[0.1], [0.2]]), zero)
    scaling(np.array([[np.nan], [np.inf]]), zero)
    assert scaling.extrema()["length_min"] == 0.1
    assert scaling.extrema()["length_max"] == 0.2
    unseen = SensorScaling(1, 1)
    unseen(np.array([[np.nan]]), zero[:1])
    assert "length_min" not in unseen.extrema()


def test_simulations_that_wait_see_nothing() -> None:
    scaling = SensorScaling(2, 1)
    zero = np.zeros((2, 1))
    scaling(np.array([[0.1], [5.0]]), zero, np.array([0]))
    assert scaling.extrema()["length_max"] == 0.1
