"""Running statistics."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from poolrl.policy.normalizer import RunningNormalizer


@given(st.lists(st.integers(1, 30), min_size=1, max_size=5), st.integers(0, 100))
def test_parts_give_the_statistics_of_the_whole(sizes: list[int], seed: int) -> None:
    parts = [np.random.default_rng((seed, i)).normal(i, 2, (n, 3)) for i, n in enumerate(sizes)]
    normalizer = RunningNormalizer(3)
    for part in parts:
        normalizer.update(part)
    whole = np.concatenate(parts)
    assert normalizer.mean.numpy() == pytest.approx(whole.mean(axis=0))
    assert normalizer.var.numpy() == pytest.approx(whole.var(axis=0), abs=1e-12)
    assert float(normalizer.count) == len(whole)


def test_it_is_the_identity_before_the_first_observation_but_for_clipping() -> None:
    x = torch.tensor([[1.0, -2.0, 50.0]])
    assert RunningNormalizer(3)(x).numpy() == pytest.approx(np.array([[1, -2, 10]]), rel=1e-5)


def test_a_constant_observation_stays_finite() -> None:
    normalizer = RunningNormalizer(1)
    normalizer.update(np.ones((10, 1)))
    assert normalizer(torch.ones(1, 1)).item() == 0
