"""Acting in NumPy and learning in torch are one policy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box

from poolrl.config import NetworkSpec
from poolrl.policy.acting import Policy, expected_shapes, initial_arrays
from poolrl.policy.actor_critic import ActorCritic

ACTIONS = Box(-2.0, 2.0, (3,), np.float32)


def network(activation: str, normalize: bool) -> tuple[NetworkSpec, ActorCritic, Policy]:
    spec = NetworkSpec(
        actor=(16, 8), critic=(4,), activation=activation, normalize_observations=normalize
    )
    module = ActorCritic(spec, 5, ACTIONS)
    arrays = initial_arrays(spec, 5, ACTIONS, np.random.default_rng(0))
    module.load_state_dict({name: torch.from_numpy(a.copy()) for name, a in arrays.items()})
    module.observe(np.random.default_rng(1).normal(2, 3, (100, 5)))
    return spec, module, module.policy()


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("normalize", [True, False])
def test_numpy_and_torch_agree(activation: str, normalize: bool) -> None:
    _, module, policy = network(activation, normalize)
    observation = np.random.default_rng(2).normal(0, 5, (20, 5))
    act = policy.act(observation, generator=np.random.default_rng(3))
    assert act.sample is not None
    with torch.no_grad():
        x = module.normalized(torch.from_numpy(observation.astype(np.float32)))
        log_prob = module.distribution.log_prob(module.actor(x), torch.from_numpy(act.sample))
        value = module.critic(x)[:, 0]
    assert act.log_prob == pytest.approx(log_prob.numpy(), abs=1e-4)
    assert act.value == pytest.approx(value.numpy(), abs=1e-4)
    assert policy.value(observation) == pytest.approx(value.numpy(), abs=1e-4)


def test_a_policy_sees_what_training_does_to_its_module() -> None:
    _, module, policy = network("tanh", normalize=False)
    observation = np.ones((4, 5))
    before = policy.act(observation).action
    with torch.no_grad():
        module.actor[-1].bias.add_(1.0)
        module.actor[-1].bias[3:].sub_(2.0)
    assert not np.allclose(policy.act(observation).action, before)


def test_deterministic_actions_are_the_mean() -> None:
    _, _, policy = network("tanh", normalize=True)
    observation = np.zeros((1, 5))
    many = policy.act(np.zeros((20_000, 5)), generator=np.random.default_rng(0)).action
    assert policy.act(observation).action[0] == pytest.approx(many.mean(axis=0), abs=0.03)


def test_initial_arrays_are_those_of_the_module() -> None:
    spec, module, _ = network("tanh", normalize=True)
    shapes = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    assert expected_shapes(spec, 5, ACTIONS) == shapes


def test_initial_weights_are_orthogonal() -> None:
    spec = NetworkSpec(actor=(16, 8), critic=(4,))
    arrays = initial_arrays(spec, 5, ACTIONS, np.random.default_rng(0))
    wide = arrays["actor.2.weight"]  # (8, 16): its rows are orthogonal
    assert wide @ wide.T == pytest.approx(2 * np.eye(8), abs=1e-5)
    tall = arrays["actor.0.weight"]  # (16, 5): its columns are
    assert tall.T @ tall == pytest.approx(2 * np.eye(5), abs=1e-5)
    assert abs(arrays["actor.4.weight"]).max() <= 0.01
