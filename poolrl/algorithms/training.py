"""Learners: from an agent to a better one. No file and no pool in here.

A learner owns its loop: some update once a branch, some many times, some inside episodes.
"""

from __future__ import annotations

from importlib import import_module

from msgspec.structs import replace

from poolrl.agent import Agent, AgentMetadata
from poolrl.algorithms.types import Budget, MakeTask, Training
from poolrl.config import schema as config
from poolrl.config.schema import Learner, Spec
from poolrl.distributions.factory import default_distribution
from poolrl.networks.parameters import initial_arrays
from poolrl.seeding import Purpose, Streams
from poolrl.spaces import SpaceSpec
from poolrl.tasks.base import Task
from poolrl.tasks.variants import time_limit

__all__ = ["Budget", "MakeTask", "Training", "initial_agent", "prepare", "train"]

MODULES: dict[type, str] = {
    config.PPO: "poolrl.algorithms.ppo",
    config.Reinforce: "poolrl.algorithms.reinforce",
    config.Climb: "poolrl.algorithms.random_search",
}


def prepare(hp: Learner) -> None:
    """Import what a learner needs, so that the time that takes counts for no branch."""
    import_module(MODULES[type(hp)])


def train(
    agent: Agent, make_task: MakeTask, budget: Budget, hp: Learner, streams: Streams
) -> Training:
    """Train an agent for a budget; the result follows from the arguments alone.

    Args:
        agent: where to start; not changed.
        make_task: gives the tasks to train on.
        budget: for how many episodes, or steps.
        hp: the learner and its hyper-parameters on this branch.
        streams: the random streams of this branch.

    Raises:
        Divergence: training met NaN or infinity.
    """
    training: Training = import_module(MODULES[type(hp)]).train(
        agent, make_task, budget, hp, streams
    )
    return training


def initial_agent(spec: Spec, task: Task, streams: Streams) -> Agent:
    """A new agent for a task, drawn from a seed."""
    size = task.observation_space.shape[0]
    generator = streams.generator(Purpose.INITIALISE)
    network = spec.network
    if network.distribution == "auto":
        network = replace(network, distribution=default_distribution(task.action_space))
    world = replace(spec.task, max_episode_steps=time_limit(task))
    metadata = AgentMetadata(
        task=spec.task.id,
        max_episode_steps=world.max_episode_steps,
        observation_space=SpaceSpec.of(task.observation_space),
        action_space=SpaceSpec.of(task.action_space),
        learner=str(type(spec.learner).__struct_config__.tag),
        network=network,
    ).in_world(world)
    return Agent(initial_arrays(network, size, task.action_space, generator), metadata)
