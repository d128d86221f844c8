"""A bit is shown at the first step and asked for at the twentieth: what needs a memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete
from numpy.typing import NDArray

from poolrl.tasks import Task
from poolrl.tasks.base import Ids, StepResult

LENGTH = 20


class Cue(Task):
    """Observations are (bit as ±1 at the first step and else 0, whether it is asked for); the
    reward of the last step is 1 for the right answer, and 0 for the other one."""

    observation_space = Box(-1.0, 1.0, (2,), np.float64)
    action_space = Discrete(2)

    def __init__(self, num_simulations: int, *, max_episode_steps: int = LENGTH) -> None:
        self.num_simulations = num_simulations
        self.max_episode_steps = max_episode_steps
        self._bit = np.zeros(num_simulations, np.int64)
        self._time = np.zeros(num_simulations, np.int64)

    def reset(self, ids: Ids, generators: Sequence[np.random.Generator]) -> None:
        self._bit[ids] = [generator.integers(2) for generator in generators]
        self._time[ids] = 0

    def observe(self) -> NDArray[np.float64]:
        shown = np.where(self._time == 0, 2.0 * self._bit - 1, 0.0)
        return np.stack([shown, self._time == LENGTH - 1], axis=1)

    def step(self, action: NDArray[Any], ids: Ids | None = None) -> StepResult:
        rows = slice(None) if ids is None else ids
        asked = self._time == LENGTH - 1
        reward = np.where(asked & (action == self._bit), 1.0, 0.0)
        self._time[rows] += 1
        truncated = self._time >= self.max_episode_steps
        return StepResult(self.observe(), reward, self._time >= LENGTH, truncated)
