"""Gymnasium's Swimmer-v5: three links in a viscous fluid, paid for the speed of their tip."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from poolrl.tasks.mujoco.base import MujocoTask


class Swimmer(MujocoTask):
    """The task of Coulom (2002) as Gymnasium defines it in ``Swimmer-v5``.

    The observation is (qpos without x and y, qvel), the reward the x velocity of the front tip
    over the control step less a control cost; an episode ends at its time limit alone. The keyword
    arguments are Gymnasium's.
    """

    def __init__(
        self,
        num_simulations: int,
        *,
        max_episode_steps: int = 1000,
        xml_file: str = "swimmer.xml",
        frame_skip: int = 4,
        forward_reward_weight: float = 1.0,
        ctrl_cost_weight: float = 1e-4,
        reset_noise_scale: float = 0.1,
        exclude_current_positions_from_observation: bool = True,
    ) -> None:
        self._forward_reward_weight = forward_reward_weight
        self._ctrl_cost_weight = ctrl_cost_weight
        self._reset_noise_scale = reset_noise_scale
        self._skipped = 2 if exclude_current_positions_from_observation else 0
        self._x_before = np.zeros(num_simulations)
        super().__init__(
            num_simulations,
            xml_file=xml_file,
            frame_skip=frame_skip,
            max_episode_steps=max_episode_steps,
        )

    def draw_state(
        self, generator: np.random.Generator
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        scale = self._reset_noise_scale
        qpos = self.model.qpos0 + generator.uniform(-scale, scale, self.model.nq)
        return qpos, generator.uniform(-scale, scale, self.model.nv)

    def observe(self) -> NDArray[np.float64]:
        return np.concatenate((self.qpos[:, self._skipped :], self.qvel), axis=1)

    def velocities(self) -> NDArray[np.bool_]:
        return np.repeat([False, True], [self.model.nq - self._skipped, self.model.nv])

    def before_step(self) -> None:
        np.copyto(self._x_before, self.qpos[:, 0])

    def reward(self, action: NDArray[Any]) -> NDArray[np.float64]:
        velocity = (self.qpos[:, 0] - self._x_before) / self.dt
        cost = self._ctrl_cost_weight * np.square(action).sum(axis=1)
        reward: NDArray[np.float64] = self._forward_reward_weight * velocity - cost
        return reward
