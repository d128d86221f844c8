"""Agents of two small layers, and rollouts of a few steps, for updates by hand."""

from __future__ import annotations

import numpy as np
from gymnasium.spaces import Box, MultiDiscrete

from poolrl.agent import Agent
from poolrl.algorithms.train_state import TrainState
from poolrl.config.networks import MLPSpec
from poolrl.networks.parameters import initial_arrays
from poolrl.rollouts.rollout import Rollout
from poolrl.rollouts.sampler import Episodes
from poolrl.spaces import ActionSpace
from tests.helpers.agents import agent_of

T, N, SIZE = 24, 4, 5
"""Steps, simulations and observed values."""

SPACES: dict[str, ActionSpace] = {
    "beta": Box(-2.0, 2.0, (3,), np.float32),
    "gaussian": Box(-2.0, 2.0, (3,), np.float32),
    "categorical": MultiDiscrete([2, 5, 3]),
}


def agent(
    distribution: str,
    activation: str = "tanh",
    actor: tuple[int, ...] = (16, 8),
    *,
    shared: bool = False,
) -> Agent:
    network = MLPSpec(
        actor=actor,
        critic=actor if shared else (8,),
        distribution=distribution,
        activation=activation,
        shared=shared,
    )
    space = SPACES[distribution]
    arrays = initial_arrays(network, SIZE, space, np.random.default_rng(0))
    return agent_of(network, SIZE, space, arrays)


def rollout(state: TrainState) -> Rollout:
    """Invented steps, with samples of the policy's own and log-probabilities a little off."""
    rng = np.random.default_rng(1)
    observation = rng.normal(size=(T, N, SIZE)).astype(np.float32)
    policy = state.policy
    normalized = policy.normalized(observation.reshape(T * N, SIZE))
    parameters = policy.network.act(normalized, ())[0]
    sample = policy.distribution.sample(parameters, rng)
    known = policy.distribution.log_prob(parameters, sample)
    known += rng.normal(0, 0.2, known.shape).astype(np.float32)
    ended = rng.random((T, N)) < 0.1
    ended[-1] = True
    valid = np.ones((T, N), bool)
    valid[-3:, 0] = False
    return Rollout(
        observation=observation,
        normalized=normalized.reshape(T, N, SIZE),
        sample=sample.reshape(T, N, -1),
        log_prob=known.reshape(T, N),
        value=policy.network.values(normalized, ()).reshape(T, N),
        reward=rng.normal(size=(T, N)).astype(np.float32),
        ended=ended,
        bootstrap=np.zeros((T, N), np.float32),
        valid=valid,
        goes_on=np.zeros(N, bool),
        episodes=Episodes(np.zeros(0), np.zeros(0, np.int64)),
    )
