"""Quadrupeds that run along x, on flat ground and over a step."""

from __future__ import annotations

import os
from typing import Any

import mujoco
import numpy as np
from gymnasium.spaces import Box
from numpy.typing import NDArray

from poolrl.errors import UsageError
from poolrl.tasks.base import Ids
from poolrl.tasks.mujoco.base import MujocoTask
from poolrl.tasks.mujoco.legs import find_legs
from poolrl.tasks.mujoco.model import is_path

_MENAGERIE = "https://github.com/google-deepmind/mujoco_menagerie"


class Quadruped(MujocoTask):
    """A robot of twelve position-controlled joints that shall run along x and stay upright.

    The observation is (qpos without x and y, qvel), 17 + 18 numbers; the action, in [-1, 1],
    offsets the targets of the joints from those of the initial posture. The reward of a substep is
    v_x + (z - 0.5), with z the trunk's height over the ground. The episode terminates at the first
    substep with z below ``fall_height``; the reward of that substep is ``-fall_cost``, and later
    substeps of the control step have none.

    Args:
        num_simulations: number of episodes that are simulated side by side.
        max_episode_steps: time limit in control steps.
        xml_file: a path, or the name of an asset, of any quadruped that ``find_legs`` accepts;
            empty for the task's own model.
        frame_skip: substeps per control step.
        keyframe: the model's keyframe with the initial posture in qpos and its targets in ctrl;
            empty for ``stand``, ``standing`` or ``home`` if the model has one of them.
        posture: angles of (HAA, HFE, KFE) in rad, if the model has no such keyframe: HAA outwards,
            the other two of a fore leg about y, mirrored for hind legs. The trunk's height is set
            so that the feet touch the ground.
        action_scale: offsets of the targets of (HAA, HFE, KFE) for an action of 1, in rad.
        fall_height: in m.
        fall_cost: of a fall.
        reset_noise_scale: largest deviation of the initial joint angles (rad) and velocities (m/s,
            rad/s) from the posture at rest.
        exclude_current_positions_from_observation: omit x and y, which leave the range of earlier
            observations as a policy learns to run farther.

    Raises:
        UsageError: the model is no quadruped, or has no such keyframe.
    """

    model_file = "quadruped.xml"

    def __init__(
        self,
        num_simulations: int,
        *,
        max_episode_steps: int = 800,
        xml_file: str = "",
        frame_skip: int = 5,
        keyframe: str = "",
        posture: tuple[float, float, float] = (-0.1, 0.35, -0.6),
        action_scale: tuple[float, float, float] = (0.6, 0.6, 0.6),
        fall_height: float = 0.45,
        fall_cost: float = 100.0,
        reset_noise_scale: float = 0.05,
        exclude_current_positions_from_observation: bool = True,
    ) -> None:
        self._fall_height = fall_height
        self._fall_cost = fall_cost
        self._omitted = 2 if exclude_current_positions_from_observation else 0
        self._reward = np.zeros(num_simulations)
        self._fallen = np.zeros(num_simulations, np.bool_)
        super().__init__(
            num_simulations,
            xml_file=self.find_model(xml_file),
            frame_skip=frame_skip,
            max_episode_steps=max_episode_steps,
            reset_noise_scale=reset_noise_scale,
        )
        self.legs = find_legs(self.model)
        self._scale = np.array(action_scale)[self.legs.level]
        self.find_terrain()
        key = self._keyframe(keyframe)
        if key >= 0:
            self._posture = self.model.key_qpos[key].copy()
            self._targets = self.model.key_ctrl[key].copy()
        else:
            self._targets = np.array(posture)[self.legs.level] * self.legs.mirror
            self._posture = self._lowest_posture(self._targets)
        self.action_space = Box(-1.0, 1.0, (self.model.nu,), np.float32)

    def draw_state(
        self, generator: np.random.Generator
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        scale = self._reset_noise_scale
        qpos = self._posture.copy()
        qpos[self.legs.qpos] += generator.uniform(-scale, scale, len(self.legs.qpos))
        return qpos, generator.uniform(-scale, scale, self.model.nv)

    def observe(self) -> NDArray[np.float64]:
        return np.concatenate((self.qpos[:, self._omitted :], self.qvel), axis=1)

    def velocities(self) -> NDArray[np.bool_]:
        positions = self.model.nq - self._omitted
        return np.repeat([False, True], [positions, self.model.nv])

    def apply(self, action: NDArray[Any]) -> None:
        self.ctrl[...] = self._targets + self._scale * action

    def advance(self, ids: Ids | None) -> None:
        # The reward needs every substep; recording them is faster than single steps.
        record = self.batch.rollout(self.frame_skip, record=("qpos", "qvel"), ids=ids)
        x, z = record["qpos"][:, :, 0], record["qpos"][:, :, 2]
        height = z - self.ground(x)
        fallen = np.logical_or.accumulate(height < self._fall_height, axis=1)
        rewards = np.where(fallen, 0.0, record["qvel"][:, :, 0] + (height - 0.5))
        rows = slice(None) if ids is None else ids
        self._fallen[rows] = fallen[:, -1]
        self._reward[rows] = rewards.sum(axis=1) - self._fall_cost * fallen[:, -1]

    def find_model(self, xml_file: str) -> str:
        """Return the model to load for an argument ``xml_file``."""
        return xml_file or self.model_file

    def find_terrain(self) -> None:
        """Read from the model what ``ground`` needs; nothing for flat ground."""

    def ground(self, x: NDArray[np.float64]) -> NDArray[np.float64] | float:
        """Return the height of the ground under a trunk at ``x``, in m; ``x`` has any shape."""
        return 0.0

    def reward(self, action: NDArray[Any]) -> NDArray[np.float64]:
        return self._reward.copy()

    def terminated(self) -> NDArray[np.bool_]:
        return self._fallen.copy()

    def _keyframe(self, name: str) -> int:
        """Return the index of the keyframe to use, -1 for none."""
        known = [self.model.key(i).name for i in range(self.model.nkey)]
        if name and name not in known:
            raise UsageError(
                f"task.kwargs.keyframe: the model has no keyframe {name!r}; "
                f"known: {', '.join(known) or 'none'}"
            )
        wanted = [name] if name else ["stand", "standing", "home"]
        return next((known.index(each) for each in wanted if each in known), -1)

    def _lowest_posture(self, joints: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the lowest qpos with these joint angles and without contacts, to 0.1 mm."""
        data = mujoco.MjData(self.model)
        data.qpos[self.legs.qpos] = joints
        low, high = 0.0, 5.0
        while high - low > 1e-4:
            data.qpos[2] = (low + high) / 2
            mujoco.mj_kinematics(self.model, data)
            mujoco.mj_collision(self.model, data)
            low, high = (data.qpos[2], high) if data.ncon else (low, data.qpos[2])
        data.qpos[2] = high
        qpos: NDArray[np.float64] = data.qpos.copy()
        return qpos


class QuadrupedStep(Quadruped):
    """The quadruped before a step, with the spaces of ``Quadruped``, so that a walker can go on.

    The step is the box named ``step`` of the model. Heights are relative to the ground under the
    trunk, which rises linearly over the distance between fore and hind hips, centred at the edge,
    as the mean ground under the trunk does. With a jump, crossing the edge would count as a fall.
    """

    model_file = "quadruped_step.xml"

    def find_terrain(self) -> None:
        step = mujoco.mj_name2id(self.model, mujoco.mjtObj.mjOBJ_GEOM, "step")
        if step < 0 or self.model.geom_type[step] != mujoco.mjtGeom.mjGEOM_BOX:
            raise UsageError("task.kwargs.xml_file: the model has no box named 'step'")
        position, size = self.model.geom_pos[step], self.model.geom_size[step]
        self._edge = position[0] - size[0]
        self._step_height = position[2] + size[2]

    def ground(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        risen = np.clip((x - self._edge) / self.legs.length + 0.5, 0.0, 1.0)
        height: NDArray[np.float64] = self._step_height * risen
        return height


class AnymalC(Quadruped):
    """ANYmal C on the scene of the public model collection MuJoCo Menagerie, which the user has.

    The keyword arguments are those of ``Quadruped``; ``xml_file`` must be given.
    """

    def find_model(self, xml_file: str) -> str:
        if is_path(xml_file) and os.path.isfile(os.path.expanduser(xml_file)):
            return xml_file
        given = f"no such file: {xml_file}" if xml_file else "needed"
        raise UsageError(
            f"task.kwargs.xml_file: {given}; clone {_MENAGERIE} and give the path of its "
            "anybotics_anymal_c/scene.xml, beginning with / or ./"
        )
