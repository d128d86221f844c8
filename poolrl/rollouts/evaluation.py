"""Evaluation of a policy, without updates."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from scipy.special import stdtrit

from poolrl import tasks
from poolrl.agent import Agent
from poolrl.config.exploration import LEARNER, Exploration, NoExploration
from poolrl.config.schema import World
from poolrl.config.types import Aggregate
from poolrl.errors import Divergence, UsageError
from poolrl.networks.parameters import extrema_of
from poolrl.rollouts.episode_infos import EpisodeInfos, InfoValues
from poolrl.rollouts.exploring import ExploringActor, check_explorable
from poolrl.rollouts.sampler import Actor, Budget, Episodes, Sampler
from poolrl.seeding import Purpose, Streams
from poolrl.spaces import SpaceSpec
from poolrl.tasks import Task
from poolrl.tasks.check import try_task
from poolrl.tasks.variants import own_actions, wrap_innermost

NO_EXPLORATION = NoExploration()

LARGEST_RETURN = 1e300
"""Bound of the absolute return of an episode, so that sums of returns stay finite."""


def evaluate(
    policy: Actor,
    task: Task,
    resets: Sequence[np.random.Generator],
    generator: np.random.Generator | None = None,
    infos: EpisodeInfos | None = None,
    explore: Callable[[Sampler], Actor] | None = None,
) -> Episodes:
    """Run whole episodes without learning.

    Args:
        policy: chooses the actions.
        task: steps its simulations; at least one.
        resets: one generator per episode, for its initial state.
        generator: source of action noise for all episodes; ``None`` for deterministic actions.
        infos: of this task; collects the values of its ``info``.
        explore: makes what acts instead of the policy, where training is to be shown.

    Raises:
        Divergence: a return is not finite, or a simulation became unstable.
    """
    sampler = Sampler(task, iter(resets), Budget(episodes=len(resets)), infos)
    actor = policy if explore is None else explore(sampler)
    with infos.watching() if infos is not None else nullcontext():
        for _ in sampler.steps(actor, generator):
            pass
    episodes = sampler.pop_episodes()
    if not np.isfinite(episodes.returns).all():
        raise Divergence("a return is not finite")
    if (np.abs(episodes.returns) > LARGEST_RETURN).any():
        raise Divergence(f"a return is beyond {LARGEST_RETURN:g}")
    return episodes


class InfoSummary(Struct, frozen=True):
    """Statistics of one name in the task's ``info``.

    Attributes:
        aggregate: how an episode's value comes from its steps.
        mean: of the episodes that have a finite value.
        standard_error: of the mean; 0 for a single episode.
        episodes: number of those episodes.
    """

    aggregate: Aggregate
    mean: float
    standard_error: float
    episodes: int


class Summary(Struct, frozen=True):
    """Statistics of the undiscounted returns of an evaluation.

    Attributes:
        mean: of the returns.
        std: sample standard deviation of the returns; 0 for a single episode.
        ci95_low, ci95_high: 95 % confidence interval of the mean (Student's t).
        min, max: of the returns.
        episodes: number of episodes.
        mean_length: control steps per episode.
        deterministic: whether actions were deterministic, or sampled.
        info: values of the task's ``info`` by name, in alphabetical order.
    """

    mean: float
    std: float
    ci95_low: float
    ci95_high: float
    min: float
    max: float
    episodes: int
    mean_length: float
    deterministic: bool
    info: dict[str, InfoSummary] = {}


def summarize(
    returns: NDArray[np.float64],
    lengths: NDArray[np.int64],
    *,
    deterministic: bool,
    infos: Mapping[str, InfoValues] | None = None,
) -> Summary:
    """Compute the statistics of an evaluation.

    Args:
        returns: (episodes,), undiscounted.
        lengths: (episodes,), control steps.
        deterministic: whether actions were deterministic, or sampled.
        infos: values of the task's ``info`` by name.
    """
    info = {name: _info_summary(*values) for name, values in (infos or {}).items()}
    n = len(returns)
    std = float(returns.std(ddof=1)) if n > 1 else 0.0
    half = float(stdtrit(n - 1, 0.975)) * std / math.sqrt(n) if n > 1 else 0.0
    mean = float(returns.mean())
    return Summary(
        mean=mean,
        std=std,
        ci95_low=mean - half,
        ci95_high=mean + half,
        min=float(returns.min()),
        max=float(returns.max()),
        episodes=n,
        mean_length=float(lengths.mean()),
        deterministic=deterministic,
        info={name: known for name, known in info.items() if known is not None},
    )


def _info_summary(aggregate: Aggregate, values: Sequence[float | None]) -> InfoSummary | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    n = len(known)
    error = statistics.stdev(known) / math.sqrt(n) if n > 1 else 0.0
    return InfoSummary(aggregate, statistics.fmean(known), error, n)


def evaluate_agent(
    agent: Agent,
    world: World,
    episodes: int,
    seed: int,
    *,
    deterministic: bool,
    simulations: int = 64,
    aggregates: Mapping[str, Aggregate] | None = None,
) -> Summary:
    """Evaluate an agent outside a pool.

    Args:
        agent: to evaluate.
        world: the agent's own, or a similar one.
        episodes: number of episodes.
        seed: of initial states and action noise; no pool uses these streams.
        deterministic: use deterministic actions, or samples.
        simulations: maximum number of parallel simulations.
        aggregates: of values of the task's ``info``, by name, before the task's own.

    Raises:
        UsageError: the world's task is unknown, or its spaces are not the agent's.
        Divergence: a return is not finite, or a simulation became unstable.
    """
    infos: list[EpisodeInfos] = []

    def collected(task: Task) -> EpisodeInfos:
        infos.append(EpisodeInfos(task, aggregates))
        return infos[0]

    results = run_episodes(
        agent,
        world,
        episodes,
        seed,
        deterministic=deterministic,
        simulations=simulations,
        collect=collected,
    )
    return summarize(
        results.returns,
        results.lengths,
        deterministic=deterministic,
        infos=infos[0].table(results.infos),
    )


def run_episodes(
    agent: Agent,
    world: World,
    episodes: int,
    seed: int,
    *,
    deterministic: bool,
    simulations: int = 64,
    wrap: Callable[[Task], Task] | None = None,
    collect: Callable[[Task], EpisodeInfos] | None = None,
    exploration: Exploration = NO_EXPLORATION,
) -> Episodes:
    """Run the episodes of ``evaluate_agent``.

    Args:
        agent, world, episodes, seed, deterministic, simulations: as for ``evaluate_agent``.
        wrap: is given the task without variants, and returns what takes its place, such as a
            wrapper that observes the episodes.
        collect: is given the task, and returns what collects the values of its ``info``.
        exploration: acts as in training; that of ``evaluate_agent`` is none.

    Raises:
        UsageError, Divergence: as ``evaluate_agent``.
    """
    with tasks.closing(tasks.make(world, min(episodes, simulations)), world) as task:
        refuse_other_spaces(agent, task)
        try_task(task, world)
        streams = Streams(seed)
        check_explorable(exploration, task, world.id)
        played = task if wrap is None else wrap_innermost(task, wrap)

        def explore(sampler: Sampler) -> Actor:
            return ExploringActor(
                *(agent.policy, exploration, played, sampler, streams),
                extrema=extrema_of(agent.arrays),
                alone=agent.metadata.learner == LEARNER,
            )

        return evaluate(
            agent.policy,
            played,
            streams.generators(Purpose.EVALUATE_RESET, 0, episodes),
            None if deterministic else streams.generator(Purpose.EVALUATE_ACTION),
            None if collect is None else collect(task),
            explore=explore if exploration != NO_EXPLORATION else None,
        )


def refuse_other_spaces(agent: Agent, task: Task) -> None:
    """Refuse a task whose spaces are not the agent's.

    Raises:
        UsageError: names the space.
    """
    metadata = agent.metadata
    fits = {
        "observation_space": metadata.observation_space == SpaceSpec.of(task.observation_space),
        "action_space": metadata.action_space.is_earlier_form_of(
            SpaceSpec.of_actions(task.action_space)
        ),
        "own_actions": metadata.own_actions in (None, own_actions(task)),
    }
    for name, fit in fits.items():
        if not fit:
            raise UsageError(f"the agent's {name} is not that of {metadata.task} here")
