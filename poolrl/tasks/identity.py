"""Tasks without physics, to test and time pools: the best action follows from the observation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.spaces import Box, MultiDiscrete
from numpy.typing import NDArray

from poolrl.errors import UsageError
from poolrl.tasks.base import Ids, StepResult, Task

MAX_SIZE = 1000
"""Largest observation of ``Plateau``."""

MAX_SWITCHES = 100
"""Most switches of ``Switches``."""


class _IdentityTask(Task):
    """An observation that is drawn at reset and stays; a subclass rewards the action for it."""

    def __init__(self, num_simulations: int, max_episode_steps: int) -> None:
        self.num_simulations = num_simulations
        self.max_episode_steps = max_episode_steps
        self._elapsed = np.zeros(num_simulations, np.int64)

    def reset(self, ids: Ids, generators: Sequence[np.random.Generator]) -> None:
        self._elapsed[ids] = 0

    def _step(self, reward: NDArray[np.float64], ids: Ids | None) -> StepResult:
        """Count the step of the simulations ``ids``, and return its result."""
        if ids is None:
            self._elapsed += 1
        else:
            self._elapsed[ids] += 1
        never = np.zeros(self.num_simulations, np.bool_)
        return StepResult(self.observe(), reward, never, self._elapsed >= self.max_episode_steps)


class Plateau(_IdentityTask):
    """A point that should stand still: r = 1 - ‖action - target‖², the target drawn at reset.

    The observation is the target, so that a policy can learn it; there is no physics. Its senses
    are the ``first`` coordinate and the ``others``, if there are several.
    """

    def __init__(self, num_simulations: int, *, max_episode_steps: int = 10, size: int = 2) -> None:
        if not 1 <= size <= MAX_SIZE:
            raise UsageError(f"task.kwargs.size: expected 1 to {MAX_SIZE}, got {size}")
        super().__init__(num_simulations, max_episode_steps)
        self.observation_space = Box(-1.0, 1.0, (size,), np.float64)
        self.action_space = Box(-1.0, 1.0, (size,), np.float32)
        self._target = np.zeros((num_simulations, size))

    def reset(self, ids: Ids, generators: Sequence[np.random.Generator]) -> None:
        super().reset(ids, generators)
        size = self._target.shape[1]
        self._target[ids] = [generator.uniform(-1.0, 1.0, size) for generator in generators]

    def observe(self) -> NDArray[np.float64]:
        return self._target.copy()

    def senses(self) -> dict[str, NDArray[np.bool_]]:
        first = np.arange(self._target.shape[1]) == 0
        return {} if first.all() else {"first": first, "others": ~first}

    def step(self, action: NDArray[Any], ids: Ids | None = None) -> StepResult:
        return self._step(1.0 - np.square(action - self._target).sum(axis=1), ids)


class Switches(_IdentityTask):
    """Switches with 2, 3, 4, … positions; the reward is the share that is set as is shown.

    What is shown, one-hot for every switch, is drawn at reset and stays.
    """

    def __init__(
        self, num_simulations: int, *, max_episode_steps: int = 10, switches: int = 3
    ) -> None:
        if not 1 <= switches <= MAX_SWITCHES:
            raise UsageError(f"task.kwargs.switches: expected 1 to {MAX_SWITCHES}, got {switches}")
        super().__init__(num_simulations, max_episode_steps)
        self._positions = np.arange(2, 2 + switches)
        self._offset = np.cumsum(self._positions) - self._positions
        self.observation_space = Box(0.0, 1.0, (int(self._positions.sum()),), np.float64)
        self.action_space = MultiDiscrete(self._positions)
        self._shown = np.zeros((num_simulations, switches), np.int64)

    def reset(self, ids: Ids, generators: Sequence[np.random.Generator]) -> None:
        super().reset(ids, generators)
        self._shown[ids] = [generator.integers(self._positions) for generator in generators]

    def observe(self) -> NDArray[np.float64]:
        observation = np.zeros((self.num_simulations, self.observation_space.shape[0]))
        np.put_along_axis(observation, self._offset + self._shown, 1.0, axis=1)
        return observation

    def step(self, action: NDArray[Any], ids: Ids | None = None) -> StepResult:
        return self._step((action == self._shown).mean(axis=1), ids)
