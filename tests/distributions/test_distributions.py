"""Distributions against torch's: densities, entropies and their derivatives."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete
from hypothesis import given
from hypothesis import strategies as st

from poolrl.config.networks import MLPSpec
from poolrl.distributions.factory import default_distribution, make_distribution
from poolrl.spaces import ActionSpace
from tests.helpers.torch_distributions import (
    BOX,
    CHOICES,
    VARIANTS,
    drawn,
    entropy,
    kl,
    log_prob,
)


@pytest.mark.parametrize("name", VARIANTS)
@given(seed=st.integers(0, 10_000))
def test_densities_and_derivatives_are_torchs(name: str, seed: int) -> None:
    distribution, law = VARIANTS[name]
    values = drawn(name, seed)
    sample = distribution.sample(values, np.random.default_rng(seed))
    parameters = torch.from_numpy(values.astype(np.float64)).requires_grad_()
    expected = log_prob(law, parameters, sample)
    expected.sum().backward()
    got = distribution.log_prob_gradient(values, sample)
    assert got.value == pytest.approx(expected.detach().numpy(), rel=1e-4, abs=1e-4)
    assert distribution.log_prob(values, sample) == pytest.approx(got.value, abs=1e-6)
    assert parameters.grad is not None
    assert got.by_parameters == pytest.approx(parameters.grad.numpy(), rel=1e-3, abs=2e-4)


@pytest.mark.parametrize("name", VARIANTS)
@given(seed=st.integers(0, 10_000))
def test_entropies_and_derivatives_are_torchs(name: str, seed: int) -> None:
    distribution, law = VARIANTS[name]
    values = drawn(name, seed)
    parameters = torch.from_numpy(values.astype(np.float64)).requires_grad_()
    expected = entropy(law, parameters)
    expected.sum().backward()
    got = distribution.entropy_gradient(values)
    assert got.value == pytest.approx(expected.detach().numpy(), rel=1e-4, abs=1e-4)
    assert distribution.entropy(values) == pytest.approx(got.value, abs=1e-6)
    assert parameters.grad is not None
    assert got.by_parameters == pytest.approx(parameters.grad.numpy(), rel=1e-3, abs=2e-4)


@pytest.mark.parametrize("name", VARIANTS)
@given(seed=st.integers(0, 10_000))
def test_divergences_are_torchs(name: str, seed: int) -> None:
    distribution, law = VARIANTS[name]
    old, new = drawn(name, seed), drawn(name, seed + 1)
    wide = [torch.from_numpy(values.astype(np.float64)) for values in (old, new)]
    expected = kl(law, *wide).numpy()
    assert distribution.kl(old, new) == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert distribution.kl(old, old) == pytest.approx(0, abs=1e-6)
    close = (old + np.float32(0.02)).astype(np.float32)  # as of one update
    expected = kl(law, wide[0], torch.from_numpy(close.astype(np.float64))).numpy()
    assert distribution.kl(old, close) == pytest.approx(expected, rel=1e-2, abs=2e-6)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_divergence_is_the_mean_difference_of_log_densities(name: str) -> None:
    distribution = VARIANTS[name][0]
    old, new = (np.repeat(drawn(name, s, n=1, scale=0.5), 20_000, axis=0) for s in (1, 2))
    sample = distribution.sample(old, np.random.default_rng(0))
    difference = distribution.log_prob(old, sample) - distribution.log_prob(new, sample)
    error = difference.std() / np.sqrt(len(difference))
    assert difference.mean() == pytest.approx(distribution.kl(old, new)[0], abs=5 * error)


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("quantity", ["log density", "entropy"])
def test_derivatives_are_finite_differences(name: str, quantity: str) -> None:
    distribution = VARIANTS[name][0]
    values = drawn(name, 5, scale=1.0)
    sample = distribution.sample(values, np.random.default_rng(0))
    if quantity == "entropy":
        of, gradient = distribution.entropy, distribution.entropy_gradient(values)
    else:
        of = partial(distribution.log_prob, sample=sample)
        gradient = distribution.log_prob_gradient(values, sample)
    for i in range(distribution.num_parameters):
        step = np.zeros_like(values)
        step[:, i] = 2**-6
        difference = (of(values + step) - of(values - step)) / 2**-5
        assert gradient.by_parameters[:, i] == pytest.approx(difference, rel=5e-3, abs=2e-3)


@pytest.mark.parametrize("name", VARIANTS)
def test_samples_follow_the_density(name: str) -> None:
    distribution, law = VARIANTS[name]
    values = np.repeat(drawn(name, 1, n=1, scale=1.0), 20_000, axis=0)
    sample = distribution.sample(values, np.random.default_rng(0))
    laws = law(torch.from_numpy(values[:1]))
    if len(laws) > 1:
        for i, part in enumerate(laws):
            share = np.bincount(sample[:, i], minlength=part.probs.shape[1]) / len(sample)
            assert share == pytest.approx(part.probs[0].numpy(), abs=0.015)
    else:
        assert sample.mean(axis=0) == pytest.approx(laws[0].mean[0].numpy(), abs=0.05)
        assert sample.std(axis=0) == pytest.approx(laws[0].stddev[0].numpy(), abs=0.05)


@pytest.mark.parametrize("name", VARIANTS)
def test_actions_are_in_their_space(name: str) -> None:
    distribution = VARIANTS[name][0]
    space: ActionSpace = CHOICES if name == "categorical" else BOX
    values = drawn(name, 3, n=200)
    sample = distribution.sample(values, np.random.default_rng(0))
    far = [values * 1e4, values * 0]
    for actions in (distribution.action(sample), *map(distribution.mode, (values, *far))):
        assert all(space.contains(action) for action in actions)


def test_one_choice_is_a_number_from_its_start() -> None:
    space = Discrete(3, start=5)
    distribution = make_distribution(MLPSpec(distribution="auto"), space)
    logits = np.array([[0, 9, 0], [9, 0, 0]], np.float32)
    assert distribution.mode(logits).tolist() == [6, 5]
    assert distribution.log_prob(logits, np.array([[1], [1]]))[0] == pytest.approx(0, abs=1e-3)


def test_the_middle_of_a_normal_is_the_middle_of_the_range() -> None:
    distribution = make_distribution(MLPSpec(distribution="gaussian"), BOX)
    assert distribution.mode(np.zeros((1, 6), np.float32))[0].tolist() == [0.0, 0.25, 0.0]
    half_open = Box(np.array([-np.inf, -2], np.float32), np.array([np.inf, 2], np.float32))
    actions = make_distribution(MLPSpec(distribution="auto"), half_open).mode(
        np.array([[7, 0.5, 0, 0]], np.float32)
    )
    assert actions[0].tolist() == [7.0, 1.0]


def test_an_exponential_beta_is_uniform_at_first_and_stays_in_its_bounds() -> None:
    distribution = VARIANTS["beta, exponential"][0]
    samples = np.random.default_rng(0).random((4, 3), np.float32)
    assert distribution.log_prob(np.zeros((4, 6), np.float32), samples) == pytest.approx(
        0, abs=1e-5
    )
    for far in (-50, 50):
        parameters = np.full((4, 6), far, np.float32)
        for gradient in (
            distribution.log_prob_gradient(parameters, samples),
            distribution.entropy_gradient(parameters),
        ):
            assert np.isfinite(gradient.value).all()
            assert not gradient.by_parameters.any()


def test_each_space_has_its_default() -> None:
    unbounded = Box(-np.inf, np.inf, (2,), np.float32)
    spaces: list[ActionSpace] = [BOX, unbounded, Discrete(4), CHOICES]
    names = [default_distribution(space) for space in spaces]
    assert names == ["beta", "gaussian", "categorical", "categorical"]
