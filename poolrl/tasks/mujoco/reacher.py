"""Gymnasium's Reacher-v5: an arm of two links that points at a target."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from poolrl.tasks.base import Info
from poolrl.tasks.mujoco.base import MujocoTask, Part, norm, sum_of_squares
from poolrl.tasks.mujoco.model import body_id


class Reacher(MujocoTask):
    """An arm in the plane, as Gymnasium defines it in ``Reacher-v5``.

    The observation is (cosines and sines of the angles, the target's position, angular velocities,
    the way from the target to the fingertip in x and y), the reward minus their distance less a
    control cost; episodes end only at the time limit. The keyword arguments are Gymnasium's.
    """

    def __init__(
        self,
        num_simulations: int,
        *,
        max_episode_steps: int = 50,
        xml_file: str = "reacher.xml",
        frame_skip: int = 2,
        reward_dist_weight: float = 1.0,
        reward_control_weight: float = 1.0,
    ) -> None:
        self._reward_dist_weight = reward_dist_weight
        self._reward_control_weight = reward_control_weight
        self._dist_reward = self._ctrl_reward = np.zeros(num_simulations)
        super().__init__(
            num_simulations,
            max_episode_steps=max_episode_steps,
            xml_file=xml_file,
            frame_skip=frame_skip,
        )

    def draw_state(
        self, generator: np.random.Generator
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        qpos = generator.uniform(-0.1, 0.1, self.model.nq) + self.model.qpos0
        while True:
            target = generator.uniform(-0.2, 0.2, 2)
            if np.linalg.norm(target) < 0.2:
                break
        qpos[-2:] = target
        qvel = generator.uniform(-0.005, 0.005, self.model.nv)
        qvel[-2:] = 0
        return qpos, qvel

    def observed(self) -> list[Part]:
        self._cosines, self._sines = np.zeros((2, self.num_simulations, 2))
        self._error = np.zeros((self.num_simulations, 3))
        self._fingertip, self._target = (
            self.batch.bind("xpos")[:, body_id(self.model, name)]
            for name in ("fingertip", "target")
        )
        return [
            (self._cosines, False),
            (self._sines, False),
            (self.qpos[:, 2:], False),
            (self.qvel[:, :2], True),
            (self._error[:, :2], False),
        ]

    def refresh(self) -> None:
        angles = np.ascontiguousarray(self.qpos[:, :2])
        np.cos(angles, out=self._cosines)
        np.sin(angles, out=self._sines)
        np.subtract(self._fingertip, self._target, out=self._error)

    def reward(self, action: NDArray[Any]) -> NDArray[np.float64]:
        self._dist_reward = -norm(self._error) * self._reward_dist_weight
        self._ctrl_reward = -sum_of_squares(action) * self._reward_control_weight
        return self._dist_reward + self._ctrl_reward

    def info(self) -> Info:
        return self.reward_terms()

    def reward_terms(self) -> Info:
        return {"reward_dist": self._dist_reward, "reward_ctrl": self._ctrl_reward}
