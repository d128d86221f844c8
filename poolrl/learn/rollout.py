"""Playing episodes: exactly those that were asked for, in order of their index."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from poolrl.errors import Divergence
from poolrl.policy.acting import Act, State
from poolrl.tasks.base import Task

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]


class Actor(Protocol):
    """Whatever chooses actions; see ``poolrl.policy.acting.Policy``."""

    def act(
        self,
        observation: NDArray[np.floating],
        state: State = (),
        episode_start: NDArray[np.bool_] | None = None,
        generator: np.random.Generator | None = None,
    ) -> Act: ...

    def value(self, observation: NDArray[np.floating], state: State = ()) -> F32: ...


class Transition(NamedTuple):
    """One step of all n simulations.

    Attributes:
        observation: (n, observation size), before the step.
        act: what the policy did.
        reward: (n,).
        terminated, truncated: (n,).
        final_observation: (n, observation size), after the step and before any reset.
        episode: (n,): index of the episode that each simulation plays, -1 where it plays none.
    """

    observation: F64
    act: Act
    reward: F64
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    final_observation: F64
    episode: NDArray[np.intp]


class Episodes(NamedTuple):
    """What a number of episodes brought, by episode.

    Attributes:
        returns: (episodes,), undiscounted sums of rewards.
        lengths: (episodes,), control steps.
    """

    returns: F64
    lengths: NDArray[np.int64]


class Rollout(NamedTuple):
    """The steps of a number of episodes, T rows of n simulations.

    Attributes:
        observation: (T, n, observation size), not normalised.
        sample: (T, n, action size): the distribution's variables behind the actions.
        log_prob, value, reward: (T, n).
        terminated, truncated: (T, n): where an episode ended, and how.
        bootstrap: (T, n): the critic's value of the last observation of a truncated episode.
        played: (T, n): False where a simulation had no episode left to play.
        episodes: the episodes' returns and lengths.
    """

    observation: F32
    sample: F32
    log_prob: F32
    value: F32
    reward: F32
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    bootstrap: F32
    played: NDArray[np.bool_]
    episodes: Episodes


def play(
    policy: Actor,
    task: Task,
    resets: Sequence[np.random.Generator],
    noise: np.random.Generator | None = None,
) -> Iterator[Transition]:
    """Play ``len(resets)`` episodes and yield every step.

    A simulation whose episode ends takes the next one that has not begun, so that all episodes
    start in order of their index and short ones are not favoured.

    Args:
        policy: chooses the actions.
        task: steps its simulations; at least one.
        resets: one generator an episode, from which its initial state is drawn.
        noise: the source of action noise for all of them; ``None`` for deterministic actions.

    Raises:
        Divergence: a simulation became unstable.
    """
    n = task.num_simulations
    begun = min(n, len(resets))
    episode = np.full(n, -1, np.intp)
    episode[:begun] = np.arange(begun)
    task.reset(np.arange(begun), resets[:begun])
    ids = None if begun == n else np.arange(begun)
    state: State = ()
    episode_start = np.ones(n, np.bool_)
    observation = task.observe()
    while True:
        act = policy.act(observation, state, episode_start, noise)
        after, reward, terminated, truncated = task.step(act.action, ids)
        yield Transition(observation, act, reward, terminated, truncated, after, episode)
        observation, state, episode_start = after, act.state, terminated | truncated
        if not episode_start.any():
            continue
        ended = np.flatnonzero(episode_start & (episode >= 0))
        if len(ended) == 0:
            continue
        if task.diverged()[ended].any():
            raise Divergence("the simulation became unstable")
        count = min(len(ended), len(resets) - begun)
        episode = episode.copy()
        episode[ended] = -1
        if count:
            episode[ended[:count]] = np.arange(begun, begun + count)
            task.reset(ended[:count], resets[begun : begun + count])
            begun += count
            observation = task.observe()
        if (episode >= 0).all():
            continue
        ids = np.flatnonzero(episode >= 0)
        if len(ids) == 0:
            return


def collect(
    policy: Actor,
    task: Task,
    resets: Sequence[np.random.Generator],
    noise: np.random.Generator,
) -> Rollout:
    """Play episodes and keep every step; arguments and errors as for ``play``.

    Raises:
        Divergence: a reward, an observation or a value is not finite, or a simulation became
            unstable.
    """
    steps: list[Transition] = []
    bootstraps: list[F32] = []
    no_bootstrap = np.zeros(task.num_simulations, np.float32)
    for step in play(policy, task, resets, noise):
        steps.append(step)
        cut = step.truncated & ~step.terminated
        if cut.any():
            bootstraps.append(np.where(cut, policy.value(step.final_observation), no_bootstrap))
        else:
            bootstraps.append(no_bootstrap)
    episode = np.array([step.episode for step in steps])
    reward = np.array([step.reward for step in steps])
    played = episode >= 0
    returns = np.bincount(episode[played], reward[played], len(resets)).astype(np.float64)
    lengths = np.bincount(episode[played], minlength=len(resets))
    rollout = Rollout(
        observation=np.array([step.observation for step in steps], np.float32),
        sample=np.array([step.act.sample for step in steps]),
        log_prob=np.array([step.act.log_prob for step in steps], np.float32),
        value=np.array([step.act.value for step in steps]),
        reward=reward.astype(np.float32),
        terminated=np.array([step.terminated for step in steps]),
        truncated=np.array([step.truncated for step in steps]),
        bootstrap=np.array(bootstraps),
        played=played,
        episodes=Episodes(returns, lengths),
    )
    for name in ("observation", "reward", "value", "bootstrap"):
        if not np.isfinite(getattr(rollout, name)[played]).all():
            raise Divergence(f"training met a {name} that is not finite")
    return rollout
