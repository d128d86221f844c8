"""The learner ``dep``: exploration alone, without updates and without a use of the reward."""

from __future__ import annotations

import msgspec
import numpy as np

from poolrl.agent import Agent
from poolrl.algorithms.rollout_metrics import episode_metrics, finite
from poolrl.algorithms.types import MakeTask, Training
from poolrl.config.exploration import LEARNER, Exploration, PureExploration
from poolrl.errors import Divergence
from poolrl.networks.parameters import EXPLORATION_PREFIX, extrema_of
from poolrl.rollouts.exploring import ExploringActor
from poolrl.rollouts.sampler import Budget, Sampler
from poolrl.seeding import Purpose, Streams


def train(
    agent: Agent,
    make_task: MakeTask,
    budget: Budget,
    hp: PureExploration,
    streams: Streams,
    exploration: Exploration,
) -> Training:
    """Explore for a budget. The agent stays as it is, but for its counts and for the extrema of
    actuators that exploration has seen. Of DEP, the metric `rollout/effort` is the mean squared
    activity, where all actuators have one.

    Args:
        agent, make_task, budget, hp, streams: as for ``poolrl.algorithms.training.train``.
        exploration: what acts.

    Raises:
        Divergence: a return is not finite, or a simulation became unstable.
    """
    task = make_task(budget.episodes or budget.steps)
    sampler = Sampler(task, streams.generators_from(Purpose.RESET), budget)
    actor = ExploringActor(
        *(agent.policy, exploration, task, sampler, streams),
        extrema=extrema_of(agent.arrays),
        alone=True,
    )
    efforts = [
        np.square(actor.actuators.activity[step.valid]).mean()
        for step in sampler.steps(actor)
        if actor.actuators is not None
    ]
    episodes = sampler.pop_episodes()
    if not np.isfinite(episodes.returns).all():
        raise Divergence("a return is not finite")
    seen = {f"{EXPLORATION_PREFIX}{name}": array for name, array in actor.extrema().items()}
    metadata = msgspec.structs.replace(
        agent.metadata,
        learner=LEARNER,
        environment_steps=agent.metadata.environment_steps + sampler.steps_taken,
        episodes=agent.metadata.episodes + len(episodes.returns),
    )
    metrics = episode_metrics(episodes)
    if efforts:
        metrics |= finite({"rollout/effort": float(np.mean(efforts))})
    explored = Agent({**agent.arrays, **seen}, metadata)
    return Training(explored, episodes.returns.tolist(), sampler.steps_taken, 0, metrics)
