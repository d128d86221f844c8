"""MPO's losses, gradients and updates against those of the published package, in `mpo.npz`."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from poolrl.algorithms import mpo
from poolrl.algorithms.actor_critic import ActorCritic
from poolrl.algorithms.mpo import Batch, ValueRange
from poolrl.config.mpo import MPO
from poolrl.config.networks import QMLPSpec
from poolrl.distributions.tanh_mean_gaussian import TanhMeanGaussian
from poolrl.networks.action_values import ActionValues
from poolrl.networks.mlp import MLP

PUBLISHED = np.load(Path(__file__).parent / "published_mpo" / "mpo.npz")

HYPERPARAMETERS = {
    "plain": MPO(critic_learning_rate=1e-3),
    "retnorm": MPO(critic_learning_rate=1e-3),
    "clipped": MPO(critic_learning_rate=1e-3, max_grad_norm=0.05, critic_max_grad_norm=0.05),
}
UPDATES = (0, 1)


class Case(NamedTuple):
    """A case of ``published_mpo/make.py``, before its first update."""

    networks: ActorCritic
    distribution: TanhMeanGaussian
    hp: MPO
    bounds: ValueRange | None
    recorded: dict[str, NDArray[Any]]


def case(name: str) -> Case:
    recorded = {
        key.removeprefix(f"{name}/"): PUBLISHED[key]
        for key in PUBLISHED.files
        if key.startswith(f"{name}/")
    }
    before = part(recorded, "before/")
    networks = ActorCritic(dict(sorted(before.items())), QMLPSpec(actor=(8, 8), critic=(8, 8)))
    bounds = None
    if "low" in recorded:
        bounds = ValueRange(float(recorded["low"]), float(recorded["high"]))
    ones = np.ones(3, np.float32)
    return Case(networks, TanhMeanGaussian(-ones, ones), HYPERPARAMETERS[name], bounds, recorded)


def part(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    return {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}


def inputs(recorded: Mapping[str, NDArray[Any]], number: int) -> tuple[Batch, NDArray[np.float32]]:
    """The batch of an update, and the normal numbers that it drew."""
    given = part(recorded, f"{number}/")
    mean, std = recorded["normalizer.mean"], recorded["normalizer.std"]
    batch = Batch(
        (given["observations"] - mean) / std,
        given["actions"],
        given["rewards"],
        given["discounts"],
        (given["next_observations"] - mean) / std,
    )
    return batch, np.concatenate((given["noise/own"], given["noise/next"]), axis=1)


def assert_close(actual: object, expected: object) -> None:
    """To 1e-5 of the largest element."""
    largest = float(np.abs(np.asarray(expected)).max())
    assert_allclose(actual, expected, rtol=1e-5, atol=1e-5 * largest)


@pytest.mark.parametrize("name", HYPERPARAMETERS)
def test_losses_and_gradients_are_the_published_ones(name: str) -> None:
    networks, distribution, hp, bounds, recorded = case(name)
    batch, noise = inputs(recorded, 0)
    targets = mpo.target_values(networks, distribution, batch, noise, bounds)
    metrics = mpo.critic_gradient(networks, batch, targets, bounds)
    networks.groups["critic"].optimizer.clip(hp.critic_max_grad_norm)
    metrics |= mpo.policy_gradients(networks, distribution, batch.observation, targets, hp)
    for group in ("actor", "dual"):
        networks.groups[group].optimizer.clip(hp.max_grad_norm)
    gradients = {n: a for group in networks.groups.values() for n, a in group.gradient.items()}
    expected = part(recorded, "0/gradient/")
    assert gradients.keys() == expected.keys()
    for key, gradient in gradients.items():
        assert_close(gradient, expected[key])
    theirs = part(recorded, "0/actor/")
    assert_close(metrics["train/critic_loss"], recorded["0/critic/loss"])
    assert_close(metrics["train/value"], recorded["0/critic/q"].mean())
    for key in ("policy_mean_loss", "policy_std_loss"):
        assert_close(metrics[f"train/{key}"], theirs[key])
    for key in ("temperature_loss", "temperature", "penalty_temperature"):
        assert_close(metrics[f"train/{key}"], theirs[key][0])
    for key in ("alpha_mean", "alpha_std"):
        assert_close(metrics[f"train/{key}"], theirs[key].mean())


@pytest.mark.parametrize("name", HYPERPARAMETERS)
def test_the_duals_losses_are_the_published_ones(name: str) -> None:
    """By their gradients, which are α's sigmoid times what the losses multiply α by."""
    networks, distribution, hp, bounds, recorded = case(name)
    batch, noise = inputs(recorded, 0)
    targets = mpo.target_values(networks, distribution, batch, noise, bounds)
    mpo.policy_gradients(networks, distribution, batch.observation, targets, hp)
    group, theirs = networks.groups["dual"], part(recorded, "0/actor/")
    for own, key in (("mean", "alpha_mean"), ("std", "alpha_std")):
        variable, alpha = group.arrays[f"dual.{own}"], theirs[key]
        excess = group.gradient[f"dual.{own}"] * (1 + np.exp(-variable))
        assert_close((alpha * excess).sum(), theirs[f"{key}_loss"])
    epsilons = np.array([hp.epsilon_mean, hp.epsilon_std])
    for i, key in enumerate(("mean", "std")):
        variable, alpha = group.arrays[f"dual.{key}"], theirs[f"alpha_{key}"]
        divergence = epsilons[i] - group.gradient[f"dual.{key}"] * (1 + np.exp(-variable))
        assert_close((alpha * divergence).sum(), theirs[f"kl_{key}_loss"])


