"""A task whose episodes have lengths that are drawn, and observations that count steps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from gymnasium.spaces import Box

from poolrl.tasks.base import Ids, StepResult, Task


class Counting(Task):
    """Episodes with length and identity drawn from their generator; reward 1 per step.

    The observation is (identity, step), so that a rollout shows which episode every step is of.
    """

    observation_space = Box(-np.inf, np.inf, (2,), np.float64)
    action_space = Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self, num_simulations: int, limit: int = 6) -> None:
        self.num_simulations = num_simulations
        self.max_episode_steps = limit
        self._length = np.zeros(num_simulations, int)
        self._identity = np.zeros(num_simulations)
        self._elapsed = np.zeros(num_simulations, int)
        self.started: list[float] = []

    def reset(self, ids: Ids, generators: Sequence[np.random.Generator]) -> None:
        for i, generator in zip(ids, generators, strict=True):
            self._identity[i] = generator.random()
            self._length[i] = generator.integers(1, 10)
            self.started.append(self._identity[i])
        self._elapsed[ids] = 0

    def observe(self) -> np.ndarray:
        return np.stack([self._identity, self._elapsed.astype(float)], axis=1)

    def step(self, action: np.ndarray, ids: Ids | None = None) -> StepResult:
        advanced = np.arange(self.num_simulations) if ids is None else ids
        self._elapsed[advanced] += 1
        return StepResult(
            self.observe(),
            np.ones(self.num_simulations),
            self._elapsed >= self._length,
            self._elapsed >= self.max_episode_steps,
        )
