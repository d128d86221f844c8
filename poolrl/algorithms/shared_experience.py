"""Training that is divided: branches sample experience, and one update is made on all of it.

Every branch acts with the same agent, which the update then starts from, as the N actors of PPO's
algorithm 1 do (Schulman et al. 2017): a branch's rollout is as on-policy as the learner's own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib import import_module

import numpy as np
from msgspec.structs import replace

from poolrl.agent import Agent
from poolrl.algorithms.rollout_metrics import action_metrics, episode_metrics, latent_metrics
from poolrl.algorithms.train_state import TrainState
from poolrl.algorithms.training import MODULES
from poolrl.algorithms.types import MakeTask, Training
from poolrl.config.learners import PPO, Reinforce
from poolrl.rollouts.rollout import Rollout, collect, joined
from poolrl.rollouts.sampler import Budget, Sampler
from poolrl.seeding import Purpose, Streams


def play(
    agent: Agent, make_task: MakeTask, budget: Budget, hp: PPO | Reinforce, streams: Streams
) -> Rollout:
    """Sample a whole budget with one agent.

    Args:
        agent: chooses the actions; not changed.
        make_task: makes the task.
        budget: number of episodes or steps. Of steps, the next episode starts where one ends until
            they are reached, ``hp.episodes_per_update`` at the same time, and those in progress
            run to their end; with ``hp.segment_steps``, all segments that a branch would have are
            one, and episodes are cut at its end alone.
        hp: of the learner.
        streams: random streams of this branch.

    Raises:
        Divergence: a reward, an observation or a value is not finite, or a simulation became
            unstable.
    """
    segment = getattr(hp, "segment_steps", 0)
    if segment:
        parallel = budget.episodes or math.ceil(budget.steps / segment)
    else:
        parallel = budget.episodes or hp.episodes_per_update
    task = make_task(parallel)
    limit = 0
    if segment and budget.steps:
        limit = segment * math.ceil(budget.steps / (segment * task.num_simulations))
    state = _state(agent, hp)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        sampler = Sampler(task, streams.generators_from(Purpose.RESET), budget)
        return collect(sampler, state.policy, streams.generator(Purpose.ACTION), limit)


def update(
    agent: Agent,
    rollouts: Sequence[Rollout],
    hp: PPO | Reinforce,
    streams: Streams,
    *,
    minibatches: int = 0,
) -> Training:
    """Make one update of an agent on what it has sampled.

    Args:
        agent: that sampled the rollouts; not changed.
        rollouts: of ``play``, in the order of their branches, at least one.
        hp: of the learner.
        streams: random streams of the update.
        minibatches: number of minibatches of an epoch; 0 for those of ``hp.minibatch_size``.

    Returns:
        The new agent, whose counts go up by those of all rollouts.

    Raises:
        Divergence: the update met NaN or infinity.
    """
    state = _state(agent, hp)
    rollout = joined(rollouts)
    steps = int(rollout.valid.sum())
    if minibatches:
        hp = replace(hp, minibatch_size=math.ceil(steps / minibatches))
    learn = import_module(MODULES[type(hp)]).update
    # An overflow ends as a divergence, which is raised as an error of its own.
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        latents = latent_metrics(state.policy, rollout)  # of the policy before the update
        metrics: dict[str, float] = learn(state, rollout, hp, streams.generator(Purpose.SHUFFLE))
        state.update_normalizer(rollout.observation[rollout.valid])
        metrics |= action_metrics(state.policy, rollout) | latents
    returns = rollout.episodes.returns.tolist()
    trained = state.to_agent(
        learner=str(type(hp).__struct_config__.tag),
        environment_steps=steps,
        episodes=len(returns),
        updates=1,
    )
    return Training(trained, returns, steps, 1, metrics | episode_metrics(rollout.episodes))


def _state(agent: Agent, hp: PPO | Reinforce) -> TrainState:
    """The training state that both sampling and the update start with."""
    state = TrainState(
        agent,
        normalize_values=hp.normalize_values,
        microbatch_size=getattr(hp, "microbatch_size", 0),
    )
    state.set_std(hp.schedule_steps)
    return state
