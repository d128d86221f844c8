"""Distributions: NumPy and torch say the same, and SciPy agrees."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from poolrl.policy.distributions import Beta

LOW, HIGH = np.array([-1.0, 0.0, -3.0]), np.array([1.0, 0.5, 3.0])
parameters = st.lists(st.floats(-8, 8), min_size=6, max_size=6).map(
    lambda values: np.array([values], np.float32)
)


@given(parameters, st.integers(0, 1000))
def test_densities_agree_with_scipy(values: np.ndarray, seed: int) -> None:
    beta = Beta(LOW, HIGH)
    action, x, log_prob = beta.sample(values, np.random.default_rng(seed))
    concentration = 1 + np.log1p(np.exp(values.astype(np.float64)))
    expected = stats.beta(concentration[:, :3], concentration[:, 3:]).logpdf(x).sum(-1)
    assert log_prob == pytest.approx(expected, rel=1e-3, abs=2e-3)
    assert (action >= LOW).all()
    assert (action <= HIGH).all()
    tensor = beta.log_prob(torch.from_numpy(values), torch.from_numpy(x))
    assert tensor.numpy() == pytest.approx(log_prob, rel=1e-3, abs=2e-3)


@given(parameters)
def test_entropy_and_mean_agree_with_scipy(values: np.ndarray) -> None:
    beta = Beta(LOW, HIGH)
    concentration = 1 + np.log1p(np.exp(values.astype(np.float64)))
    law = stats.beta(concentration[:, :3], concentration[:, 3:])
    entropy = beta.entropy(torch.from_numpy(values))
    assert entropy.numpy() == pytest.approx(law.entropy().sum(-1), rel=1e-3, abs=2e-3)
    assert beta.mean(values) == pytest.approx(LOW + law.mean() * (HIGH - LOW), abs=1e-5)


def test_samples_have_the_distributions_moments() -> None:
    beta = Beta(LOW, HIGH)
    values = np.tile(np.array([0.0, 2.0, -1.0, 1.0, 0.0, 3.0], np.float32), (20_000, 1))
    action, _, _ = beta.sample(values, np.random.default_rng(0))
    assert action.mean(axis=0) == pytest.approx(beta.mean(values)[0], abs=0.05)
