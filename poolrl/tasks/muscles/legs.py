"""Stand and walk on two legs of muscles."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import mujoco
import numpy as np
from numpy.typing import NDArray

from poolrl.config.types import Aggregate
from poolrl.errors import UsageError
from poolrl.tasks.base import Ids, Info
from poolrl.tasks.mujoco.base import Part, norm
from poolrl.tasks.muscles.base import MuscleTask
from poolrl.tasks.muscles.excitation import FATIGUE_RATES
from poolrl.tasks.muscles.models import load_body

VELOCITY_TOLERANCE = 0.5
"""Largest error of the velocity of a success, in m/s; MyoSuite's."""

_HIP_AMPLITUDES = np.array([-0.8, 0.8])
"""Of the flexion of the left and the right hip in a walk, in rad."""

_FALL_COST = 100.0
_ROTATION_WEIGHT, _JOINT_WEIGHT = 10.0, 5.0


class Legs(MuscleTask):
    """Keep a velocity on two legs of 80 muscles, myo-sim's, that carry a passive torso.

    Rewards and ends are those of MyoSuite's ``myoLegWalk-v0``:

        r = 5·vel - hip_weight·cyclic_hip + 10·ref_rot + 5·joint_angle - 100·fallen,

    with u the velocity of the body in m/s, positive in the direction (-x, -y) of MyoSuite;
    vel = exp(-(v_y - u_y)²) + exp(-(v_x - u_x)²) for the target (v_x, v_y); cyclic_hip the distance
    of the hips' flexion from 0.8 rad times (cos(φ + π), cos φ), left and right, with one turn of
    the phase φ in ``hip_period`` control steps; ref_rot = exp(-5‖q - q₀‖) of the root's quaternion;
    joint_angle = exp(-5·mean|hip adduction and rotation|). The legs face -y. An episode ends with
    a fall: the centre of mass is below ``min_height``, or the legs face x or -x by more than
    ``max_rotation``, the share of that axis. MyoSuite's model turns its root, so that there the
    condition is about another axis of the root; that of myo-sim would be true at reset.

    Episodes begin standing: joints within ``reset_noise_scale`` of 0, or where equalities want
    them, and the feet on the ground. The observation is that of ``MuscleTask`` without x and y,
    then u (2), the torso's quaternion (4), heights of the left and right ankle and of the centre of
    mass, positions of the ankles from the pelvis (6), in m, and, where hips are paid, cosine and
    sine of φ.

    Args:
        num_simulations: number of episodes that are simulated side by side.
        max_episode_steps: time limit in control steps.
        frame_skip: substeps per control step, of 2 ms each.
        target_velocity: (v_x, v_y) in m/s, positive in the direction that the legs face.
        hip_weight: cost of hips that are 1 rad off.
        hip_period: control steps of a cycle of the hips.
        min_height: in m.
        max_rotation: in 0 to 1.
        effort_weight: cost of an effort of 1, of all muscles fully active.
        options: of ``MuscleTask``.
    """

    info_aggregates: Mapping[str, Aggregate] = MappingProxyType(
        {
            "success": "mean",
            "effort": "mean",
            "fatigue": "last",
            "distance": "last",
            "height": "mean",
            "fallen": "last",
            "velocity": "mean",
        }
    )
    body: ClassVar[str] = "myolegs"

    def __init__(
        self,
        num_simulations: int,
        *,
        target_velocity: tuple[float, float],
        hip_weight: float,
        hip_period: int,
        min_height: float,
        max_rotation: float,
        effort_weight: float,
        **options: Any,
    ) -> None:
        if hip_period < 1:
            raise UsageError(f"task.kwargs.hip_period: expected at least 1, got {hip_period}")
        self._target_velocity = np.array(target_velocity)
        self._hip_weight, self._hip_period = hip_weight, hip_period
        self._min_height, self._max_rotation = min_height, max_rotation
        self._effort_weight = effort_weight
        model = load_body(self.body, level=True)
        self._steps = np.zeros(num_simulations)
        self._start_y = np.zeros(num_simulations)
        self._error = np.zeros((num_simulations, 2))
        self._terms: Info = {}
        self._fallen = np.zeros(num_simulations, np.bool_)
        super().__init__(num_simulations, model=model, **options)
        # The standing posture that later versions of myo-sim have as a keyframe.
        self._standing = self.postures.complete(model.qpos0.copy())
        self._rest_quaternion = self._standing[3:7].copy()
        self._feet = _Ground(model)

    def observed(self) -> list[Part]:
        n, model = self.num_simulations, self.model
        (_, _), (_, _), *muscles = super().observed()
        self._bind_bodies()
        address = model.jnt_qposadr
        flexion = [address[model.joint(f"hip_flexion_{side}").id] for side in "lr"]
        others = [f"hip_{axis}_{side}" for axis in ("adduction", "rotation") for side in "lr"]
        self._flexion = np.array(flexion)
        self._hips = np.array([address[model.joint(name).id] for name in others])
        self._body_velocity, self._phase = np.zeros((2, n, 2))
        self._from_pelvis = np.zeros((n, 2, 3))
        parts: list[Part] = [
            (self.qpos[:, 2:], False),
            (self.qvel, True),
            *muscles,
            (self._body_velocity, True),
            (self._torso, False),
            *((ankle[:, 2:], False) for ankle in self._ankles),
            (self._centre[:, 2:], False),
            (self._from_pelvis.reshape(n, 6), False),
        ]
        return [*parts, (self._phase, False)] if self._hip_weight else parts

    def _bind_bodies(self) -> None:
        model, batch = self.model, self.batch
        root = int(model.jnt_bodyid[model.joint("root").id])
        # The velocity in the direction of -x and -y is a mean over bodies.
        self._weights = -model.body_mass / model.body_mass.sum()
        self._velocities = batch.bind("cvel")[:, :, 3:5].transpose(0, 2, 1)
        self._centre: NDArray[np.float64] = batch.bind("subtree_com")[:, root]
        self._torso: NDArray[np.float64] = batch.bind("xquat")[:, model.body("torso").id]
        positions = batch.bind("xpos")
        self._pelvis = positions[:, model.body("pelvis").id]
        self._ankles = [positions[:, model.body(f"talus_{side}").id] for side in "lr"]

    def refresh(self) -> None:
        super().refresh()
        # Row by row, so that bits do not depend on how many there are.
        np.vecdot(self._velocities, self._weights, out=self._body_velocity)
        for side, ankle in enumerate(self._ankles):
            np.subtract(ankle, self._pelvis, out=self._from_pelvis[:, side])
        if self._hip_weight:
            phase = (2 * np.pi / self._hip_period) * (self._steps % self._hip_period)
            np.cos(phase, out=self._phase[:, 0])
            np.sin(phase, out=self._phase[:, 1])

    def draw_state(
        self, generator: np.random.Generator
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        qpos = self.postures.near(self._standing, self._reset_noise_scale, generator)
        qpos[2] -= self._feet.height(qpos)
        return qpos, np.zeros(self.model.nv)

    def set_state(self, ids: Ids, qpos: NDArray[np.float64], qvel: NDArray[np.float64]) -> None:
        super().set_state(ids, qpos, qvel)
        self._steps[ids] = 0
        self._start_y[ids] = self.qpos[ids, 1]

    def advance(self, ids: Ids | None) -> None:
        super().advance(ids)
        if ids is None:
            self._steps += 1
        else:
            self._steps[ids] += 1

    def reward(self, action: NDArray[Any]) -> NDArray[np.float64]:
        root = self.qpos[:, 3:7]
        # Of the axis that faces -y at reset, the share along x.
        sideways = np.abs(root[:, 1] * root[:, 2] - root[:, 0] * root[:, 3])
        self._fallen = (self._centre[:, 2] < self._min_height) | (2 * sideways > self._max_rotation)
        self._error = self._target_velocity - self._body_velocity
        off = np.abs(self.qpos[:, self._hips])
        terms = self._terms = {
            "vel_reward": np.add.reduce(np.exp(-np.square(self._error)), axis=1),
            "cyclic_hip": self._cyclic_hip(),
            "ref_rot": np.exp(-5.0 * norm(root - self._rest_quaternion)),
            "joint_angle_rew": np.exp(-1.25 * np.add.reduce(off, axis=1)),
        }
        reward: NDArray[np.float64] = (
            5.0 * terms["vel_reward"]
            - self._hip_weight * terms["cyclic_hip"]
            + _ROTATION_WEIGHT * terms["ref_rot"]
            + _JOINT_WEIGHT * terms["joint_angle_rew"]
            - _FALL_COST * self._fallen
        )
        return self.less_effort(reward, self._effort_weight)

    def _cyclic_hip(self) -> NDArray[np.float64]:
        if not self._hip_weight:
            return np.zeros(self.num_simulations)
        return norm(_HIP_AMPLITUDES * self._phase[:, :1] - self.qpos[:, self._flexion])

    def terminated(self) -> NDArray[np.bool_]:
        return self._fallen

    def reward_terms(self) -> Info:
        success = ~self._fallen & (norm(self._error) < VELOCITY_TOLERANCE)
        return {
            **self._terms,
            "fallen": self._fallen.astype(np.float64),
            "success": success.astype(np.float64),
            "velocity": self._body_velocity[:, 1].copy(),
            "height": self._centre[:, 2].copy(),
            "distance": self._start_y - self.qpos[:, 1],
            **super().reward_terms(),
        }


class LegsWalk(Legs):
    """Walk at 1.2 m/s on two legs of 80 muscles of myo-sim.

    Rewards, ends and observations are those of ``Legs``; a control step takes 0.01 s.
    """

    def __init__(
        self,
        num_simulations: int,
        *,
        max_episode_steps: int = 1000,
        frame_skip: int = 5,
        target_velocity: tuple[float, float] = (0.0, 1.2),
        hip_weight: float = 10.0,
        hip_period: int = 100,
        min_height: float = 0.8,
        max_rotation: float = 0.8,
        effort_weight: float = 0.0,
        reset_noise_scale: float = 0.02,
        excitation: str = "direct",
        force_scale: float = 1.0,
        noise: tuple[float, float] = (0.0, 0.0),
        fatigue: bool = False,
        fatigue_rates: tuple[float, float, float] = FATIGUE_RATES,
        initial_fatigue: float = 0.0,
    ) -> None:
        super().__init__(
            num_simulations,
            max_episode_steps=max_episode_steps,
            frame_skip=frame_skip,
            target_velocity=target_velocity,
            hip_weight=hip_weight,
            hip_period=hip_period,
            min_height=min_height,
            max_rotation=max_rotation,
            effort_weight=effort_weight,
            reset_noise_scale=reset_noise_scale,
            excitation=excitation,
            force_scale=force_scale,
            noise=noise,
            fatigue=fatigue,
            fatigue_rates=fatigue_rates,
            initial_fatigue=initial_fatigue,
        )


class LegsStand(Legs):
    """Stand still on two legs of 80 muscles of myo-sim.

    Rewards, ends and observations are those of ``Legs``, for a velocity of 0 and without a
    reward for the hips' cycle; a control step takes 0.01 s.
    """

    def __init__(
        self,
        num_simulations: int,
        *,
        max_episode_steps: int = 1000,
        frame_skip: int = 5,
        min_height: float = 0.8,
        max_rotation: float = 0.8,
        effort_weight: float = 0.0,
        reset_noise_scale: float = 0.02,
        excitation: str = "direct",
        force_scale: float = 1.0,
        noise: tuple[float, float] = (0.0, 0.0),
        fatigue: bool = False,
        fatigue_rates: tuple[float, float, float] = FATIGUE_RATES,
        initial_fatigue: float = 0.0,
    ) -> None:
        super().__init__(
            num_simulations,
            max_episode_steps=max_episode_steps,
            frame_skip=frame_skip,
            target_velocity=(0.0, 0.0),
            hip_weight=0.0,
            hip_period=100,
            min_height=min_height,
            max_rotation=max_rotation,
            effort_weight=effort_weight,
            reset_noise_scale=reset_noise_scale,
            excitation=excitation,
            force_scale=force_scale,
            noise=noise,
            fatigue=fatigue,
            fatigue_rates=fatigue_rates,
            initial_fatigue=initial_fatigue,
        )


class _Ground:
    """Height of a model's lowest part over its floor, the plane ``floor``."""

    def __init__(self, model: mujoco.MjModel) -> None:
        self._model, self._data = model, mujoco.MjData(model)
        self._floor = model.geom("floor").id
        collides = (model.geom_contype & model.geom_conaffinity[self._floor]) != 0
        collides[self._floor] = False
        # Fixed geoms are no part of the body.
        self._parts = np.flatnonzero(collides & (model.body_weldid[model.geom_bodyid] != 0))

    def height(self, qpos: NDArray[np.float64]) -> float:
        """Return the height in m at a posture, (nq,)."""
        self._data.qpos[:] = qpos
        mujoco.mj_kinematics(self._model, self._data)
        model, data, floor = self._model, self._data, self._floor
        distances = [mujoco.mj_geomDistance(model, data, floor, i, 10.0, None) for i in self._parts]
        return float(min(distances))
