"""Agents with a memory: acting step by step, and the same as a torch module."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from poolrl.agent import Agent
from poolrl.algorithms.train_state import TrainState
from tests.helpers.networks import SIZE, SPECS, agent, rollout, updated

RECURRENT = [name for name, spec in SPECS.items() if hasattr(spec, "cell")]


def trained(name: str) -> Agent:
    state = TrainState(agent(name), normalize_values=True)
    data = rollout(state)
    updated(state, data, 2)
    state.update_normalizer(data.observation.reshape(-1, SIZE))
    return Agent.from_bytes(updated(state, data, 1).to_bytes())


@pytest.mark.parametrize("name", RECURRENT)
def test_numpy_and_torch_agree(name: str) -> None:
    made = trained(name)
    module = made.module()
    rng = np.random.default_rng(0)
    memory, state, start = (), (), np.zeros(4, bool)
    for _ in range(12):
        observation = rng.normal(size=(4, SIZE)) * 2
        value = made.policy.value(
            observation, tuple(np.where(start[:, None, None], 0, part) for part in memory)
        )
        output = made.policy.act(observation, memory, start, np.random.default_rng(0))
        action, _ = made.step(observation, memory, start)
        memory = output.state  # with the critic's, which acting alone does not carry
        with torch.no_grad():
            parameters, values, state = module(
                torch.from_numpy(observation), state, torch.from_numpy(start)
            )
        assert output.parameters == pytest.approx(parameters.numpy(), abs=1e-5)
        assert value == pytest.approx(values.numpy(), abs=1e-4)
        assert action == pytest.approx(made.policy.distribution.mode(parameters.numpy()), abs=1e-5)
        assert memory[0] == pytest.approx(state[0].numpy(), abs=1e-5)
        start = rng.random(4) < 0.3


def test_a_single_observation_and_its_episodes() -> None:
    made = trained("gru")
    observations = np.random.default_rng(0).normal(size=(5, SIZE))
    first, state = made.step(observations[0])
    assert first.shape == (3,)
    second, state = made.step(observations[1], state)
    other, _ = made.step(observations[1], state, True)
    fresh, _ = made.step(observations[1])
    assert np.array_equal(other, fresh)
    assert not np.allclose(second, fresh, atol=1e-6)
    with pytest.raises(ValueError, match="use step"):
        made.act(observations)
    with pytest.raises(ValueError, match="shape"):
        made.step(observations[:, :2])


def test_a_feed_forward_agent_steps_too() -> None:
    made = agent("mlp tanh")
    observations = np.random.default_rng(0).normal(size=(5, SIZE))
    action, state = made.step(observations)
    assert state == ()
    assert np.array_equal(action, made.act(observations))
