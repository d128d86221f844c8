"""Sampling of episodes on parallel simulations, in order of their index."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from poolrl.errors import Divergence
from poolrl.networks.base import State
from poolrl.networks.policy import PolicyOutput
from poolrl.rollouts.episode_infos import EpisodeInfos
from poolrl.tasks.base import Task, call_optional

F64 = NDArray[np.float64]


class Budget(NamedTuple):
    """Amount of experience to sample. If both limits are positive, the first one reached applies.

    Attributes:
        episodes: number of whole episodes; 0 for no limit.
        steps: no episode starts once this many control steps have been taken; episodes in progress
            run to their end and count. 0 for no limit.
    """

    episodes: int = 0
    steps: int = 0


class Actor(Protocol):
    """Interface of policies that a sampler can use; see ``poolrl.networks.policy.Policy``."""

    def act(
        self,
        observation: NDArray[np.floating],
        state: State = (),
        episode_start: NDArray[np.bool_] | None = None,
        generator: np.random.Generator | None = None,
    ) -> PolicyOutput: ...


class Transition(NamedTuple):
    """One step of all n simulations.

    Attributes:
        observation: (n, observation size), before the step.
        output: of the policy.
        reward: (n,).
        terminated, truncated: (n,).
        final_observation: (n, observation size), after the step and before any reset.
        valid: (n,): False where a simulation has no episode left to run; its row is meaningless.
    """

    observation: F64
    output: PolicyOutput
    reward: F64
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    final_observation: F64
    valid: NDArray[np.bool_]


class Episodes(NamedTuple):
    """Results of completed episodes, in order of their index.

    Attributes:
        returns: (episodes,), undiscounted sums of rewards.
        lengths: (episodes,), control steps.
        infos: values of the task's ``info`` by name, of each episode; empty where none are
            collected.
    """

    returns: F64
    lengths: NDArray[np.int64]
    infos: tuple[Mapping[str, float], ...] = ()


class Sampler:
    """Runs a budget of episodes on the parallel simulations of a task.

    When an episode ends, its simulation takes the next episode that has not started. So all
    episodes start in order of their index, and the sample is not biased towards short ones.

    Args:
        task: steps its simulations.
        resets: generators of the episodes' initial states, in order of the episodes.
        budget: number of episodes or steps.
        infos: collects the values of the task's ``info``; ``None`` for none.

    Attributes:
        steps_taken: control steps so far, of all episodes.
        episodes_started: episodes started so far.
    """

    def __init__(
        self,
        task: Task,
        resets: Iterator[np.random.Generator],
        budget: Budget,
        infos: EpisodeInfos | None = None,
    ) -> None:
        self._task = task
        self._infos = infos
        self._resets = resets
        self._budget = budget
        self._state: State = ()
        n = task.num_simulations
        self._episode = np.full(n, -1, np.intp)
        self._episode_start = np.ones(n, np.bool_)
        self._return = np.zeros(n)
        self._length = np.zeros(n, np.int64)
        self._completed: dict[int, tuple[float, int, Mapping[str, float]]] = {}
        self.episodes_started = 0
        self.steps_taken = 0
        self._observation: F64
        self._valid: NDArray[np.bool_]
        self._num_valid: int
        self._valid_ids: NDArray[np.intp] | None
        self._start_episodes(np.arange(n))

    @property
    def episodes(self) -> NDArray[np.intp]:
        """(n,): number of the episode that each simulation runs, a copy; −1 for none."""
        return self._episode.copy()

    @property
    def done(self) -> bool:
        """Whether every episode of the budget has ended."""
        return self._num_valid == 0

    def steps(
        self, policy: Actor, generator: np.random.Generator | None = None, limit: int = 0
    ) -> Iterator[Transition]:
        """Step all simulations, continuing where the last call stopped.

        Args:
            policy: chooses the actions.
            generator: source of action noise for all episodes; ``None`` for deterministic actions.
            limit: stop after this many steps of every simulation, possibly within episodes, which
                the next call continues; 0 to run until the budget is used up.

        Raises:
            Divergence: a simulation became unstable.
        """
        task = self._task
        count = 0
        while not self.done:
            observation, valid = self._observation, self._valid
            output = policy.act(observation, self._state, self._episode_start, generator)
            after, reward, terminated, truncated = task.step(output.action, self._valid_ids)
            self._return += reward
            self._length += 1
            self.steps_taken += self._num_valid
            ended = terminated | truncated
            self._observation, self._state, self._episode_start = after, output.state, ended
            (ended_ids,) = np.nonzero(ended & valid)
            if self._infos is not None:  # before the next episodes start
                self._infos.after_step(self._valid_ids, ended_ids)
            if len(ended_ids):
                self._end_episodes(ended_ids)
            yield Transition(observation, output, reward, terminated, truncated, after, valid)
            count += 1
            if count == limit:
                break
        if call_optional(task, "diverged")[self._valid].any():
            raise Divergence("the simulation became unstable")

    def pop_episodes(self) -> Episodes:
        """Return the episodes that have ended since the last call, and forget them."""
        completed = [values for _, values in sorted(self._completed.items())]
        self._completed.clear()
        return Episodes(
            np.array([total for total, _, _ in completed]),
            np.array([length for _, length, _ in completed], np.int64),
            tuple(info for _, _, info in completed) if self._infos is not None else (),
        )

    def _end_episodes(self, ids: NDArray[np.intp]) -> None:
        """Record the episodes that have ended in these simulations, and start the next ones."""
        if call_optional(self._task, "diverged")[ids].any():
            raise Divergence("the simulation became unstable")
        columns = (ids, self._episode[ids], self._return[ids], self._length[ids])
        for i, number, total, length in zip(*(c.tolist() for c in columns), strict=True):
            info = self._infos.take(i) if self._infos is not None else {}
            self._completed[number] = total, length, info
        self._episode[ids] = -1
        self._start_episodes(ids)

    def _start_episodes(self, ids: NDArray[np.intp]) -> None:
        """Start the next episodes in these idle simulations, within the budget."""
        episodes, steps = self._budget
        if episodes:
            ids = ids[: max(0, episodes - self.episodes_started)]
        if 0 < steps <= self.steps_taken:
            ids = ids[:0]
        if len(ids):
            self._episode[ids] = range(self.episodes_started, self.episodes_started + len(ids))
            self.episodes_started += len(ids)
            self._task.reset(ids, list(islice(self._resets, len(ids))))
            self._return[ids] = 0
            self._length[ids] = 0
            if self._infos is not None:
                self._infos.start(ids)
        self._observation = self._task.observe()
        self._valid = self._episode >= 0
        self._num_valid = int(np.count_nonzero(self._valid))
        self._valid_ids = (
            None if self._num_valid == len(self._valid) else np.flatnonzero(self._valid)
        )
