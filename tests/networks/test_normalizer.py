"""Running statistics."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolrl.networks.normalizer import Normalizer, update_statistics


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
