"""A task of a user's own with muscles, as docs/muscles.md describes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from poolrl.tasks.check import check
from poolrl.tasks.muscles import MuscleTask
from poolrl.tasks.muscles.models import load_own
from tests.helpers.muscles import own_model


class Relax(MuscleTask):
    """Swing with as little effort as possible."""

    def __init__(
        self, num_simulations: int, *, xml_file: str, max_episode_steps: int = 100, **options: Any
    ) -> None:
        super().__init__(
            num_simulations,
            model=load_own(xml_file),
            frame_skip=5,
            max_episode_steps=max_episode_steps,
            **options,
        )

    def reward(self, action: np.ndarray) -> np.ndarray:
        result: np.ndarray = np.abs(self.qvel[:, 1]) - self.effort()
        return result


def test_a_task_of_ones_own_passes_the_check(tmp_path: Path) -> None:
    model = own_model(tmp_path)["xml_file"]

    def make(n: int, limit: int) -> Relax:
        return Relax(n, xml_file=model, max_episode_steps=limit, fatigue=True, noise=(0.1, 0.0))

    check(make, "Relax")
    task = make(2, 5)
    assert task.observation_space.shape == (3 + 3 + 5 * 3,)
    assert list(task.info()) == ["effort", "fatigue"]
