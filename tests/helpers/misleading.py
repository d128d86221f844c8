"""A world whose return misleads: the best action for the return never succeeds."""

from __future__ import annotations

import math
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box

TASK_ID = "Misleading-v0"


class Misleading(gymnasium.Env[np.ndarray, np.ndarray]):
    """One step. The reward is highest for the action -0.5; an episode succeeds if the action is
    above a threshold that is drawn at reset, between -0.3 and 0.7."""

    observation_space = Box(-1.0, 1.0, (1,), np.float32)
    action_space = Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self._threshold = self.np_random.uniform(-0.3, 0.7)
        return np.zeros(1, np.float32), {}

    def step(self, action: np.ndarray) -> Any:
        a = float(action[0])
        info = {
            "success": a > self._threshold,
            "miss": (a - 0.7) ** 2,
            "right": a if a > -0.05 else math.nan,
        }
        return np.zeros(1, np.float32), -((a + 0.5) ** 2), True, False, info


if TASK_ID not in gymnasium.registry:
    gymnasium.register(TASK_ID, entry_point=Misleading, max_episode_steps=5)
