"""PPO's losses and gradients against Stable-Baselines3's and sb3-contrib's own code."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box
from sb3_contrib import RecurrentPPO
from sb3_contrib.common.recurrent.type_aliases import RNNStates
from stable_baselines3 import PPO as TheirPPO
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import DummyVecEnv

from poolrl.agent import Agent
from poolrl.algorithms import ppo
from poolrl.algorithms.train_state import TrainState
from poolrl.config.learners import PPO
from poolrl.config.networks import MLPSpec, NetworkSpec, RecurrentSpec
from poolrl.networks.parameters import initial_arrays
from poolrl.rollouts.rollout import Rollout
from poolrl.rollouts.sampler import Episodes
from tests.helpers.agents import agent_of

T, N, SIZE, ACTIONS, MEMORY = 40, 4, 5, 3, 6
OBSERVATIONS = Box(-np.inf, np.inf, (SIZE,), np.float32)
BOX = Box(-1.0, 1.0, (ACTIONS,), np.float32)
COMMON: dict[str, Any] = {"distribution": "gaussian", "normalize_observations": False}

MLP_NAMES = {
    "actor.0": "mlp_extractor.policy_net.0",
    "actor.2": "mlp_extractor.policy_net.2",
    "actor.4": "action_net",
    "critic.0": "mlp_extractor.value_net.0",
    "critic.2": "value_net",
}
LSTM_NAMES = {
    "actor.memory": "lstm_actor",
    "critic.memory": "lstm_critic",
    "actor.head": "action_net",
    "critic.head": "value_net",
}


class Nothing(gym.Env[Any, Any]):
    """An environment for its spaces alone."""

    observation_space, action_space = OBSERVATIONS, BOX


HP = PPO(
    epochs=1,
    minibatch_size=T * N,
    sequence_steps=T,
    advantage_batch="minibatch",
    entropy_coefficient=0.01,
    clip_range=0.2,
    max_grad_norm=0.0,
    learning_rate=1e-3,
)
SAME: dict[str, Any] = {
    "n_steps": T,
    "batch_size": T * N,
    "n_epochs": 1,
    "gamma": HP.discount,
    "gae_lambda": HP.gae_lambda,
    "ent_coef": HP.entropy_coefficient,
    "vf_coef": HP.value_coefficient,
    "max_grad_norm": 1e9,
    "device": "cpu",
    "seed": 0,
}


def agent(network: NetworkSpec) -> Agent:
    rng = np.random.default_rng(0)
    arrays = {
        name: (array + rng.normal(0, 0.2, array.shape)).astype(np.float32)
        for name, array in initial_arrays(network, SIZE, BOX, rng).items()
    }
    return agent_of(network, SIZE, BOX, arrays)


def copy_into(policy: Any, arrays: dict[str, np.ndarray], names: dict[str, str]) -> dict[str, str]:
    """Give their policy our parameters; returns our name of each of theirs."""
    own = {"log_std": "actor.free"}
    for ours, theirs in names.items():
        for name in arrays:
            if name.startswith(f"{ours}."):
                own[theirs + name.removeprefix(ours)] = name
    parameters = dict(policy.named_parameters())
    assert own.keys() == parameters.keys()
    with torch.no_grad():
        for theirs, name in own.items():
            parameters[theirs].copy_(torch.from_numpy(arrays[name]))
    return own


def their_update(model: Any) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """What one update logs, and the gradient that it steps with."""
    gradients: dict[str, np.ndarray] = {}
    step = model.policy.optimizer.step

    def recorded(*arguments: Any) -> Any:
        for name, parameter in model.policy.named_parameters():
            gradients[name] = parameter.grad.numpy().copy()
        return step(*arguments)

    model.policy.optimizer.step = recorded
    model.set_logger(Logger(None, []))
    model.train()
    return dict(model.logger.name_to_value), gradients


def our_update(state: TrainState, data: Rollout) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    gradients: dict[str, np.ndarray] = {}
    step = state.step

    def recorded(rates: list[tuple[slice, float]]) -> None:
        gradients.update({name: array.copy() for name, array in state.gradient.items()})
        step(rates)

    state.step = recorded  # type: ignore[method-assign]
    return ppo.update(state, data, HP, np.random.default_rng(0)), gradients


def compare(
    ours: tuple[dict[str, float], dict[str, np.ndarray]],
    theirs: tuple[dict[str, float], dict[str, np.ndarray]],
    names: dict[str, str],
) -> None:
    for key in ("policy_gradient_loss", "value_loss", "approx_kl", "clip_fraction"):
        assert ours[0][f"train/{key}"] == pytest.approx(theirs[0][f"train/{key}"], abs=1e-5), key
    assert theirs[0]["train/clip_fraction"] > 0.05
    for name, gradient in theirs[1].items():
        assert ours[1][names[name]] == pytest.approx(gradient, abs=1e-5), name
        assert np.abs(gradient).max() > 1e-3


def rollout(buffer: Any, states: tuple[np.ndarray, ...] = ()) -> Rollout:
    """Their buffer, before it is flattened, as ours; the value after the end of it is 0."""
    starts = buffer.episode_starts.astype(bool)
    ended = np.concatenate([starts[1:], np.ones((1, N), bool)])
    return Rollout(
        observation=buffer.observations,
        normalized=buffer.observations.copy(),
        sample=buffer.actions.copy(),
        log_prob=buffer.log_probs.copy(),
        value=buffer.values.copy(),
        reward=buffer.rewards.copy(),
        ended=ended,
        bootstrap=np.zeros((T, N), np.float32),
        valid=np.ones((T, N), bool),
        goes_on=np.zeros(N, bool),
        episodes=Episodes(np.zeros(0), np.zeros(0, np.int64)),
        states=states,
    )


def test_ppo_is_stable_baselines() -> None:
    rng = np.random.default_rng(1)
    state = TrainState(agent(MLPSpec(actor=(16, 8), critic=(8,), **COMMON)))
    shape = {"pi": [16, 8], "vf": [8]}
    model = TheirPPO(
        "MlpPolicy", DummyVecEnv([Nothing] * N), policy_kwargs={"net_arch": shape}, **SAME
    )
    names = copy_into(model.policy, state.arrays, MLP_NAMES)
    starts = np.ones(N)
    for _ in range(T):
        observation = rng.normal(size=(N, SIZE)).astype(np.float32)
        with torch.no_grad():
            action, value, log_prob = model.policy(torch.from_numpy(observation))
        off = torch.from_numpy(rng.normal(0, 0.2, N).astype(np.float32))
        reward = rng.normal(size=N)
        model.rollout_buffer.add(observation, action.numpy(), reward, starts, value, log_prob + off)
        starts = (rng.random(N) < 0.1).astype(float)
    model.rollout_buffer.compute_returns_and_advantage(torch.zeros(N, 1), np.ones(N))
    data = rollout(model.rollout_buffer)
    compare(our_update(state, data), their_update(model), names)


def test_recurrent_ppo_is_sb3_contrib(monkeypatch: pytest.MonkeyPatch) -> None:
    # Theirs begins its minibatches at a random step, and cuts a sequence there.
    monkeypatch.setattr(np.random, "randint", lambda _: 0)
    rng = np.random.default_rng(1)
    network = RecurrentSpec(actor=(), critic=(), memory=MEMORY, **COMMON)
    state = TrainState(agent(network))
    kwargs = {"net_arch": [], "lstm_hidden_size": MEMORY, "enable_critic_lstm": True}
    model = RecurrentPPO("MlpLstmPolicy", DummyVecEnv([Nothing] * N), policy_kwargs=kwargs, **SAME)
    names = copy_into(model.policy, state.arrays, LSTM_NAMES)
    zeros = torch.zeros(1, N, MEMORY)
    states = RNNStates((zeros, zeros), (zeros, zeros))
    starts = np.ones(N)
    before = []
    for _ in range(T):
        observation = rng.normal(size=(N, SIZE)).astype(np.float32)
        kept = [
            np.stack([part[0].numpy() for part in pair], 1) for pair in zip(*states, strict=True)
        ]
        new = starts[:, None, None] > 0
        before.append([np.where(new, 0, part).astype(np.float32) for part in kept])
        with torch.no_grad():
            flags = torch.from_numpy(starts.astype(np.float32))
            result = model.policy(torch.from_numpy(observation), states, flags)
        action, value, log_prob, after = result
        off = torch.from_numpy(rng.normal(0, 0.2, N).astype(np.float32))
        model.rollout_buffer.add(
            *(observation, action.numpy(), rng.normal(size=N), starts, value, log_prob + off),
            lstm_states=states,
        )
        states = after
        starts = (rng.random(N) < 0.1).astype(float)
    model.rollout_buffer.compute_returns_and_advantage(torch.zeros(N, 1), np.ones(N))
    data = rollout(model.rollout_buffer, tuple(map(np.array, zip(*before, strict=True))))
    values = [state.policy.network.step(data.normalized[0], tuple(p[0] for p in data.states))]
    assert values[0][0].value == pytest.approx(data.value[0], abs=1e-6)
    compare(our_update(state, data), their_update(model), names)
