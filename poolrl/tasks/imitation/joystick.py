"""Move the rat as a joystick says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poolrl.config.types import Aggregate
from poolrl.tasks.base import Ids, Info
from poolrl.tasks.imitation.base import BODY_AGGREGATES
from poolrl.tasks.imitation.command import CommandTask
from poolrl.tasks.imitation.rotations import turned
from poolrl.tasks.mujoco.model import require_argument

HEAD = "skull"
"""Body whose subtree's centre of mass is the height of the head."""


class Joystick(CommandTask):
    """Move as a joystick says: forwards, turning, and with the head at a height.

    The command (f, t, h) is drawn at reset and every ``command_steps``: f from U(-0.1, 0.6) m/s;
    t = 0 rad/s if f > 0.25, else from U(-1, 1); h from U(0.08, 0.13) m if |f| < 0.05 and
    |t| < 0.1, else from U(0.05, 0.08). The reward of a step is for the command that was observed
    before it,

        r = exp(-((f - v) / 0.2)²) + exp(-((t - ω) / 0.4)²) + exp(-((h - z) / 0.02)²),

    with v the velocity of the centre of mass along the torso's x axis, of which what is vertical
    counts as 0, ω the turning of that axis about the vertical, and z the height of the head. It is
    the joystick of the virtual rodent's open implementation.

    Args:
        num_simulations: number of episodes that are simulated side by side.
        max_episode_steps: time limit in control steps.
        torque_actuators, foot_mods, hip_mods, body_scale, timestep: as for ``rodent_scene``.
        frame_skip: substeps per control step.
        min_torso_z: height of the centre of mass in m, below which an episode terminates.
        decoder, latent_range: as for ``CommandTask``.
        command_steps: control steps after which there is a new command.
        falloffs: of velocity in m/s, turning in rad/s and height in m.

    Raises:
        UsageError: an argument is out of range, or dm_control is not installed.
    """

    info_aggregates: Mapping[str, Aggregate] = MappingProxyType(
        {
            **BODY_AGGREGATES,
            **dict.fromkeys(("forward_error", "turning_error", "head_error"), "mean"),
            **dict.fromkeys(("forward_speed", "turning_speed", "head_height"), "mean"),
        }
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
        command_steps: int = 200,
        falloffs: tuple[float, float, float] = (0.2, 0.4, 0.02),
    ) -> None:
        require_argument("at least 1", "command_steps", command_steps >= 1)
        require_argument("numbers more than 0", "falloffs", min(falloffs) > 0)
        self._command_steps, self._falloffs = command_steps, np.array(falloffs)
        self._generators: list[np.random.Generator | None] = [None] * num_simulations
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
        self._head = self.batch.bind("subtree_com")[:, self.model.body(HEAD).id, 2]
        self._followed = self.command.copy()
        self._done = self.command.copy()

    def draw_command(self, generator: np.random.Generator) -> Sequence[float]:
        forward = generator.uniform(-0.1, 0.6)
        turning = 0.0 if forward > 0.25 else generator.uniform(-1.0, 1.0)
        is_still = abs(forward) < 0.05 and abs(turning) < 0.1
        return forward, turning, generator.uniform(*((0.08, 0.13) if is_still else (0.05, 0.08)))

    def reset(self, ids: Ids, generators: Sequence[np.random.Generator]) -> None:
        for i, generator in zip(ids.tolist(), generators, strict=True):
            self._generators[i] = generator
        super().reset(ids, generators)

    def before_step(self) -> None:
        super().before_step()
        self._last_quaternion = self.quaternion.copy()
        self._followed = self.command.copy()

    def advance(self, ids: Ids | None) -> None:
        super().advance(ids)
        is_due = self.steps % self._command_steps == 0
        for i in np.flatnonzero(is_due) if ids is None else ids[is_due[ids]]:
            generator = self._generators[i]
            if generator is not None:
                self.command[i] = self.draw_command(generator)

    def reward(self, action: NDArray[Any]) -> NDArray[np.float64]:
        level = self.velocity()
        level[:, 2] = 0.0
        forward = np.vecdot(level, self.rotation[:, :, 0])
        turning = turned(self._last_quaternion, self.quaternion) / self.dt
        self._done = np.stack((forward, turning, self._head), axis=1)
        near = np.exp(-np.square((self._followed - self._done) / self._falloffs))
        names = ("forward_reward", "turning_reward", "head_reward")
        return self.total({name: near[:, i].copy() for i, name in enumerate(names)})

    def info(self) -> Info:
        names = ("forward", "turning", "head")
        error = np.abs(self._followed - self._done)
        return {
            **super().info(),
            "forward_speed": self._done[:, 0].copy(),
            "turning_speed": self._done[:, 1].copy(),
            "head_height": self._done[:, 2].copy(),
            **{f"{name}_command": self._followed[:, i].copy() for i, name in enumerate(names)},
            **{f"{name}_error": error[:, i].copy() for i, name in enumerate(names)},
        }
