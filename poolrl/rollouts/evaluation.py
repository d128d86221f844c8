"""Evaluation without updates."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from scipy.special import stdtrit

from poolrl import tasks
from poolrl.agent import Agent
from poolrl.algorithms.types import Budget
from poolrl.config.schema import World
from poolrl.errors import Divergence, UsageError
from poolrl.rollouts.sampler import Actor, Episodes, Player
from poolrl.seeding import Purpose, Streams
from poolrl.spaces import SpaceSpec
from poolrl.tasks import Task
from poolrl.tasks.check import try_task

LARGEST_RETURN = 1e300
"""So that sums of returns stay finite."""

LARGEST_RETURN = 1e300
"""So that sums of returns stay finite."""


def evaluate(
    policy: Actor,
    task: Task,
    resets: Sequence[np.random.Generator],
    noise: np.random.Generator | None = None,
) -> Episodes:
    """Play episodes to their end, without learning.

    Args:
        policy: chooses the actions.
        task: steps its simulations; at least one.
        resets: one generator an episode, from which its initial state is drawn.
        noise: the source of action noise for all of them; ``None`` for deterministic actions.

    Raises:
        Divergence: a return is not finite, or a simulation became unstable.
    """
    player = Player(task, iter(resets), Budget(episodes=len(resets)))
    for _ in player.play(policy, noise):
        pass
    episodes = player.episodes()
    if not np.isfinite(episodes.returns).all():
        raise Divergence("a return is not finite")
    if (np.abs(episodes.returns) > LARGEST_RETURN).any():
        raise Divergence(f"a return is beyond {LARGEST_RETURN:g}")
    return episodes


class Summary(Struct, frozen=True):
    """Undiscounted returns of a number of episodes.

    Attributes:
        mean: of the returns.
        std: their sample standard deviation; 0 for a single episode.
        ci95_low, ci95_high: 95 % confidence interval of the mean (Student's t).
        min, max: of the returns.
        episodes: how many.
        mean_length: control steps an episode.
        deterministic: whether mean actions were played, or samples.
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


def summarize(
    returns: NDArray[np.float64], lengths: NDArray[np.int64], *, deterministic: bool
) -> Summary:
    """Describe the returns of episodes."""
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
    )


def evaluate_agent(
    agent: Agent,
    world: World,
    episodes: int,
    seed: int,
    *,
    deterministic: bool,
    simulations: int = 64,
) -> Summary:
    """Evaluate an agent outside a pool.

    Args:
        agent: is measured.
        world: in this one, its own or a similar one.
        episodes: how many.
        seed: of initial states and action noise; no pool uses these streams.
        deterministic: play mean actions, or samples.
        simulations: the most that are stepped side by side.

    Raises:
        UsageError: the agent's task is unknown here, or does not fit it.
        Divergence: a return is not finite, or a simulation became unstable.
    """
    metadata = agent.metadata
    task = tasks.make(world, min(episodes, simulations))
    for name in ("observation_space", "action_space"):
        if SpaceSpec.of(getattr(task, name)) != getattr(metadata, name):
            raise UsageError(f"the agent's {name} is not that of {metadata.task} here")
    try_task(task, world)
    streams = Streams(seed)
    played = evaluate(
        agent.policy,
        task,
        streams.generators(Purpose.EVALUATE_RESET, 0, episodes),
        None if deterministic else streams.generator(Purpose.EVALUATE_ACTION),
    )
    return summarize(played.returns, played.lengths, deterministic=deterministic)
