"""The loop of on-policy gradient learners: collect episodes, update, forget them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch

from poolrl.agent import Agent
from poolrl.config import PPO, Reinforce
from poolrl.learn.api import MakeTask, Training, mean_metrics
from poolrl.learn.gradient import Groups, adam, module_of, trained_agent
from poolrl.learn.rollout import Rollout, collect
from poolrl.policy.actor_critic import ActorCritic
from poolrl.seeding import Purpose, Streams

HP = TypeVar("HP", PPO, Reinforce)

Update = Callable[
    [ActorCritic, torch.optim.Optimizer, Rollout, HP, np.random.Generator], dict[str, float]
]
"""Improve a network on one rollout; gives averages under Stable-Baselines3's log keys."""


def train_on_policy(
    agent: Agent,
    make_task: MakeTask,
    episodes: int,
    hp: HP,
    streams: Streams,
    *,
    learner: str,
    groups: Callable[[ActorCritic], Groups],
    update: Update[HP],
) -> Training:
    """Train for a number of episodes, ``hp.episodes_per_update`` to an update.

    The observation statistics that a rollout was collected with hold for its update, and take its
    observations in afterwards.

    Args:
        agent, make_task, episodes, hp, streams: see ``poolrl.learn.train``.
        learner: the name that the agent's metadata then has.
        groups: the parts of a network with their learning rates.
        update: what the learner does with a rollout.
    """
    module = module_of(agent)
    optimizer = adam(module, agent, groups(module))
    returns: list[float] = []
    metrics: list[dict[str, float]] = []
    steps = 0
    while len(returns) < episodes:
        count = min(hp.episodes_per_update, episodes - len(returns))
        number = len(metrics)
        rollout = collect(
            module.policy(),
            make_task(count),
            streams.generators(Purpose.RESET, len(returns), count),
            streams.generator(Purpose.ACTION, number),
        )
        shuffle = streams.generator(Purpose.SHUFFLE, number)
        metrics.append(update(module, optimizer, rollout, hp, shuffle))
        module.observe(rollout.observation[rollout.played])
        returns += rollout.episodes.returns.tolist()
        steps += int(rollout.episodes.lengths.sum())
    trained = trained_agent(
        agent,
        module,
        optimizer,
        learner=learner,
        environment_steps=steps,
        episodes=episodes,
        updates=len(metrics),
    )
    return Training(trained, returns, steps, len(metrics), mean_metrics(metrics))
