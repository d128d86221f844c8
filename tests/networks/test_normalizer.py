"""Running statistics."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from poolrl.networks.normalizer import (
    DoubleNormalizer,
    Normalizer,
    update_statistics,
    update_statistics_in_double,
)


def fresh(size: int) -> dict[str, np.ndarray]:
    return {
        "normalizer.mean": np.zeros(size),
        "normalizer.var": np.ones(size),
        "normalizer.count": np.zeros(()),
    }


@given(st.lists(st.integers(1, 30), min_size=1, max_size=5), st.integers(0, 100))
def test_parts_give_the_statistics_of_the_whole(sizes: list[int], seed: int) -> None:
    parts = [
        np.random.default_rng((seed, i)).normal(i, 2, (n, 3)).astype(np.float32)
        for i, n in enumerate(sizes)
    ]
    arrays = fresh(3)
    for part in parts:
        update_statistics(arrays, part)
    whole = np.concatenate(parts).astype(np.float64)
    assert arrays["normalizer.mean"] == pytest.approx(whole.mean(axis=0))
    assert arrays["normalizer.var"] == pytest.approx(whole.var(axis=0), abs=1e-12)
    assert float(arrays["normalizer.count"]) == len(whole)


def test_it_is_the_identity_before_the_first_observation_but_for_clipping() -> None:
    x = np.array([[1.0, -2.0, 50.0]])
    assert Normalizer(fresh(3))(x)[0] == pytest.approx([1, -2, 10], rel=1e-5)


def test_a_constant_observation_stays_finite() -> None:
    arrays = fresh(1)
    update_statistics(arrays, np.ones((10, 1), np.float32))
    assert Normalizer(arrays)(np.ones((1, 1))) == 0


# In double precision


def seen(observation: np.ndarray) -> dict[str, np.ndarray]:
    arrays = fresh(observation.shape[1])
    for part in np.array_split(observation, 3):
        update_statistics_in_double(arrays, part)
    return arrays


@given(
    st.floats(-12, 130),
    st.sampled_from([0.0, 1.0, -37.5, 1e6, 1.7e9, -4e9]),
    st.integers(0, 100),
)
def test_neither_unit_nor_offset_matters(power: float, offset: float, seed: int) -> None:
    """As long as the offset leaves something of what varies: float64 has 16 digits."""
    plain = np.random.default_rng(seed).normal(size=(300, 2))
    unit = 10.0**power
    place = offset * max(unit, 1.0)
    moved = place + unit * plain
    lost = 4e-16 * abs(place) / unit
    assume(lost < 1e-4)
    expected, got = (DoubleNormalizer(seen(each))(each) for each in (plain, moved))
    assert got == pytest.approx(expected, abs=1e-6 + 10 * lost)
    assert got.dtype == np.float32


@pytest.mark.parametrize("value", [0.0, 0.1, 1.7e9, -1e-7, 1e300, 1 / 3])
def test_in_double_what_never_varies_is_zero(value: float) -> None:
    normalizer = DoubleNormalizer(seen(np.full((1001, 1), value)))
    assert normalizer(np.array([[value], [value + 1], [1e308]])).tolist() == [[0], [0], [0]]


def test_in_double_rounding_errors_are_no_variation() -> None:
    noise = np.random.default_rng(0).choice([-1, 1], size=(1000, 3)) * 2.2e-16
    observation = np.array([1.0, 1e5, 0.0]) * (1 + noise) + np.array([0, 0, 1]) * noise
    assert np.array_equal(DoubleNormalizer(seen(observation))(observation), np.zeros((1000, 3)))


@given(st.lists(st.integers(1, 30), min_size=1, max_size=5), st.integers(0, 100))
def test_in_double_parts_give_the_statistics_of_the_whole(sizes: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    parts = [1.7e9 + rng.normal(i, 2, (n, 3)) for i, n in enumerate(sizes)]
    arrays = fresh(3)
    for part in parts:
        update_statistics_in_double(arrays, part)
    whole = np.concatenate(parts)
    assert arrays["normalizer.mean"] == pytest.approx(whole.mean(axis=0), rel=1e-14)
    assert arrays["normalizer.var"] == pytest.approx(
        (whole - 1.7e9).var(axis=0), rel=1e-4, abs=1e-9
    )
    assert float(arrays["normalizer.count"]) == len(whole)


def test_in_double_it_begins_as_the_identity_but_for_clipping() -> None:
    x = np.array([[1.0, -2.0, 50.0]])
    assert DoubleNormalizer(fresh(3))(x).tolist() == [[1, -2, 10]]
