"""Several choices at once that cost nothing, to test policies for ``MultiDiscrete`` spaces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.spaces import Box, MultiDiscrete
from numpy.typing import NDArray

from poolrl.errors import UsageError
from poolrl.tasks.base import Ids, StepResult, Task

MOST = 100
"""Switches that there may be."""


class Switches(Task):
    """Switches with 2, 3, 4, … positions; the reward is the share that is set as is shown.

    What is shown, one-hot for every switch, is drawn at reset and stays.
    """

    def __init__(
        self, num_simulations: int, *, max_episode_steps: int = 10, switches: int = 3
    ) -> None:
        if not 1 <= switches <= MOST:
            raise UsageError(f"task.kwargs.switches: expected 1 to {MOST}, got {switches}")
        self.num_simulations = num_simulations
        self.max_episode_steps = max_episode_steps
        self._positions = np.arange(2, 2 + switches)
        self._offset = np.cumsum(self._positions) - self._positions
        self.observation_space = Box(0.0, 1.0, (int(self._positions.sum()),), np.float64)
        self.action_space = MultiDiscrete(self._positions)
        self._shown = np.zeros((num_simulations, switches), np.int64)
        self._elapsed = np.zeros(num_simulations, np.int64)
        self._never = np.zeros(num_simulations, np.bool_)

    def reset(self, ids: Ids, generators: Sequence[np.random.Generator]) -> None:
        self._shown[ids] = [generator.integers(self._positions) for generator in generators]
        self._elapsed[ids] = 0

    def observe(self) -> NDArray[np.float64]:
        observation = np.zeros((self.num_simulations, self.observation_space.shape[0]))
        np.put_along_axis(observation, self._offset + self._shown, 1.0, axis=1)
        return observation

    def step(self, action: NDArray[Any], ids: Ids | None = None) -> StepResult:
        self._elapsed += 1
        reward = (action == self._shown).mean(axis=1)
        truncated = self._elapsed >= self.max_episode_steps
        return StepResult(self.observe(), reward, self._never.copy(), truncated)
