"""Gymnasium's Humanoid-v5, to walk, and HumanoidStandup-v5, to get up."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from poolrl.tasks.base import Info
from poolrl.tasks.mujoco.base import MujocoTask, Part, sum_of_squares
from poolrl.tasks.mujoco.locomotion import ContactCostBalancing, planar_info


class Humanoid(ContactCostBalancing):
    """The task of Tassa, Erez and Todorov (2012) as Gymnasium defines it in ``Humanoid-v5``.

    The observation is (qpos without x and y, qvel, inertias and velocities of the bodies, actuator
    forces on the joints, external forces on the bodies), the reward the x velocity of the centre of
    mass over the control step plus a reward for being healthy less costs of controls and of
    external forces. It is healthy while the torso's height is in range. The keyword arguments are
    Gymnasium's.
    """

    axes = 2

    def __init__(
        self,
        num_simulations: int,
        *,
        max_episode_steps: int = 1000,
        xml_file: str = "humanoid.xml",
        frame_skip: int = 5,
        forward_reward_weight: float = 1.25,
        ctrl_cost_weight: float = 0.1,
        contact_cost_weight: float = 5e-7,
        contact_cost_range: tuple[float, float] = (-np.inf, 10.0),
        healthy_reward: float = 5.0,
        terminate_when_unhealthy: bool = True,
        healthy_z_range: tuple[float, float] = (1.0, 2.0),
        reset_noise_scale: float = 1e-2,
        exclude_current_positions_from_observation: bool = True,
        include_cinert_in_observation: bool = True,
        include_cvel_in_observation: bool = True,
        include_qfrc_actuator_in_observation: bool = True,
        include_cfrc_ext_in_observation: bool = True,
    ) -> None:
        self._contact_cost_range = contact_cost_range
        self._healthy_z_range = healthy_z_range
        self._included = (
            include_cinert_in_observation,
            include_cvel_in_observation,
            include_qfrc_actuator_in_observation,
            include_cfrc_ext_in_observation,
        )
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
        self._body_positions = self.batch.bind("xipos")
        self._body_mass = self.model.body_mass
        self._total_mass = self._body_mass.sum()

    def observed(self) -> list[Part]:
        return super().observed() + body_parts(self, *self._included)

    def position(self) -> NDArray[np.float64]:
        moment = np.einsum("b,nbj->nj", self._body_mass, self._body_positions)
        centre_of_mass: NDArray[np.float64] = (moment / self._total_mass)[:, :2]
        return centre_of_mass

    def healthy(self) -> NDArray[np.bool_]:
        low, high = self._healthy_z_range
        z = self.qpos[:, 2]
        healthy: NDArray[np.bool_] = (low < z) & (z < high)
        return healthy

    def control_cost(self, action: NDArray[Any]) -> NDArray[Any]:
        return super().control_cost(self.ctrl)

    def contact_cost(self) -> NDArray[np.float64]:
        return force_cost(self, self._contact_cost_weight, self._contact_cost_range)

    def reset_info(self) -> Info:
        return super().reset_info() | tendon_info(self)


class HumanoidStandup(MujocoTask):
    """A humanoid on its back, as Gymnasium defines it in ``HumanoidStandup-v5``.

    The observation is ``Humanoid``'s, the reward the height of the torso by the time of a substep
    less costs of controls and of external forces, plus one; episodes end only at the
    time limit. The keyword arguments are Gymnasium's.
    """

    def __init__(
        self,
        num_simulations: int,
        *,
        max_episode_steps: int = 1000,
        xml_file: str = "humanoidstandup.xml",
        frame_skip: int = 5,
        uph_cost_weight: float = 1.0,
        ctrl_cost_weight: float = 0.1,
        impact_cost_weight: float = 0.5e-6,
        impact_cost_range: tuple[float, float] = (-np.inf, 10.0),
        reset_noise_scale: float = 1e-2,
        exclude_current_positions_from_observation: bool = True,
        include_cinert_in_observation: bool = True,
        include_cvel_in_observation: bool = True,
        include_qfrc_actuator_in_observation: bool = True,
        include_cfrc_ext_in_observation: bool = True,
    ) -> None:
        # Gymnasium accepts it and does not use it.
        del uph_cost_weight
        self._ctrl_cost_weight = ctrl_cost_weight
        self._impact_cost_weight = impact_cost_weight
        self._impact_cost_range = impact_cost_range
        self._omitted = 2 if exclude_current_positions_from_observation else 0
        self._included = (
            include_cinert_in_observation,
            include_cvel_in_observation,
            include_qfrc_actuator_in_observation,
            include_cfrc_ext_in_observation,
        )
        self._up_reward = self._ctrl_cost = self._impact_cost = np.zeros(num_simulations)
        super().__init__(
            num_simulations,
            max_episode_steps=max_episode_steps,
            xml_file=xml_file,
            frame_skip=frame_skip,
            reset_noise_scale=reset_noise_scale,
            external_forces=include_cfrc_ext_in_observation or impact_cost_weight != 0,
        )

    def observed(self) -> list[Part]:
        state: list[Part] = [(self.qpos[:, self._omitted :], False), (self.qvel, True)]
        return state + body_parts(self, *self._included)

    def reward(self, action: NDArray[Any]) -> NDArray[np.float64]:
        self._up_reward = self.qpos[:, 2] / self.model.opt.timestep
        self._ctrl_cost = self._ctrl_cost_weight * sum_of_squares(self.ctrl)
        self._impact_cost = force_cost(self, self._impact_cost_weight, self._impact_cost_range)
        return self._up_reward - self._ctrl_cost - self._impact_cost + 1

    def info(self) -> Info:
        return self.reset_info() | self.reward_terms()

    def reward_terms(self) -> Info:
        return {
            "reward_linup": self._up_reward,
            "reward_quadctrl": -self._ctrl_cost,
            "reward_impact": -self._impact_cost,
        }

    def reset_info(self) -> Info:
        info = planar_info(self) | tendon_info(self)
        del info["distance_from_origin"]
        return info | {"z_distance_from_origin": self.qpos[:, 2] - self.model.qpos0[2]}


def body_parts(
    task: MujocoTask, cinert: bool, cvel: bool, qfrc_actuator: bool, cfrc_ext: bool
) -> list[Part]:
    """Return the observed parts besides the state: of the bodies without the world, and of the
    joints without the free one.

    Args:
        task: a humanoid.
        cinert: include inertias of the bodies.
        cvel: include velocities of the bodies.
        qfrc_actuator: include actuator forces on the joints.
        cfrc_ext: include external forces on the bodies.
    """
    tendon_info(task)  # binds its fields: a field is zero until the first step after it is bound
    parts: list[Part] = []
    rows = task.num_simulations
    if cinert:
        parts.append((task.batch.bind("cinert").reshape(rows, -1)[:, 10:], False))
    if cvel:
        parts.append((task.batch.bind("cvel").reshape(rows, -1)[:, 6:], True))
    if qfrc_actuator:
        parts.append((task.batch.bind("qfrc_actuator")[:, 6:], False))
    if cfrc_ext:
        parts.append((task.cfrc_ext.reshape(rows, -1)[:, 6:], False))
    return parts


def force_cost(task: MujocoTask, weight: float, limits: tuple[float, float]) -> NDArray[np.float64]:
    """Return the costs of the external forces, (num_simulations,).

    Args:
        task: a humanoid.
        weight: cost of forces of norm 1.
        limits: (low, high): costs are clipped to these.
    """
    cost = weight * sum_of_squares(task.cfrc_ext.reshape(task.num_simulations, -1))
    return np.minimum(np.maximum(cost, limits[0]), limits[1])


def tendon_info(task: MujocoTask) -> Info:
    """Return lengths of the tendons, (num_simulations, ntendon), and their rates of change."""
    return {
        "tendon_length": task.batch.bind("ten_length").copy(),
        "tendon_velocity": task.batch.bind("ten_velocity").copy(),
    }
