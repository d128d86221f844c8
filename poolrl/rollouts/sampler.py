"""Playing episodes: exactly those that were asked for, in order of their index."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from poolrl.algorithms.types import Budget
from poolrl.errors import Divergence
from poolrl.networks.policy import Act, State
from poolrl.tasks.base import Task

F64 = NDArray[np.float64]


class Actor(Protocol):
    """Whatever chooses actions; see ``poolrl.networks.policy.Policy``."""

    def act(
        self,
        observation: NDArray[np.floating],
        state: State = (),
        episode_start: NDArray[np.bool_] | None = None,
        generator: np.random.Generator | None = None,
    ) -> Act: ...


class Transition(NamedTuple):
    """One step of all n simulations.

    Attributes:
        observation: (n, observation size), before the step.
        act: what the policy did.
        reward: (n,).
        terminated, truncated: (n,).
        final_observation: (n, observation size), after the step and before any reset.
        played: (n,): False where a simulation had no episode left to play.
    """

    observation: F64
    act: Act
    reward: F64
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    final_observation: F64
    played: NDArray[np.bool_]


class Episodes(NamedTuple):
    """What the episodes that ended brought, in order of their index.

    Attributes:
        returns: (episodes,), undiscounted sums of rewards.
        lengths: (episodes,), control steps.
    """

    returns: F64
    lengths: NDArray[np.int64]


class Player:
    """Plays a budget of episodes on the simulations of a task, side by side.

    A simulation whose episode ends takes the next one that has not begun, so that all episodes
    start in order of their index and short ones are not favoured.

    Args:
        task: steps its simulations.
        resets: the generators that the episodes' initial states are drawn from, in their order.
        budget: how many are played.

    Attributes:
        steps: control steps taken so far, of all episodes.
        begun: episodes begun so far.
    """

    def __init__(self, task: Task, resets: Iterator[np.random.Generator], budget: Budget) -> None:
        self._task = task
        self._resets = resets
        self._budget = budget
        self._state: State = ()
        n = task.num_simulations
        self._episode = np.full(n, -1, np.intp)
        self._started = np.ones(n, np.bool_)
        self._return = np.zeros(n)
        self._length = np.zeros(n, np.int64)
        self._ended: dict[int, tuple[float, int]] = {}
        self.begun = 0
        self.steps = 0
        self._observation: F64
        self._busy: NDArray[np.bool_]
        self._playing: int
        self._ids: NDArray[np.intp] | None
        self._begin(np.arange(n))

    @property
    def done(self) -> bool:
        """Whether every episode has ended."""
        return self._playing == 0

    def play(
        self, policy: Actor, noise: np.random.Generator | None = None, limit: int = 0
    ) -> Iterator[Transition]:
        """Go on playing.

        Args:
            policy: chooses the actions.
            noise: the source of action noise for all episodes; ``None`` for deterministic actions.
            limit: stop after so many steps of all simulations, to go on later; 0 for the end.

        Raises:
            Divergence: a simulation became unstable.
        """
        task = self._task
        count = 0
        while not self.done:
            observation, played = self._observation, self._busy
            act = policy.act(observation, self._state, self._started, noise)
            after, reward, terminated, truncated = task.step(act.action, self._ids)
            self._return += reward
            self._length += 1
            self.steps += self._playing
            ended = terminated | truncated
            self._observation, self._state, self._started = after, act.state, ended
            (over,) = np.nonzero(ended & played)
            if len(over):
                self._end(over)
            yield Transition(observation, act, reward, terminated, truncated, after, played)
            count += 1
            if count == limit:
                break
        if task.diverged()[self._busy].any():
            raise Divergence("the simulation became unstable")

    def episodes(self) -> Episodes:
        """The episodes that have ended since this was last asked."""
        ended = sorted(self._ended.items())
        self._ended.clear()
        returns = np.array([value for _, (value, _) in ended])
        return Episodes(returns, np.array([length for _, (_, length) in ended], np.int64))

    def _end(self, ids: NDArray[np.intp]) -> None:
        """Note the episodes that have ended, and start the next ones."""
        if self._task.diverged()[ids].any():
            raise Divergence("the simulation became unstable")
        columns = (self._episode, self._return, self._length)
        for number, total, length in zip(*(c[ids].tolist() for c in columns), strict=True):
            self._ended[number] = total, length
        self._episode[ids] = -1
        self._begin(ids)

    def _begin(self, ids: NDArray[np.intp]) -> None:
        """Start the next episodes in simulations that are free."""
        episodes, steps = self._budget
        if episodes:
            ids = ids[: max(0, episodes - self.begun)]
        if 0 < steps <= self.steps:
            ids = ids[:0]
        if len(ids):
            self._episode[ids] = range(self.begun, self.begun + len(ids))
            self.begun += len(ids)
            self._task.reset(ids, list(islice(self._resets, len(ids))))
            self._return[ids] = 0
            self._length[ids] = 0
        self._observation = self._task.observe()
        self._busy = self._episode >= 0
        self._playing = int(np.count_nonzero(self._busy))
        self._ids = None if self._playing == len(self._busy) else np.flatnonzero(self._busy)
