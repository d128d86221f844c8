"""The loop of on-policy gradient learners: collect steps, update, forget them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from poolrl.agent import Agent
from poolrl.algorithms.train_state import Trainee
from poolrl.algorithms.types import Budget, MakeTask, Training, mean_metrics
from poolrl.config.schema import PPO, Reinforce
from poolrl.rollouts.rollout import Rollout, collect
from poolrl.rollouts.sampler import Player
from poolrl.seeding import Purpose, Streams

F32 = NDArray[np.float32]

HP = TypeVar("HP", PPO, Reinforce)

Update = Callable[[Trainee, Rollout, HP, np.random.Generator], dict[str, float]]
"""Improve an agent on one rollout; gives averages under Stable-Baselines3's log keys."""


def train_on_policy(
    agent: Agent,
    make_task: MakeTask,
    budget: Budget,
    hp: HP,
    streams: Streams,
    *,
    learner: str,
    update: Update[HP],
    segment_steps: int = 0,
) -> Training:
    """Train for a budget, in updates on ``hp.episodes_per_update`` whole episodes, or on segments.

    The observation statistics that a rollout was collected with hold for its update, and take its
    observations in afterwards.

    Args:
        agent, make_task, budget, hp, streams: see ``poolrl.algorithms.training.train``.
        learner: the name that the agent's metadata then has.
        update: what the learner does with a rollout.
        segment_steps: update after so many steps of all simulations, in the midst of episodes,
            which then go on; 0 for whole episodes. A budget of steps then ends the branch with the
            segment that reaches it.
    """
    trainee = Trainee(agent)
    returns: list[float] = []
    metrics: list[dict[str, float]] = []
    steps = 0
    # What overflows ends as a divergence, which is an error of its own.
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for player in _players(make_task, budget, hp.episodes_per_update, segment_steps, streams):
            number = len(metrics)
            noise = streams.generator(Purpose.ACTION, number)
            rollout = collect(player, trainee.policy, noise, segment_steps)
            told = update(trainee, rollout, hp, streams.generator(Purpose.SHUFFLE, number))
            trainee.observe(rollout.observation[rollout.played])
            ended = rollout.episodes
            if len(ended.returns):
                told["rollout/ep_rew_mean"] = float(ended.returns.mean())
                told["rollout/ep_len_mean"] = float(ended.lengths.mean())
            metrics.append(told)
            returns += ended.returns.tolist()
            steps += int(rollout.played.sum())
    trained = trainee.trained(
        learner=learner,
        environment_steps=steps,
        episodes=len(returns),
        updates=len(metrics),
    )
    return Training(trained, returns, steps, len(metrics), mean_metrics(metrics))


def _players(
    make_task: MakeTask,
    budget: Budget,
    episodes_per_update: int,
    segment_steps: int,
    streams: Streams,
) -> Iterator[Player]:
    """Who plays the next update's steps: of whole episodes a new player each time, of segments
    always the same one."""
    if segment_steps:
        side_by_side = budget.episodes or math.ceil(budget.steps / segment_steps)
        player = Player(make_task(side_by_side), streams.onwards(Purpose.RESET), budget)
        while not (player.done or 0 < budget.steps <= player.steps):
            yield player
        return
    begun = steps = 0
    while begun < budget.episodes or steps < budget.steps:
        count = episodes_per_update
        if budget.episodes:
            count = min(count, budget.episodes - begun)
        left = max(0, budget.steps - steps)
        player = Player(
            make_task(count), streams.onwards(Purpose.RESET, begun), Budget(count, left)
        )
        yield player
        begun += player.begun
        steps += player.steps


def standardized(values: F32) -> F32:
    """Values of mean 0 and standard deviation 1; a single value is only centred."""
    centered: F32 = values - values.mean()
    if len(values) > 1:
        centered /= centered.std(ddof=1) + np.float32(1e-8)
    return centered


def centered_rewards(rollout: Rollout) -> F32:
    """(T, n): rewards less their mean over the rollout (Naik et al. 2024, "Reward Centering")."""
    centered: F32 = rollout.reward - rollout.reward[rollout.played].mean()
    return centered


def explained_variance(value: F32, target: F32) -> float:
    """1 − Var(target − value) / Var(target); 1 for a perfect critic, 0 for a constant one."""
    variance = float(target.var())
    return float(1 - (target - value).var() / variance) if variance > 0 else 0.0
