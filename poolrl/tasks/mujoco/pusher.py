"""Gymnasium's Pusher-v5: an arm that pushes a cylinder to a goal."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from poolrl.tasks.base import Info
from poolrl.tasks.mujoco.base import MujocoTask, Part, norm, sum_of_squares
from poolrl.tasks.mujoco.model import body_id


class Pusher(MujocoTask):
    """An arm of seven joints over a table, as Gymnasium defines it in ``Pusher-v5``.

    The observation is (angles and angular velocities of the arm, positions of its tip, of the
    cylinder and of the goal), the reward minus the distances from cylinder to goal and from tip to
    cylinder less a control cost; episodes end only at the time limit. The keyword arguments are
    Gymnasium's.
    """

    def __init__(
        self,
        num_simulations: int,
        *,
        max_episode_steps: int = 100,
        xml_file: str = "pusher_v5.xml",
        frame_skip: int = 5,
        reward_near_weight: float = 0.5,
        reward_dist_weight: float = 1.0,
        reward_control_weight: float = 0.1,
    ) -> None:
        self._reward_near_weight = reward_near_weight
        self._reward_dist_weight = reward_dist_weight
        self._reward_control_weight = reward_control_weight
        self._near_reward = self._dist_reward = self._ctrl_reward = np.zeros(num_simulations)
        super().__init__(
            num_simulations,
            max_episode_steps=max_episode_steps,
            xml_file=xml_file,
            frame_skip=frame_skip,
        )

    def draw_state(
        self, generator: np.random.Generator
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        qpos = self.model.qpos0.copy()
        while True:
            cylinder = [generator.uniform(-0.3, 0.0), generator.uniform(-0.2, 0.2)]
            if np.linalg.norm(cylinder) > 0.17:
                break
        qpos[-4:] = [*cylinder, 0.0, 0.0]
        qvel = generator.uniform(-0.005, 0.005, self.model.nv)
        qvel[-4:] = 0
        return qpos, qvel

    def observed(self) -> list[Part]:
        self._tip, self._cylinder, self._goal = (
            self.batch.bind("xpos")[:, body_id(self.model, name)]
            for name in ("tips_arm", "object", "goal")
        )
        return [
            (self.qpos[:, :7], False),
            (self.qvel[:, :7], True),
            (self._tip, False),
            (self._cylinder, False),
            (self._goal, False),
        ]

    def reward(self, action: NDArray[Any]) -> NDArray[np.float64]:
        near = norm(self._cylinder - self._tip)
        dist = norm(self._cylinder - self._goal)
        self._near_reward = -near * self._reward_near_weight
        self._dist_reward = -dist * self._reward_dist_weight
        self._ctrl_reward = -sum_of_squares(action) * self._reward_control_weight
        return self._dist_reward + self._ctrl_reward + self._near_reward

    def info(self) -> Info:
        return self.reward_terms()

    def reward_terms(self) -> Info:
        return {
            "reward_dist": self._dist_reward,
            "reward_ctrl": self._ctrl_reward,
            "reward_near": self._near_reward,
        }
