"""A task: many simulations of one world, stepped together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from gymnasium.spaces import Box
from numpy.typing import NDArray

from poolrl.spaces import ActionSpace

Ids = NDArray[np.intp]

Info = dict[str, NDArray[Any]]
"""Values by name, each of shape (num_simulations, …)."""


class StepResult(NamedTuple):
    """What one control step of all simulations gave; every array is new, with one row a simulation.

    Attributes:
        observation: (num_simulations, observation size), float64, after the step.
        reward: (num_simulations,), float64.
        terminated: (num_simulations,), bool: the world ended the episode.
        truncated: (num_simulations,), bool: the time limit cut the episode.
    """

    observation: NDArray[np.float64]
    reward: NDArray[np.float64]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]


class Task(ABC):
    """A batch of independent episodes of one world.

    A subclass is made as ``Class(num_simulations, *, max_episode_steps=…, **own)``: its own
    arguments are keyword-only and have defaults, whose types say what may be given for them. It
    sets the four attributes and has ``reset``, ``observe`` and ``step``; see docs/own_tasks.md.

    Nothing resets by itself: whoever steps decides which simulation begins which episode, so that
    an episode depends on its own random stream alone. Whatever is random in one must come from the
    generator that ``reset`` was given for it.

    Attributes:
        num_simulations: how many episodes run side by side.
        max_episode_steps: the time limit in control steps; ``step`` truncates at it.
        observation_space: of one simulation: a box of one dimension, float32 or float64.
        action_space: of one simulation: a box of one dimension, ``Discrete`` or ``MultiDiscrete``.
    """

    num_simulations: int
    max_episode_steps: int
    observation_space: Box
    action_space: ActionSpace

    @abstractmethod
    def reset(self, ids: Ids, generators: Sequence[np.random.Generator]) -> None:
        """Start a new episode in the simulations ``ids``, and in no others.

        Args:
            ids: (n,): which simulations.
            generators: n of them; all that is random in the episode of ``ids[i]`` is drawn from
                ``generators[i]``, which may be kept for later steps.
        """

    @abstractmethod
    def observe(self) -> NDArray[np.float64]:
        """A new (num_simulations, observation size) array of the current observations, finite; also
        before the first reset, where the numbers mean nothing."""

    @abstractmethod
    def step(self, action: NDArray[Any], ids: Ids | None = None) -> StepResult:
        """Advance the simulations ``ids`` (``None``: all) by one control step.

        Args:
            action: (num_simulations, action size), in the bounds of ``action_space``; for a
                ``Discrete`` space (num_simulations,). Integers where the space has integers. Not to
                be changed.
            ids: the simulations to advance. The state of the others stays as it is; their rows in
                the result mean nothing.

        Returns:
            New arrays: nobody may change them later.
        """

    def info(self) -> Info:
        """What Gymnasium's ``step`` tells beside the reward, of the last step; nobody needs it to
        train, so that it may cost."""
        return {}

    def reset_info(self) -> Info:
        """What Gymnasium's ``reset`` tells beside the observation, of the current state."""
        return {}

    def velocities(self) -> NDArray[np.bool_] | None:
        """(observation size,): which observations are velocities; ``None`` where unknown."""
        return None

    def diverged(self) -> NDArray[np.bool_]:
        """(num_simulations,): the simulations that became unstable since their last reset."""
        return np.zeros(self.num_simulations, dtype=np.bool_)
