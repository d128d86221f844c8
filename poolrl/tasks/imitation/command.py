"""Base class of tasks in which the rat follows a command, without recorded movement."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poolrl.tasks.base import Ids, Info, StepResult
from poolrl.tasks.imitation.base import SENSORS, TOUCH_SENSORS, BodyTask
from poolrl.tasks.imitation.latent_actions import LatentActions
from poolrl.tasks.imitation.rodent import ROOT_BODY, load_rodent
from poolrl.tasks.mujoco.base import Part


class CommandTask(BodyTask):
    """The rat, which begins at rest in its default posture and observes a command of numbers after
    its proprioception; a subclass draws the command and rewards what follows.

    Args:
        num_simulations: number of episodes that are simulated side by side.
        size: numbers of a command.
        max_episode_steps: time limit in control steps.
        frame_skip: substeps per control step.
        min_torso_z: height of the centre of mass in m, below which an episode terminates.
        decoder: path of an agent whose decoder makes actions of latent variables, which are then
            this task's actions; empty for none.
        latent_range: largest absolute value of a latent variable.
        options: of ``load_rodent``.

    Raises:
        UsageError: an argument is out of range, or dm_control is not installed.

    Attributes:
        command: (num_simulations, size); live.
    """

    goal_sense = "command"

    def __init__(
        self,
        num_simulations: int,
        *,
        size: int,
        max_episode_steps: int,
        frame_skip: int,
        min_torso_z: float,
        decoder: str,
        latent_range: float,
        **options: Any,
    ) -> None:
        self._latents: LatentActions | None = None
        if decoder:
            own = {**options, "frame_skip": frame_skip}
            self._latents = LatentActions(decoder, num_simulations, own, latent_range)
            self.files_sha256 = self._latents.sha256
        self.command = np.zeros((num_simulations, size))
        self._drawn: list[Sequence[float]] = []
        self._last_center = np.zeros((num_simulations, 3))
        super().__init__(
            num_simulations,
            model=load_rodent(**options),
            frame_skip=frame_skip,
            max_episode_steps=max_episode_steps,
            min_torso_z=min_torso_z,
            root_body=ROOT_BODY,
            sensors=SENSORS,
            touch_sensors=TOUCH_SENSORS,
        )
        self._stepped: Ids | None = None
        if self._latents is not None:
            self._latents.require_sizes(self.model.nu, self.proprioception().shape[1])
            self.action_space = self._latents.space

    @abstractmethod
    def draw_command(self, generator: np.random.Generator) -> Sequence[float]:
        """Draw a command."""

    def goal(self) -> list[Part]:
        return [(self.command, False)]

    def draw_state(
        self, generator: np.random.Generator
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        self._drawn.append(self.draw_command(generator))
        return self.model.qpos0.copy(), np.zeros(self.model.nv)

    def reset(self, ids: Ids, generators: Sequence[np.random.Generator]) -> None:
        self._drawn.clear()
        super().reset(ids, generators)
        if len(ids):
            self.command[ids] = self._drawn

    def set_state(self, ids: Ids, qpos: NDArray[np.float64], qvel: NDArray[np.float64]) -> None:
        super().set_state(ids, qpos, qvel)
        if self._latents is not None:
            self._latents.start(ids)

    def step(self, action: NDArray[Any], ids: Ids | None = None) -> StepResult:
        self._stepped = ids
        return super().step(action, ids)

    def apply(self, action: NDArray[Any]) -> None:
        if self._latents is not None:
            action = self._latents.actions(action, self.proprioception(), self._stepped)
        super().apply(action)

    def before_step(self) -> None:
        self._last_center = self.center_of_mass.copy()

    def velocity(self) -> NDArray[np.float64]:
        """Return the velocity of the centre of mass in the last step, in m/s,
        (num_simulations, 3)."""
        velocity: NDArray[np.float64] = (self.center_of_mass - self._last_center) / self.dt
        return velocity

    def info(self) -> Info:
        return self.body_info()
