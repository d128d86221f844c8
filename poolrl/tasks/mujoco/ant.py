"""Gymnasium's Ant-v5: a body on four legs that walks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from poolrl.tasks.mujoco.base import Part, sum_of_squares
from poolrl.tasks.mujoco.locomotion import ContactCostBalancing
from poolrl.tasks.mujoco.model import body_id


class Ant(ContactCostBalancing):
    """The task of Schulman et al. (2016) as Gymnasium defines it in ``Ant-v5``.

    The observation is (qpos without x and y, qvel, external forces on the bodies, clipped), the
    reward the x velocity of the main body over the control step plus a reward for being healthy
    less costs of controls and of external forces. It is healthy while the torso's height is in
    range. The keyword arguments are Gymnasium's.
    """

    axes = 2
    normal_velocities = True

    def __init__(
        self,
        num_simulations: int,
        *,
        max_episode_steps: int = 1000,
        xml_file: str = "ant.xml",
        frame_skip: int = 5,
        forward_reward_weight: float = 1.0,
        ctrl_cost_weight: float = 0.5,
        contact_cost_weight: float = 5e-4,
        healthy_reward: float = 1.0,
        main_body: int | str = 1,
        terminate_when_unhealthy: bool = True,
        healthy_z_range: tuple[float, float] = (0.2, 1.0),
        contact_force_range: tuple[float, float] = (-1.0, 1.0),
        reset_noise_scale: float = 0.1,
        exclude_current_positions_from_observation: bool = True,
        include_cfrc_ext_in_observation: bool = True,
    ) -> None:
        self._healthy_z_range = healthy_z_range
        self._contact_force_range = contact_force_range
        self._include_cfrc_ext = include_cfrc_ext_in_observation
        super().__init__(
            num_simulations,
            max_episode_steps=max_episode_steps,
            xml_file=xml_file,
            frame_skip=frame_skip,
            forward_reward_weight=forward_reward_weight,
            ctrl_cost_weight=ctrl_cost_weight,
            healthy_reward=healthy_reward,
            terminate_when_unhealthy=terminate_when_unhealthy,
            reset_noise_scale=reset_noise_scale,
            contact_cost_weight=contact_cost_weight,
            include_cfrc_ext_in_observation=include_cfrc_ext_in_observation,
            exclude_current_positions_from_observation=exclude_current_positions_from_observation,
        )
        body = body_id(self.model, main_body, "main_body")
        self._main_position: NDArray[np.float64] = self.batch.bind("xpos")[:, body, :2]

    def observed(self) -> list[Part]:
        parts = super().observed()
        self._contact_forces = np.zeros((self.num_simulations, self.model.nbody * 6))
        if self._include_cfrc_ext:
            parts.append((self._contact_forces[:, 6:], False))  # without the world's body
        return parts

    def refresh(self) -> None:
        low, high = self._contact_force_range
        forces = self.cfrc_ext.reshape(self._contact_forces.shape)
        np.maximum(forces, low, out=self._contact_forces)
        np.minimum(self._contact_forces, high, out=self._contact_forces)

    def position(self) -> NDArray[np.float64]:
        return self._main_position

    def healthy(self) -> NDArray[np.bool_]:
        low, high = self._healthy_z_range
        z = self.qpos[:, 2]
        finite: NDArray[np.bool_] = np.logical_and.reduce(np.isfinite(self.state), axis=1)
        healthy: NDArray[np.bool_] = finite & (low <= z) & (z <= high)
        return healthy

    def contact_cost(self) -> NDArray[np.float64]:
        cost: NDArray[np.float64] = sum_of_squares(self._contact_forces)
        return self._contact_cost_weight * cost
