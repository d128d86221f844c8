"""A task that costs nothing, to test and time the pool itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.spaces import Box
from numpy.typing import NDArray

from poolrl.errors import UsageError
from poolrl.tasks.base import Ids, StepResult, Task

MOST = 1000
"""Numbers that are observed."""


class Plateau(Task):
    """A point that should stand still: r = 1 - ‖action - target‖², the target drawn at reset.

    The observation is the target, so that a policy can learn it; there is no physics.
    """

    def __init__(self, num_simulations: int, *, max_episode_steps: int = 10, size: int = 2) -> None:
        if not 1 <= size <= MOST:
            raise UsageError(f"task.kwargs.size: expected 1 to {MOST}, got {size}")
        self.num_simulations = num_simulations
        self.max_episode_steps = max_episode_steps
        self.observation_space = Box(-1.0, 1.0, (size,), np.float64)
        self.action_space = Box(-1.0, 1.0, (size,), np.float32)
        self._target = np.zeros((num_simulations, size))
        self._elapsed = np.zeros(num_simulations, np.int64)
        self._never = np.zeros(num_simulations, np.bool_)

    def reset(self, ids: Ids, generators: Sequence[np.random.Generator]) -> None:
        size = self._target.shape[1]
        self._target[ids] = [generator.uniform(-1.0, 1.0, size) for generator in generators]
        self._elapsed[ids] = 0

    def observe(self) -> NDArray[np.float64]:
        return self._target.copy()

    def step(self, action: NDArray[Any], ids: Ids | None = None) -> StepResult:
        self._elapsed += 1
        reward = 1.0 - np.square(action - self._target).sum(axis=1)
        return StepResult(
            self.observe(), reward, self._never, self._elapsed >= self.max_episode_steps
        )
