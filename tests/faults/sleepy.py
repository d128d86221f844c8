"""A task that sleeps in every step: units take time but no processor time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poolrl.tasks import StepResult
from poolrl.tasks.base import Ids
from poolrl.tasks.identity import Plateau


class Sleepy(Plateau):
    """Plateau with a sleep in every step."""

    def __init__(
        self, num_simulations: int, *, max_episode_steps: int = 10, seconds: float = 0.1
    ) -> None:
        super().__init__(num_simulations, max_episode_steps=max_episode_steps)
        self.seconds = seconds

    def reset(self, ids: Ids, generators: Sequence[np.random.Generator]) -> None:
        super().reset(ids, generators)

    def step(self, action: NDArray[Any], ids: Ids | None = None) -> StepResult:
        time.sleep(self.seconds)
        return super().step(action, ids)
