"""Training loop of on-policy learners: collect a rollout, update on it, discard it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from poolrl.agent import Agent
from poolrl.algorithms.rollout_metrics import (
    action_metrics,
    episode_metrics,
    latent_metrics,
    length_metrics,
)
from poolrl.algorithms.train_state import TrainState
from poolrl.algorithms.types import MakeTask, Training, mean_metrics
from poolrl.config.learners import PPO, Reinforce
from poolrl.rollouts.rollout import Rollout, collect
from poolrl.rollouts.sampler import Budget, Sampler
from poolrl.seeding import Purpose, Streams

HP = TypeVar("HP", PPO, Reinforce)

Update = Callable[[TrainState, Rollout, HP, np.random.Generator], dict[str, float]]
"""Update a training state on one rollout; returns metrics under Stable-Baselines3's log keys."""


def train_on_policy(
    agent: Agent,
    make_task: MakeTask,
    budget: Budget,
    hp: HP,
    streams: Streams,
    *,
    learner: str,
    update: Update[HP],
    normalize_values: bool,
    segment_steps: int = 0,
    microbatch_size: int = 0,
) -> Training:
    """Train for a budget, with updates on ``hp.episodes_per_update`` whole episodes or on segments.

    The observation statistics are constant during a rollout and its update; the rollout's
    observations are added to them afterwards.

    Args:
        agent, make_task, budget, hp, streams: see ``poolrl.algorithms.training.train``.
        learner: its name, for the agent's metadata.
        update: the learner's update on one rollout.
        normalize_values: whether the critic predicts normalised values.
        segment_steps: update after this many steps of every simulation, within episodes, which the
            next rollout continues; 0 for whole episodes. A budget of steps then ends training with
            the segment that reaches it.
        microbatch_size: as for ``poolrl.networks.factory.make_network``.

    Raises:
        Divergence: training met NaN or infinity.
    """
    state = TrainState(agent, normalize_values=normalize_values, microbatch_size=microbatch_size)
    returns: list[float] = []
    lengths: list[NDArray[np.int64]] = []
    metrics: list[dict[str, float]] = []
    steps = 0
    # An overflow ends as a divergence, which is raised as an error of its own.
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for sampler in _samplers(make_task, budget, hp.episodes_per_update, segment_steps, streams):
            number = len(metrics)
            state.environment_steps = agent.metadata.environment_steps + steps
            state.episodes = agent.metadata.episodes + len(returns)
            state.set_std(hp.schedule_steps)
            action_generator = streams.generator(Purpose.ACTION, number)
            rollout = collect(sampler, state.policy, action_generator, segment_steps)
            latents = latent_metrics(state.policy, rollout)  # of the policy before the update
            update_metrics = update(state, rollout, hp, streams.generator(Purpose.SHUFFLE, number))
            state.update_normalizer(rollout.observation[rollout.valid])
            update_metrics |= action_metrics(state.policy, rollout) | latents
            metrics.append(update_metrics | episode_metrics(rollout.episodes))
            returns += rollout.episodes.returns.tolist()
            lengths.append(rollout.episodes.lengths)
            steps += int(rollout.valid.sum())
    trained = state.to_agent(
        learner=learner,
        environment_steps=steps,
        episodes=len(returns),
        updates=len(metrics),
    )
    means = mean_metrics(metrics)
    if lengths:  # exact, over the updates
        means |= length_metrics(np.concatenate(lengths))
    return Training(trained, returns, steps, len(metrics), means)


def _samplers(
    make_task: MakeTask,
    budget: Budget,
    episodes_per_update: int,
    segment_steps: int,
    streams: Streams,
) -> Iterator[Sampler]:
    """Yield one sampler per update: new for whole episodes, persistent for segments."""
    if segment_steps:
        parallel = budget.episodes or math.ceil(budget.steps / segment_steps)
        sampler = Sampler(make_task(parallel), streams.generators_from(Purpose.RESET), budget)
        while not (sampler.done or 0 < budget.steps <= sampler.steps_taken):
            yield sampler
        return
    started = steps = 0
    while started < budget.episodes or steps < budget.steps:
        count = episodes_per_update
        if budget.episodes:
            count = min(count, budget.episodes - started)
        remaining_steps = max(0, budget.steps - steps)
        resets = streams.generators_from(Purpose.RESET, started)
        sampler = Sampler(make_task(count), resets, Budget(count, remaining_steps))
        yield sampler
        started += sampler.episodes_started
        steps += sampler.steps_taken
