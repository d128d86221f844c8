"""Agents that no pool has made."""

from __future__ import annotations

import numpy as np
from gymnasium.spaces import Box

from poolrl.agent import Agent, AgentMetadata, Arrays
from poolrl.config.networks import NetworkSpec
from poolrl.spaces import ActionSpace, SpaceSpec


def agent_of(network: NetworkSpec, size: int, actions: ActionSpace, arrays: Arrays) -> Agent:
    """An agent of these arrays, for observations of this size and a task that is not made."""
    metadata = AgentMetadata(
        task="Plateau-v0",
        max_episode_steps=10,
        observation_space=SpaceSpec.of(Box(-np.inf, np.inf, (size,), np.float64)),
        action_space=SpaceSpec.of(actions),
        learner="",
        network=network,
    )
    return Agent(arrays, metadata)
