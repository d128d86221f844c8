"""Move the rat to a place, or run with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poolrl.config.types import Aggregate
from poolrl.tasks.base import Ids, Info, StepResult
from poolrl.tasks.imitation.base import BODY_AGGREGATES
from poolrl.tasks.imitation.command import CommandTask
from poolrl.tasks.mujoco.base import Part, norm
from poolrl.tasks.mujoco.model import require_argument

ARRIVED = 0.01
"""Distance in m at which a target is reached."""


class MoveToTarget(CommandTask):
    """Bring the centre of mass to a place: x and y from N(0, 0.5²) m, the height from
    U(0.04, 0.1) m, which is observed as a vector in the torso's frame.

    The reward is max(0, 1 - d) - control_cost·|ctrl|² + alive_bonus with the distance d in m; an
    episode is truncated where d is at most 1 cm. It is that of the virtual rodent's open
    implementation.

    Args:
        num_simulations: number of episodes that are simulated side by side.
        max_episode_steps: time limit in control steps.
        torque_actuators, foot_mods, hip_mods, body_scale, timestep: as for ``rodent_scene``.
        frame_skip: substeps per control step.
        min_torso_z: height of the centre of mass in m, below which an episode terminates.
        decoder, latent_range: as for ``CommandTask``.
        control_cost: of a squared control of 1.
        alive_bonus: of each control step.

    Raises:
        UsageError: an argument is out of range, or dm_control is not installed.

    Attributes:
        target: (num_simulations, 3), in m; live.
    """

    info_aggregates: Mapping[str, Aggregate] = MappingProxyType(
        {**BODY_AGGREGATES, "success": "max"}
    )

    def __init__(
        self,
        num_simulations: int,
        *,
        max_episode_steps: int = 1000,
        torque_actuators: bool = True,
        foot_mods: bool = True,
        hip_mods: bool = False,
        body_scale: float = 1.0,
        timestep: float = 0.002,
        frame_skip: int = 5,
        min_torso_z: float = 0.035,
        decoder: str = "",
        latent_range: float = 3.0,
        control_cost: float = 0.005,
        alive_bonus: float = 0.1,
    ) -> None:
        self._costs = control_cost, alive_bonus
        self._distance = np.full(num_simulations, np.inf)
        self._vector = np.zeros((num_simulations, 1, 3))
        super().__init__(
            num_simulations,
            size=3,
            max_episode_steps=max_episode_steps,
            torque_actuators=torque_actuators,
            foot_mods=foot_mods,
            hip_mods=hip_mods,
            body_scale=body_scale,
            timestep=timestep,
            frame_skip=frame_skip,
            min_torso_z=min_torso_z,
            decoder=decoder,
            latent_range=latent_range,
        )
        self.target = self.command

    def draw_command(self, generator: np.random.Generator) -> Sequence[float]:
        return *(0.5 * generator.standard_normal(2)), generator.uniform(0.04, 0.1)

    def goal(self) -> list[Part]:
        return [(self._vector[:, 0], False)]

    def refresh(self) -> None:
        np.matmul((self.command - self.center_of_mass)[:, None], self.rotation, out=self._vector)

    def reward(self, action: NDArray[Any]) -> NDArray[np.float64]:
        control_cost, alive_bonus = self._costs
        self._distance = norm(self._vector[:, 0])
        return self.total(
            {
                "closeness_reward": np.maximum(1.0 - self._distance, 0.0),
                "ctrl_penalty": -control_cost * self.control_cost(),
                "alive_bonus": np.full(self.num_simulations, alive_bonus),
            }
        )

    def step(self, action: NDArray[Any], ids: Ids | None = None) -> StepResult:
        result = super().step(action, ids)
        arrived = (self._distance <= ARRIVED) & ~result.terminated
        return result._replace(truncated=result.truncated | arrived)

    def info(self) -> Info:
        return {
            **super().info(),
            "distance": self._distance.copy(),
            "success": (self._distance <= ARRIVED).astype(np.float64),
        }


class Run(CommandTask):
    """Run along x at a speed v* from U(``speeds``) m/s, which is observed.

    The reward is exp(-((v - v*) / falloff)²) - control_cost·|ctrl|² - energy_cost·power
    + alive_bonus, with v the velocity of the centre of mass along x. It is that of the virtual
    rodent's open implementation for a pretrained decoder, where v has the opposite sign and v* is
    not observed.

    Args:
        num_simulations: number of episodes that are simulated side by side.
        max_episode_steps: time limit in control steps.
        torque_actuators, foot_mods, hip_mods, body_scale, timestep: as for ``rodent_scene``.
        frame_skip: substeps per control step.
        min_torso_z: height of the centre of mass in m, below which an episode terminates.
        decoder, latent_range: as for ``CommandTask``.
        speeds: range of v* in m/s.
        falloff: of the velocity in m/s.
        control_cost: of a squared control of 1.
        energy_cost: of a power of 1 W.
        alive_bonus: of each control step.

    Raises:
        UsageError: an argument is out of range, or dm_control is not installed.
    """

    info_aggregates: Mapping[str, Aggregate] = MappingProxyType(
        {**BODY_AGGREGATES, "speed": "mean"}
    )

    def __init__(
        self,
        num_simulations: int,
        *,
        max_episode_steps: int = 500,
        torque_actuators: bool = True,
        foot_mods: bool = True,
        hip_mods: bool = False,
        body_scale: float = 1.0,
        timestep: float = 0.002,
        frame_skip: int = 5,
        min_torso_z: float = 0.035,
        decoder: str = "",
        latent_range: float = 3.0,
        speeds: tuple[float, float] = (0.5, 5.0),
        falloff: float = 1.0,
        control_cost: float = 0.005,
        energy_cost: float = 0.01,
        alive_bonus: float = 0.1,
    ) -> None:
        is_range = np.isfinite(speeds).all() and speeds[0] <= speeds[1]
        require_argument("the lowest and the highest speed", "speeds", is_range)
        require_argument("more than 0", "falloff", falloff > 0)
        self._speeds, self._falloff = speeds, falloff
        self._costs = control_cost, energy_cost, alive_bonus
        super().__init__(
            num_simulations,
            size=1,
            max_episode_steps=max_episode_steps,
            torque_actuators=torque_actuators,
            foot_mods=foot_mods,
            hip_mods=hip_mods,
            body_scale=body_scale,
            timestep=timestep,
            frame_skip=frame_skip,
            min_torso_z=min_torso_z,
            decoder=decoder,
            latent_range=latent_range,
        )
        self._speed = np.zeros(num_simulations)

    def draw_command(self, generator: np.random.Generator) -> Sequence[float]:
        return (generator.uniform(*self._speeds),)

    def reward(self, action: NDArray[Any]) -> NDArray[np.float64]:
        control_cost, energy_cost, alive_bonus = self._costs
        self._speed = self.velocity()[:, 0].copy()
        error = (self._speed - self.command[:, 0]) / self._falloff
        return self.total(
            {
                "forward_reward": np.exp(-np.square(error)),
                "ctrl_penalty": -control_cost * self.control_cost(),
                "energy_penalty": -energy_cost * self.energy_use(),
                "alive_bonus": np.full(self.num_simulations, alive_bonus),
            }
        )

    def info(self) -> Info:
        return {
            **super().info(),
            "speed": self._speed.copy(),
            "speed_command": self.command[:, 0].copy(),
        }
