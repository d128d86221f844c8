"""What is special to single distributions: standard deviations, squashing, bins, edges."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box
from hypothesis import given
from hypothesis import strategies as st

from poolrl.config.networks import MLPSpec
from poolrl.distributions.base import Distribution
from poolrl.distributions.factory import make_distribution
from poolrl.distributions.gaussian import Gaussian
from tests.helpers.torch_distributions import BOX, VARIANTS, Squashed, drawn

LINE = Box(-2, 6, (1,), np.float32)
NORMALS = ("gaussian", "squashed_gaussian")


def made(name: Any, space: Box, present: Any = None, **options: Any) -> Distribution:
    return make_distribution(MLPSpec(distribution=name, **options), space, present)


def row(*values: float) -> np.ndarray:
    return np.array([values], np.float32)


@pytest.mark.parametrize("name", NORMALS)
def test_a_free_deviation_starts_where_it_is_wanted(name: str) -> None:
    assert made(name, BOX).initial_free().tolist() == [0, 0, 0]  # exactly, as ever
    distribution = made(name, BOX, std_init=0.5)
    free = distribution.initial_free()
    assert free.shape == (distribution.free_parameters,)
    parameters = np.concatenate([np.zeros(3, np.float32), free])[None]
    assert distribution.spread(parameters) == pytest.approx(0.5)


def test_no_other_distribution_has_initial_values_or_a_deviation() -> None:
    for name in ("beta", "categorical", "discretized"):
        distribution = VARIANTS[name][0]
        assert distribution.initial_free().shape == (0,)
        assert distribution.spread(drawn(name, 0)) is None


@given(
    low=st.floats(1e-3, 1),
    factors=st.tuples(st.floats(1.01, 100), st.floats(1.01, 100)),
    parameter=st.floats(-1e3, 1e3, width=32),
)
def test_a_networks_deviation_is_within_its_bounds(
    low: float, factors: tuple[float, float], parameter: float
) -> None:
    initial, high = low * factors[0], low * factors[0] * factors[1]
    bounds = {"std_min": low, "std_init": initial, "std_max": high}
    distribution = made("gaussian", LINE, std="network", **bounds)
    assert distribution.free_parameters == 0
    assert distribution.spread(row(0, 0)) == pytest.approx(initial, rel=1e-5)
    std = distribution.spread(row(0, parameter))
    assert std is not None
    assert low * (1 - 1e-5) <= std <= high * (1 + 1e-5)
    assert distribution.spread(row(0, 1e3)) == pytest.approx(high, rel=1e-5)
    assert distribution.spread(row(0, -1e3)) == pytest.approx(low, rel=1e-5)


@pytest.mark.parametrize("name", NORMALS)
def test_a_given_deviation_is_read_anew(name: str) -> None:
    std = np.array(0.5)
    distribution = made(name, BOX, std, std="schedule")
    parameters = row(0.1, 0.2, 0.3)
    assert (distribution.num_parameters, distribution.free_parameters) == (3, 0)
    assert distribution.spread(parameters) == pytest.approx(0.5)
    before = distribution.sample(parameters, np.random.default_rng(0)) - parameters
    std[...] = 0.25
    assert distribution.spread(parameters) == pytest.approx(0.25)
    after = distribution.sample(parameters, np.random.default_rng(0)) - parameters
    assert after == pytest.approx(before / 2, rel=1e-5)
    each = made(name, BOX, np.array([0.1, 0.2, 0.6]), std="schedule")
    assert each.spread(parameters) == pytest.approx(0.3)
    assert made(name, BOX, std="schedule", std_init=0.7).spread(parameters) == pytest.approx(0.7)


def test_rows_have_deviations_of_their_own() -> None:
    distribution = made("gaussian", LINE, std="network", std_min=0.1, std_max=10.0)
    parameters = np.repeat(np.array([[0, -9], [0, 9]], np.float32), 2000, axis=0)
    sample = distribution.sample(parameters, np.random.default_rng(0))
    assert sample[:2000].std() == pytest.approx(0.1, rel=0.05)
    assert sample[2000:].std() == pytest.approx(10, rel=0.05)


@pytest.mark.parametrize("mean", [-3.0, 0.0, 0.7])
@pytest.mark.parametrize("std", [0.01, 0.5, 2.0])
def test_a_squashed_density_is_one_of_the_action(mean: float, std: float) -> None:
    distribution = made("squashed_gaussian", LINE)
    u = (mean + std * np.linspace(-8, 8, 8001))[:, None].astype(np.float32)
    parameters = np.repeat(row(mean, np.log(std)), len(u), axis=0)
    density = np.exp(distribution.log_prob(parameters, u).astype(np.float64))
    half_ranges = np.tanh(u[:, 0].astype(np.float64))
    assert np.trapezoid(density, half_ranges) == pytest.approx(1, abs=1e-3)
    assert distribution.action(u)[:, 0] == pytest.approx(2 + 4 * half_ranges, abs=1e-5)


@pytest.mark.parametrize(("std", "error"), [(0.1, 2e-6), (1.0, 2e-5), (2.0, 4e-3)])
def test_the_estimate_of_a_squashed_entropy(std: float, error: float) -> None:
    means = np.linspace(-4, 4, 33, dtype=np.float32)
    parameters = np.stack([means, np.full_like(means, np.log(std))], axis=1)
    exact = Squashed(torch.from_numpy(means).double(), torch.full((33,), std).double()).entropy()
    got = made("squashed_gaussian", LINE).entropy(parameters)
    assert got == pytest.approx(exact.numpy(), abs=error + 2e-6)


def test_deterministic_actions() -> None:
    assert made("gaussian", LINE).mode(row(0.5, 0)).tolist() == [[4]]
    assert made("gaussian", LINE).mode(row(7, 0)).tolist() == [[6]]
    squashed = made("squashed_gaussian", LINE).mode(row(0.5, 0))
    assert squashed[0] == pytest.approx(2 + 4 * np.tanh(0.5))
    assert made("discretized", LINE, bins=3).mode(row(0, 1, 0.5)).tolist() == [[2]]
    assert made("discretized", LINE, bins=3).mode(row(1, 0, 1)).tolist() == [[-2]]  # the lower


@pytest.mark.parametrize("bins", [2, 3, 11, 256])
def test_bins_include_both_ends(bins: int) -> None:
    low, high = np.array([-0.4, 0.1], np.float32), np.array([0.4, 0.7], np.float32)
    distribution = made("discretized", Box(low, high), bins=bins)
    assert distribution.num_parameters == 2 * bins
    actions = distribution.action(np.repeat(np.arange(bins)[:, None], 2, axis=1))
    assert actions.dtype == np.float32
    assert actions[0].tolist() == low.tolist()
    assert actions[-1].tolist() == high.tolist()
    assert np.diff(actions, axis=0) == pytest.approx(
        np.tile((high - low) / (bins - 1), (bins - 1, 1)), abs=1e-6
    )


@given(
    name=st.sampled_from(NORMALS),
    mean=st.floats(-1e3, 1e3, width=32),
    log_std=st.floats(np.float32(-13.8), np.float32(5), width=32),
    seed=st.integers(0, 100),
)
def test_tiny_deviations_and_far_means_are_finite(
    name: str, mean: float, log_std: float, seed: int
) -> None:
    distribution = made(name, LINE)
    parameters = np.repeat(row(mean, log_std), 50, axis=0)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        sample = distribution.sample(parameters, np.random.default_rng(seed))
        value, gradient = distribution.log_prob_gradient(parameters, sample)
        entropy, slope = distribution.entropy_gradient(parameters)
        divergence = distribution.kl(parameters, parameters)
    for array in (value, gradient, entropy, slope, divergence):
        assert np.isfinite(array).all()
    assert LINE.contains(distribution.action(sample)[0])


def test_the_density_far_out_of_a_squashed_one() -> None:
    """1 − tanh² u is 4 e^(−2|u|) there, and 0 in float32."""
    u = np.array([[-200.0], [40], [1e4]], np.float32)
    parameters = np.concatenate([u, np.zeros_like(u)], axis=1)
    expected = -0.5 * np.log(2 * np.pi) - (np.log(4) - 2 * np.abs(u[:, 0]))
    got = made("squashed_gaussian", LINE).log_prob(parameters, u)
    assert got == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ((1e5, 1e5), (1e5, 1.001e5), 1e-3),
        ((30, 50), (30.2, 49.5), 1e-4),
        ((1e3, 2e3), (1.1e3, 2.2e3), 1e-2),
        ((-5, 3), (-4.5, 3.1), 1e-3),
    ],
)
def test_the_divergence_of_betas_to_many_digits(
    old: tuple[float, float], new: tuple[float, float], error: float
) -> None:
    """Terms of up to 1e6 cancel to 0.01 or less."""
    p, q = (
        torch.distributions.Beta(*(1 + torch.nn.functional.softplus(torch.tensor(x).double())))
        for x in (old, new)
    )
    expected = float(torch.distributions.kl_divergence(p, q))
    got = make_distribution(MLPSpec(distribution="beta"), LINE).kl(row(*old), row(*new))[0]
    assert got == pytest.approx(expected, rel=error)


@given(seed=st.integers(0, 1000))
def test_the_bounds_loss_is_rl_games(seed: int) -> None:
    parameters = np.random.default_rng(seed).normal(0, 1.5, (6, 6)).astype(np.float32)
    distribution = make_distribution(MLPSpec(distribution="gaussian"), BOX)
    assert isinstance(distribution, Gaussian)
    wide = torch.from_numpy(parameters.astype(np.float64)).requires_grad_()
    mean = wide[:, :3]
    expected = torch.clamp_min(mean - 1.1, 0) ** 2 + torch.clamp_max(mean + 1.1, 0) ** 2
    expected.sum().backward()
    got = distribution.bounds_loss(parameters)
    assert got.value == pytest.approx(expected.sum(1).detach().numpy(), rel=1e-5, abs=1e-6)
    assert wide.grad is not None
    assert got.by_parameters == pytest.approx(wide.grad.numpy(), rel=1e-5, abs=1e-6)


def test_what_has_no_bounds_has_no_bounds_loss() -> None:
    space = Box(np.array([-1, -np.inf], np.float32), np.array([1, np.inf], np.float32))
    distribution = make_distribution(MLPSpec(distribution="gaussian"), space)
    assert isinstance(distribution, Gaussian)
    value, gradient = distribution.bounds_loss(row(-3.1, 50, 0, 0))
    assert value[0] == pytest.approx(4, rel=1e-5)
    assert gradient[0] == pytest.approx([-4, 0, 0, 0], rel=1e-5)


@pytest.mark.parametrize("name", ["gaussian", "squashed_gaussian", "discretized", "beta"])
def test_actions_are_within_bounds_of_double_precision(name: str) -> None:
    space = Box(np.array([-0.1, 0.3]), np.array([0.1, 0.7]), dtype=np.float64)
    distribution = made(name, space)
    rng = np.random.default_rng(0)
    free = distribution.free_parameters
    parameters = rng.normal(0, 30, (500, distribution.num_parameters - free)).astype(np.float32)
    parameters = np.column_stack([parameters, np.zeros((500, free), np.float32)])
    for action in (
        distribution.mode(parameters),
        distribution.action(distribution.sample(parameters, rng)),
    ):
        assert (space.low <= action).all()
        assert (action <= space.high).all()
