"""Agents that no pool has made."""

from __future__ import annotations

import numpy as np
from gymnasium.spaces import Box

from poolrl import tasks
from poolrl.agent import Agent, AgentMetadata, Arrays
from poolrl.algorithms.training import initial_agent
from poolrl.config.networks import NetworkSpec
from poolrl.seeding import Streams
from poolrl.spaces import ActionSpace, SpaceSpec
from tests.conftest import tiny_spec


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


def new_agent(**keys: object) -> Agent:
    """A new agent, which has not learned anything.

    Args:
        keys: of the configuration, with ``__`` for the dots; a tiny pool's, unless they are given.
    """
    spec = tiny_spec(**keys)
    with tasks.closing(tasks.make(spec.task, 1), spec.task) as task:
        return initial_agent(spec, task, Streams(0))