@pytest.mark.parametrize("name", HYPERPARAMETERS)
def test_two_updates_leave_the_published_variables(name: str) -> None:
    networks, distribution, hp, bounds, recorded = case(name)
    for number in UPDATES:
        batch, noise = inputs(recorded, number)
        mpo.update(networks, distribution, batch, noise, hp, bounds)
    expected = part(recorded, "after/")
    assert networks.arrays.keys() == expected.keys()
    for key, array in networks.arrays.items():
        # A step of Adam is about its rate, whatever the gradient: one near zero is not exact.
        assert_allclose(array, expected[key], rtol=1e-5, atol=2e-6)


def test_a_penalty_that_is_off_leaves_its_temperature() -> None:
    networks, distribution, _, bounds, recorded = case("plain")
    batch, noise = inputs(recorded, 0)
    before = networks.arrays["dual.penalty_temperature"].copy()
    mpo.update(networks, distribution, batch, noise, MPO(action_penalty=False), bounds)
    assert networks.arrays["dual.penalty_temperature"] == before
    assert networks.arrays["dual.temperature"] != PUBLISHED["plain/before/dual.temperature"]


@pytest.mark.parametrize("hidden", [(), (7,), (7, 6, 5)])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_values_of_many_actions_are_those_of_each(hidden: tuple[int, ...], activation: str) -> None:
    rng = np.random.default_rng(3)
    sizes = [4 + 2, *hidden, 1]
    arrays: dict[str, NDArray[Any]] = {}
    for i, (inputs, outputs) in enumerate(pairwise(sizes)):
        arrays[f"q.{2 * i}.weight"] = rng.standard_normal((outputs, inputs), np.float32)
        arrays[f"q.{2 * i}.bias"] = rng.standard_normal(outputs, np.float32)
    layers = len(hidden) + 1
    observation = rng.standard_normal((5, 4), np.float32)
    actions = rng.standard_normal((3, 5, 2), np.float32)
    values = ActionValues(arrays, "q", layers, activation)(observation, actions)
    for row, action in zip(values, actions, strict=True):
        alone = MLP(arrays, "q", layers, activation)(np.concatenate((observation, action), axis=1))
        assert_allclose(row, alone[:, 0], rtol=1e-5, atol=1e-6)
