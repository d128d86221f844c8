"""Entry points of the learners: a new agent, and training for a budget.

A learner owns its loop: some update once per branch, some many times, some within episodes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np
from gymnasium.spaces import Box
from msgspec.structs import replace
from numpy.typing import NDArray

from poolrl.agent import STD, Agent, AgentMetadata
from poolrl.algorithms.energy_cost import activity_columns
from poolrl.algorithms.types import MakeTask, Training
from poolrl.config.exploration import Exploration, NoExploration, PureExploration
from poolrl.config.learners import PPO, Learner, RandomSearch, Reinforce
from poolrl.config.mpo import MPO
from poolrl.config.networks import EncoderDecoderSpec, ModuleSpec, NetworkSpec, QMLPSpec
from poolrl.config.schema import Spec, check_sequences
from poolrl.distributions.factory import default_distribution, make_distribution
from poolrl.errors import UsageError
from poolrl.networks.parameters import (
    initial_action_values,
    initial_arrays,
    initial_normalizer,
)
from poolrl.networks.value_normalizer import initial_statistics
from poolrl.rollouts.replay_chunk import Chunk
from poolrl.rollouts.sampler import Budget
from poolrl.seeding import Purpose, Streams
from poolrl.spaces import ActionSpace, SpaceSpec
from poolrl.tasks.base import Task, call_optional
from poolrl.tasks.variants import own_actions, time_limit

MODULES: dict[type, str] = {
    PPO: "poolrl.algorithms.ppo",
    Reinforce: "poolrl.algorithms.reinforce",
    MPO: "poolrl.algorithms.mpo",
    RandomSearch: "poolrl.algorithms.random_search",
    PureExploration: "poolrl.algorithms.pure_exploration",
}

NO_EXPLORATION = NoExploration()

_OTHERS = {"critic_senses": "the actor", "encoder_senses": "the decoder"}
"""Key of the network that names senses -> who sees none of them."""


def prepare(hp: Learner) -> None:
    """Import a learner's module, so that its import time is not measured as training time."""
    import_module(MODULES[type(hp)])


def train(
    agent: Agent,
    make_task: MakeTask,
    budget: Budget,
    hp: Learner,
    streams: Streams,
    exploration: Exploration = NO_EXPLORATION,
    window: Sequence[Chunk] = (),
    training_steps: int = 0,
) -> Training:
    """Train an agent for a budget; the result depends on the arguments alone.

    Args:
        agent: the starting point; not changed.
        make_task: makes the tasks to train on.
        budget: number of episodes or steps.
        hp: the learner and its hyper-parameters on this branch.
        streams: random streams of this branch.
        exploration: for the learners that ``config.exploration.check_exploration`` allows it.
        window: transitions of other branches, for a learner that shares its replay.
        training_steps: control steps of the pool's training before, which exploration may depend
            on.

    Raises:
        Divergence: training met NaN or infinity.
    """
    given: dict[str, Any] = {}
    if isinstance(hp, PureExploration):
        given["exploration"] = exploration
    elif isinstance(hp, MPO):
        given |= {"exploration": exploration, "training_steps": training_steps, "window": window}
    training: Training = import_module(MODULES[type(hp)]).train(
        agent, make_task, budget, hp, streams, **given
    )
    return training


