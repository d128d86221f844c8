"""Acting, and the same policy as a torch module."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete
from msgspec.structs import replace

from poolrl.config.networks import MLPSpec
from poolrl.networks.normalizer import update_statistics, update_statistics_in_double
from poolrl.networks.parameters import expected_shapes, initial_arrays
from poolrl.networks.policy import Policy
from poolrl.networks.torch_module import PolicyModule
from poolrl.networks.value_normalizer import initial_statistics, update_value_statistics

ACTIONS = Box(-2.0, 2.0, (3,), np.float32)


def network(
    activation: str, normalize: bool, distribution: str = "beta"
) -> tuple[MLPSpec, dict[str, np.ndarray], Policy]:
    spec = MLPSpec(
        actor=(16, 8),
        critic=(4,),
        activation=activation,  # type: ignore[arg-type]
        normalize_observations=normalize,
        distribution=distribution,  # type: ignore[arg-type]
    )
    arrays = initial_arrays(spec, 5, ACTIONS, np.random.default_rng(0))
    if normalize:
        seen = np.random.default_rng(1).normal(2, 3, (100, 5)).astype(np.float32)
        update_statistics(arrays, seen)
    return spec, arrays, Policy(arrays, spec, 5, ACTIONS)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("distribution", ["beta", "gaussian"])
def test_numpy_and_torch_agree(activation: str, normalize: bool, distribution: str) -> None:
    spec, arrays, policy = network(activation, normalize, distribution)
    module = PolicyModule(arrays, spec)
    observation = np.random.default_rng(2).normal(0, 5, (20, 5))
    act = policy.act(observation, generator=np.random.default_rng(3))
    with torch.no_grad():
        parameters, value = module(torch.from_numpy(observation))
    assert act.parameters == pytest.approx(parameters.numpy(), abs=1e-5)
    assert policy.value(observation) == pytest.approx(value.numpy(), abs=1e-5)
    assert {n: tuple(t.shape) for n, t in module.state_dict().items()} == expected_shapes(
        spec, 5, ACTIONS
    )


@pytest.mark.parametrize("offset", [0.0, 1.7e9])
def test_numpy_and_torch_agree_in_double(offset: float) -> None:
    """With normalised values too, and one observation that never varies."""
    spec, arrays, _ = network("tanh", True)
    spec = replace(spec, normalizer_precision="double")
    rng = np.random.default_rng(1)
    arrays |= initial_arrays(spec, 5, ACTIONS, np.random.default_rng(0))
    observation = offset + rng.normal(0, 1e-3, (100, 5))
    observation[:, 3] = offset
    update_statistics_in_double(arrays, observation)
    arrays |= initial_statistics(0.0)
    update_value_statistics(arrays, rng.normal(1e6, 3e4, 50))
    policy, module = Policy(arrays, spec, 5, ACTIONS), PolicyModule(arrays, spec)
    assert policy.normalized(observation).std(axis=0) == pytest.approx([1, 1, 1, 0, 1], rel=0.1)
    with torch.no_grad():
        parameters, value = module(torch.from_numpy(observation))
    act = policy.act(observation, generator=np.random.default_rng(3))
    assert act.parameters == pytest.approx(parameters.numpy(), abs=1e-5)
    assert policy.value(observation) == pytest.approx(value.numpy(), rel=1e-6)
    assert 8e5 < value.mean() < 1.2e6
    assert {n: tuple(t.shape) for n, t in module.state_dict().items()} == expected_shapes(
        spec, 5, ACTIONS, normalized_values=True
    )


def test_a_policy_sees_what_training_does_to_its_arrays() -> None:
    _, arrays, policy = network("tanh", normalize=False)
    observation = np.ones((4, 5))
    before = policy.act(observation).action
    arrays["actor.4.bias"][:3] += 1
    assert not np.allclose(policy.act(observation).action, before)


@pytest.mark.parametrize("distribution", ["beta", "gaussian"])
def test_deterministic_actions_are_the_mean(distribution: str) -> None:
    _, _, policy = network("tanh", True, distribution)
    observation = np.zeros((1, 5))
    many = policy.act(np.zeros((20_000, 5)), generator=np.random.default_rng(0)).action
    assert policy.act(observation).action[0] == pytest.approx(many.mean(axis=0), abs=0.03)


def test_choices_are_whole_numbers() -> None:
    space = Discrete(4)
    spec = MLPSpec(actor=(8,), critic=(8,))
    arrays = initial_arrays(spec, 5, space, np.random.default_rng(0))
    policy = Policy(arrays, spec, 5, space)
    actions = policy.act(np.zeros((500, 5)), generator=np.random.default_rng(0)).action
    assert actions.shape == (500,)
    assert set(actions.tolist()) == {0, 1, 2, 3}


def test_initial_weights_are_orthogonal() -> None:
    spec = MLPSpec(actor=(16, 8), critic=(4,))
    arrays = initial_arrays(spec, 5, ACTIONS, np.random.default_rng(0))
    wide = arrays["actor.2.weight"]  # (8, 16): its rows are orthogonal
    assert wide @ wide.T == pytest.approx(2 * np.eye(8), abs=1e-5)
    tall = arrays["actor.0.weight"]  # (16, 5): its columns are
    assert tall.T @ tall == pytest.approx(2 * np.eye(5), abs=1e-5)
    assert abs(arrays["actor.4.weight"]).max() <= 0.01
