"""Base classes of locomotion tasks: the reward is the velocity along x, less costs."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from poolrl.tasks.base import Info
from poolrl.tasks.mujoco.base import MujocoTask, Part, norm, sum_of_squares


class Locomotion(MujocoTask):
    """The reward is the velocity along x over the control step, less a cost of the controls.

    The observation is (qpos, qvel).

    Args:
        num_simulations: number of episodes that are simulated side by side.
        forward_reward_weight: reward for a velocity of 1 m/s.
        ctrl_cost_weight: cost of a control of norm 1.
        exclude_current_positions_from_observation: omit the first ``axes`` coordinates.
        options: of ``MujocoTask``.
    """

    axes: ClassVar[int] = 1
    """Number of horizontal coordinates: 1 for x, 2 for x and y."""

    def __init__(
        self,
        num_simulations: int,
        *,
        forward_reward_weight: float,
        ctrl_cost_weight: float,
        exclude_current_positions_from_observation: bool,
        **options: Any,
    ) -> None:
        self._forward_reward_weight = forward_reward_weight
        self._ctrl_cost_weight = ctrl_cost_weight
        self._omitted = self.axes if exclude_current_positions_from_observation else 0
        self._previous_position = np.zeros((num_simulations, self.axes))
        self._velocity = np.zeros((num_simulations, self.axes))
        self._forward_reward = self._ctrl_cost = np.zeros(num_simulations)
        super().__init__(num_simulations, **options)

    def position(self) -> NDArray[np.float64]:
        """Return the positions that velocities are computed from, (num_simulations, axes), in m."""
        return self.qpos[:, : self.axes]

    def observed(self) -> list[Part]:
        return [(self.qpos[:, self._omitted :], False), (self.qvel, True)]

    def before_step(self) -> None:
        np.copyto(self._previous_position, self.position())

    def control_cost(self, action: NDArray[Any]) -> NDArray[Any]:
        """Return the costs of the controls of the last step, (num_simulations,)."""
        cost: NDArray[Any] = self._ctrl_cost_weight * sum_of_squares(action)
        return cost

    def reward(self, action: NDArray[Any]) -> NDArray[np.float64]:
        self._velocity = (self.position() - self._previous_position) / self.dt
        self._forward_reward = self._forward_reward_weight * self._velocity[:, 0]
        self._ctrl_cost = self.control_cost(action)
        return self._forward_reward - self._ctrl_cost

    def info(self) -> Info:
        names = ("x_velocity", "y_velocity")
        return self.reset_info() | {
            **{name: self._velocity[:, axis] for axis, name in enumerate(names[: self.axes])},
            **self.reward_terms(),
        }

    def reward_terms(self) -> Info:
        return {"reward_forward": self._forward_reward, "reward_ctrl": -self._ctrl_cost}

    def reset_info(self) -> Info:
        return planar_info(self) if self.axes == 2 else {"x_position": self.qpos[:, 0].copy()}


class Balancing(Locomotion):
    """Locomotion with a reward for healthy states; unhealthy states may be terminal.

    Args:
        num_simulations: number of episodes that are simulated side by side.
        healthy_reward: reward of a step that ends in a healthy state.
        terminate_when_unhealthy: whether unhealthy states are terminal.
        options: of ``Locomotion``.
    """

    def __init__(
        self,
        num_simulations: int,
        *,
        healthy_reward: float,
        terminate_when_unhealthy: bool,
        **options: Any,
    ) -> None:
        self._healthy_reward = healthy_reward
        self._terminate_when_unhealthy = terminate_when_unhealthy
        self._healthy = np.ones(num_simulations, np.bool_)
        super().__init__(num_simulations, **options)

    @abstractmethod
    def healthy(self) -> NDArray[np.bool_]:
        """Return which current states are healthy, (num_simulations,)."""

    def costs(self, action: NDArray[Any]) -> NDArray[Any]:
        """Return all costs of the last step, (num_simulations,); of the controls by default."""
        self._ctrl_cost = self.control_cost(action)
        return self._ctrl_cost

    def reward(self, action: NDArray[Any]) -> NDArray[np.float64]:
        self._velocity = (self.position() - self._previous_position) / self.dt
        self._forward_reward = self._forward_reward_weight * self._velocity[:, 0]
        self._healthy = self.healthy()
        rewards = self._forward_reward + self._healthy * self._healthy_reward
        reward: NDArray[np.float64] = rewards - self.costs(action)
        return reward

    def terminated(self) -> NDArray[np.bool_]:
        return ~self._healthy if self._terminate_when_unhealthy else super().terminated()

    def reward_terms(self) -> Info:
        return super().reward_terms() | {"reward_survive": self._healthy * self._healthy_reward}


class PlanarBalancing(Balancing):
    """Balancing in the plane: observed velocities are clipped to ±10, infos have the height.

    Args:
        num_simulations: number of episodes that are simulated side by side.
        healthy_z_range: healthy heights of the torso, in m, without the bounds.
        healthy_angle_range: healthy angles of the torso, in rad, without the bounds.
        options: of ``Balancing``.
    """

    def __init__(
        self,
        num_simulations: int,
        *,
        healthy_z_range: tuple[float, float],
        healthy_angle_range: tuple[float, float],
        **options: Any,
    ) -> None:
        self._low, self._high = np.transpose((healthy_z_range, healthy_angle_range))
        super().__init__(num_simulations, **options)

    def observed(self) -> list[Part]:
        position, _ = super().observed()
        self._clipped_velocity = np.zeros(self.qvel.shape)
        return [position, (self._clipped_velocity, True)]

    def refresh(self) -> None:
        np.minimum(self.qvel, 10.0, out=self._clipped_velocity)
        np.maximum(self._clipped_velocity, -10.0, out=self._clipped_velocity)

    def healthy(self) -> NDArray[np.bool_]:
        return between(self._low, self.qpos[:, 1:3], self._high)

    def reset_info(self) -> Info:
        height = self.qpos[:, 1] - self.model.qpos0[1]
        return super().reset_info() | {"z_distance_from_origin": height}


class ContactCostBalancing(Balancing):
    """Balancing with a cost of the external forces on the bodies.

    Args:
        num_simulations: number of episodes that are simulated side by side.
        contact_cost_weight: cost of forces of norm 1.
        include_cfrc_ext_in_observation: whether the forces are observed. They are not computed if
            they are not observed and the weight is 0.
        options: of ``Balancing``.
    """

    def __init__(
        self,
        num_simulations: int,
        *,
        contact_cost_weight: float,
        include_cfrc_ext_in_observation: bool,
        **options: Any,
    ) -> None:
        self._contact_cost_weight = contact_cost_weight
        self._contact_cost = np.zeros(num_simulations)
        forces = include_cfrc_ext_in_observation or contact_cost_weight != 0
        super().__init__(num_simulations, external_forces=forces, **options)

    @abstractmethod
    def contact_cost(self) -> NDArray[np.float64]:
        """Return the costs of the external forces after the last step, (num_simulations,)."""

    def costs(self, action: NDArray[Any]) -> NDArray[Any]:
        self._contact_cost = self.contact_cost()
        return super().costs(action) + self._contact_cost

    def reward_terms(self) -> Info:
        return super().reward_terms() | {"reward_contact": -self._contact_cost}


def between(low: Any, values: NDArray[np.float64], high: Any) -> NDArray[np.bool_]:
    """Return which rows of ``values``, (n, size), are strictly between bounds.

    Args:
        low: lower bounds, which broadcast to ``values``.
        values: (n, size).
        high: upper bounds, which broadcast to ``values``.

    Returns:
        (n,) of bool.
    """
    inside: NDArray[np.bool_] = np.logical_and.reduce((low < values) & (values < high), axis=1)
    return inside


def planar_info(task: MujocoTask) -> Info:
    """Return the infos of a root that moves along x and y: coordinates and distance, in m."""
    return {
        "x_position": task.qpos[:, 0].copy(),
        "y_position": task.qpos[:, 1].copy(),
        "distance_from_origin": norm(task.qpos[:, :2]),
    }