def initial_agent(
    spec: Spec, task: Task, streams: Streams, action_space: SpaceSpec | None = None
) -> Agent:
    """Make a new agent with random weights.

    Args:
        spec: task, network and learner.
        task: gives the spaces and the time limit.
        streams: random streams of the initial unit of work.
        action_space: to act in; ``None`` for the task's.

    Raises:
        UsageError: the network's distribution does not suit the actions, or it is far too large.
    """
    size = task.observation_space.shape[0]
    generator = streams.generator(Purpose.INITIALISE)
    network = spec.network
    actions = action_space or SpaceSpec.of_actions(task.action_space)
    key = {QMLPSpec: "learner.name: mpo", EncoderDecoderSpec: "network.name: encoder_decoder"}
    if type(network) in key and not _is_bounded_box(actions.space()):
        text = " ".join(str(actions.space()).split())
        raise UsageError(
            f"{key[type(network)]} is for continuous actions within bounds, not for {text}"
        )
    if network.distribution == "auto":
        network = replace(network, distribution=default_distribution(actions.space(), network))
    if isinstance(network, ModuleSpec) and network.critic_senses:
        raise UsageError("network.critic_senses: a user's network decides itself who sees what")
    network = replace(
        network, critic_columns=_columns("critic_senses", network.critic_senses, task)
    )
    if isinstance(network, EncoderDecoderSpec):
        columns = _columns("encoder_senses", network.encoder_senses, task)
        if both := set(columns) & set(network.critic_columns):
            raise UsageError(
                f"network.critic_senses: {len(both)} values are of network.encoder_senses too"
            )
        network = replace(network, encoder_columns=columns)
    if isinstance(network, ModuleSpec):
        network, arrays = _trial(network, size, actions.space(), generator)
    elif isinstance(network, QMLPSpec):
        arrays = initial_action_values(network, size, actions.space(), generator)
    else:
        arrays = initial_arrays(network, size, actions.space(), generator)
    check_learner(spec.learner, network, arrays, task)
    if network.std == "schedule":
        arrays[STD] = np.array(network.std_init)
    if isinstance(spec.learner, PPO | Reinforce) and spec.learner.normalize_values:
        arrays |= initial_statistics(0.0)
    world = replace(spec.task, max_episode_steps=time_limit(task))
    metadata = AgentMetadata(
        task=spec.task.id,
        max_episode_steps=world.max_episode_steps,
        observation_space=SpaceSpec.of(task.observation_space),
        action_space=actions,
        own_actions=own_actions(task) if spec.task.exact_spaces else None,
        learner=str(type(spec.learner).__struct_config__.tag),
        network=network,
    ).in_world(world)
    return Agent(arrays, metadata)


def _is_bounded_box(space: ActionSpace) -> bool:
    return isinstance(space, Box) and space.is_bounded()


def _columns(key: str, names: Sequence[str], task: Task) -> tuple[int, ...]:
    """The numbers of the observed values that senses consist of.

    Args:
        key: of the network that names them; for errors.
        names: of the senses.
        task: that has them.

    Raises:
        UsageError: the task does not have one of them, or has nothing else.
    """
    if not names:
        return ()
    senses = call_optional(task, "senses")
    mask = np.zeros(task.observation_space.shape[0], np.bool_)
    for name in names:
        if name not in senses:
            known = ", ".join(senses) or "none, since its observations have no named parts"
            raise UsageError(f"network.{key}: the task has no {name}; known: {known}")
        mask |= senses[name]
    if mask.all():
        raise UsageError(f"network.{key}: nothing is left for {_OTHERS[key]} to see")
    return tuple(np.flatnonzero(mask).tolist())


def check_learner(
    learner: Learner, network: NetworkSpec, arrays: Mapping[str, NDArray[Any]], task: Task
) -> None:
    """Check what a specification alone does not show of its network.

    Args:
        learner: that is to train it, with the hyper-parameters of a branch or the pool's own.
        network: as agents have it.
        arrays: of any agent.
        task: to train on.

    Raises:
        UsageError: names the key.
    """
    if isinstance(learner, MPO):
        size = task.observation_space.shape[0]
        activity_columns(learner.muscles, call_optional(task, "senses"), size)
    takes_unit_steps = isinstance(learner, Reinforce) and learner.policy_step == "unit"
    if takes_unit_steps and "actor.free" in arrays:
        raise UsageError(
            "learner.policy_step: unit is for distributions whose parameters all depend on the "
            f"observation, not for {network.distribution}"
        )
    if not isinstance(learner, PPO | Reinforce):
        return
    penalties: tuple[str, ...] = ()
    if isinstance(network, ModuleSpec | EncoderDecoderSpec):
        penalties = network.penalties
    if set(learner.penalties) != set(penalties):
        raise UsageError(
            f"learner.penalties: weights for {', '.join(sorted(penalties)) or 'nothing'} are "
            f"needed, got some for {', '.join(sorted(learner.penalties)) or 'nothing'}"
        )
    if network.has_memory:
        check_sequences(learner)


def _trial(
    network: ModuleSpec, size: int, space: ActionSpace, generator: np.random.Generator
) -> tuple[ModuleSpec, dict[str, NDArray[Any]]]:
    """A user's network, and its initial arrays."""
    from poolrl.networks.module_trial import describe  # with torch

    distribution = make_distribution(network, space)
    outputs = distribution.num_parameters - distribution.free_parameters
    described, arrays = describe(network, size, outputs, generator)
    if distribution.free_parameters:
        arrays["actor.free"] = distribution.initial_free()
    return described, arrays | initial_normalizer(network, size)
