"""Updates against the same ones written in torch, with its automatic gradients and its Adam."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from poolrl.agent import Agent
from poolrl.algorithms import ppo, reinforce
from poolrl.algorithms.advantages import discounted_returns, generalized_advantages, standardized
from poolrl.algorithms.train_state import TrainState
from poolrl.config.learners import PPO, Reinforce
from poolrl.networks.torch_module import PolicyModule
from tests.helpers.small_updates import agent, rollout
from tests.helpers.torch_distributions import CASES, entropy, log_prob


def after(state: TrainState, module: PolicyModule) -> tuple[dict[str, Any], dict[str, Any]]:
    ours = state.to_agent(learner="", environment_steps=0, episodes=0, updates=1).arrays
    theirs = {name: value.detach().numpy() for name, value in module.named_parameters()}
    return {name: ours[name] for name in theirs}, theirs


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_ppo(name: str, activation: str) -> None:
    state = TrainState(agent(name, activation))
    data = rollout(state)
    hp = PPO(
        learning_rate=1e-2,
        epochs=3,
        minibatch_size=32,
        entropy_coefficient=0.05,
        max_grad_norm=0.4,
        clip_range=0.15,
    )
    start = agent(name, activation)
    module = PolicyModule(start.arrays, start.metadata.network)
    ppo.update(state, data, hp, np.random.default_rng(7))

    valid, law = data.valid, CASES[name][1]
    advantage = generalized_advantages(
        data.reward, data.value, data.ended, data.bootstrap, hp.discount, hp.gae_lambda
    )
    observations = torch.from_numpy(data.observation[valid])
    old = torch.from_numpy(data.log_prob[valid])
    target = torch.from_numpy((advantage + data.value)[valid])
    advantages = torch.from_numpy(standardized(advantage[valid]))
    adam = torch.optim.Adam(module.parameters(), lr=hp.learning_rate, eps=1e-5)
    shuffle = np.random.default_rng(7)
    for _ in range(hp.epochs):
        for rows in torch.from_numpy(shuffle.permutation(len(target))).split(hp.minibatch_size):
            parameters, value = module(observations[rows])
            ratio = (log_prob(law, parameters, data.sample[valid][rows]) - old[rows]).exp()
            clipped = ratio.clamp(1 - hp.clip_range, 1 + hp.clip_range)
            loss = -torch.min(advantages[rows] * ratio, advantages[rows] * clipped).mean()
            loss = loss + hp.value_coefficient * (value - target[rows]).square().mean()
            loss = loss - hp.entropy_coefficient * entropy(law, parameters).mean()
            adam.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(module.parameters(), hp.max_grad_norm)
            adam.step()
    ours, theirs = after(state, module)
    for key, value in theirs.items():
        assert ours[key] == pytest.approx(value, abs=2e-4), key
        assert not np.allclose(value, start.arrays[key], atol=1e-3), key


def test_reinforce() -> None:
    state = TrainState(agent("beta"))
    data = rollout(state)
    hp = Reinforce(learning_rate=1e-2, baseline_learning_rate=3e-3, minibatch_size=20)
    start = agent("beta")
    module = PolicyModule(start.arrays, start.metadata.network)
    reinforce.update(state, data, hp, np.random.default_rng(7))

    valid, law = data.valid, CASES["beta"][1]
    observations = torch.from_numpy(data.observation[valid])
    target = torch.from_numpy(discounted_returns(data.reward, data.ended, hp.discount)[valid])
    advantages = torch.from_numpy(standardized(target.numpy() - data.value[valid]))
    adam = torch.optim.Adam(
        [
            {"params": module.actor.parameters(), "lr": hp.learning_rate},
            {"params": module.critic.parameters(), "lr": hp.baseline_learning_rate},
        ],
        eps=1e-5,
    )
    order = torch.from_numpy(np.random.default_rng(7).permutation(len(target)))
    for rows in order.split(hp.minibatch_size):
        parameters, value = module(observations[rows])
        sample_log_prob = log_prob(law, parameters, data.sample[valid][rows])
        adam.zero_grad()
        (
            -(advantages[rows] * sample_log_prob).mean() + (value - target[rows]).square().mean()
        ).backward()
        torch.nn.utils.clip_grad_norm_(module.actor.parameters(), hp.max_grad_norm)
        torch.nn.utils.clip_grad_norm_(module.critic.parameters(), hp.max_grad_norm)
        adam.step()
    ours, theirs = after(state, module)
    for key, value in theirs.items():
        assert ours[key] == pytest.approx(value, abs=2e-4), key


def test_the_optimisers_state_is_restored() -> None:
    """One update after another is the same with an agent file in between."""
    hp = PPO(epochs=1)
    straight = TrainState(agent("gaussian"))
    data = rollout(straight)
    ppo.update(straight, data, hp, np.random.default_rng(0))
    middle = straight.to_agent(learner="ppo", environment_steps=0, episodes=0, updates=1)
    ppo.update(straight, data, hp, np.random.default_rng(1))
    resumed = TrainState(Agent.from_bytes(middle.to_bytes()))
    ppo.update(resumed, data, hp, np.random.default_rng(1))
    ends = [
        t.to_agent(learner="ppo", environment_steps=0, episodes=0, updates=0).arrays
        for t in (straight, resumed)
    ]
    assert all(np.array_equal(ends[0][name], ends[1][name]) for name in ends[0])
