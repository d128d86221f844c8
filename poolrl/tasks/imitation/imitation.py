"""Imitate recorded movement with the body of a rat, or with any other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poolrl.clips.clip import ROOT_POSITIONS
from poolrl.config.types import Aggregate
from poolrl.errors import UsageError
from poolrl.tasks.base import Ids, Info, StepResult
from poolrl.tasks.imitation.base import (
    BODY_AGGREGATES,
    SENSORS,
    TOUCH_SENSORS,
    BodyTask,
    load_body,
    names_of,
)
from poolrl.tasks.imitation.references import load_references
from poolrl.tasks.imitation.rodent import END_EFFECTORS, ROOT_BODY, TRACKED_BODIES
from poolrl.tasks.imitation.rotations import angle_between, rotation_vectors
from poolrl.tasks.mujoco.base import Part, norm, sum_of_squares
from poolrl.tasks.mujoco.model import body_id, require_argument

_SLACK = 1e-9
"""Of the frame of a control step, in frames, so that a frame does not come late by rounding."""

FALLOFFS = (0.05, 0.5, 2.0, 5.0, 0.02)
"""Of the centre of mass in m, the orientation in rad, the joints in rad, their velocities in rad/s
and the end effectors in m."""


class Imitation(BodyTask):
    """Imitate recorded movement, as the virtual rodent does (Aldarondo et al., Nature 632, 2024).

    Each episode follows a clip that is drawn uniformly. In control step k its frame is
    f₀ + ⌊k·fps·Δt⌋, with f₀ = 0 and control steps of Δt. The observation is the proprioception of
    ``BodyTask`` and the target, frames f + 1 to f + horizon: Rᵀ(com_target - com), rotation vectors
    of q⁻¹·q_target, positions and velocities of the joints; and the end effectors of frame f. R and
    q are the orientation of the root body. With errors e of frame f and θ = 2·acos|q_target·q|,

        r = exp(-|e_com|²/0.05²) + exp(-θ²/0.5²) + exp(-Σe_q²/2²) + exp(-Σe_q̇²/5²)
            + mean exp(-|e_app|²/0.02²)
            - control_cost·|ctrl|² - energy_cost·Σ|q̇||force| + alive_bonus,

    where e_app is of Rᵀ(x_end_effector - x_root). An episode terminates where the centre of mass
    is below ``min_torso_z``; else it is truncated where the clip has no further frame,
    f + horizon + 1 ≥ frames; else it terminates where |e_com| > ``max_target_distance``.

    Args:
        num_simulations: number of episodes that are simulated side by side.
        max_episode_steps: time limit in control steps.
        clips: path of a file of clips, as ``poolrl.clips`` reads it.
        xml_file: path of a model with a free root joint; empty for the rat, which the next five
            arguments are about.
        torque_actuators, foot_mods, hip_mods, body_scale, timestep: as for ``rodent_scene``.
        frame_skip: substeps per control step.
        root_body: name of the body whose orientation is the whole body's.
        end_effectors: names of bodies, as many as the clips have appendages, in their order;
            names are separated by commas.
        tracked_bodies: names of the bodies that the clips have positions of, for ``body_errors``.
        sensors, touch_sensors: names of sensors that are observed before and after the pose.
        horizon: frames ahead that are observed.
        target_fps: frames a second of the clips.
        start_frames: f₀ is drawn from so many first frames of the clip.
        speed_range: r: each episode plays its clip by a factor exp(U(-ln r, ln r)) faster, whose
            logarithm is observed too, as the last of the proprioception; 1 for none.
        simplified_target: observe centre of mass and orientation of the target alone.
        max_target_distance: in m.
        min_torso_z: in m.
        spawn_z_offset: raises the root at reset, in m.
        falloffs: as ``FALLOFFS``.
        control_cost: of a squared control of 1.
        energy_cost: of a power of 1 W.
        alive_bonus: of each control step.

    Raises:
        UsageError: an argument is out of range, the body has no part of a name, or the clips are
            not its own.

    Attributes:
        clip: (num_simulations,): index of the clip of each episode.
        frame: (num_simulations,): of the clip, at the current state.
        references: the clips.
        tracked_names: of the tracked bodies.
    """

    info_aggregates: Mapping[str, Aggregate] = MappingProxyType(
        {
            **BODY_AGGREGATES,
            "target_distance": "mean",
            "angle_to_target": "mean",
            "joint_error": "mean",
            "joint_vel_error": "mean",
        }
    )
    goal_sense = "target"

    def __init__(
        self,
        num_simulations: int,
        *,
        max_episode_steps: int = 500,
        clips: str = "",
        xml_file: str = "",
        torque_actuators: bool = True,
        foot_mods: bool = True,
        hip_mods: bool = False,
        body_scale: float = 1.0,
        timestep: float = 0.002,
        frame_skip: int = 5,
        root_body: str = ROOT_BODY,
        end_effectors: str = ",".join(END_EFFECTORS),
        tracked_bodies: str = ",".join(TRACKED_BODIES),
        sensors: str = SENSORS,
        touch_sensors: str = TOUCH_SENSORS,
        horizon: int = 5,
        target_fps: float = 50.0,
        start_frames: int = 1,
        speed_range: float = 1.0,
        simplified_target: bool = False,
        max_target_distance: float = 0.1,
        min_torso_z: float = 0.035,
        spawn_z_offset: float = 0.01,
        falloffs: tuple[float, float, float, float, float] = FALLOFFS,
        control_cost: float = 0.005,
        energy_cost: float = 0.01,
        alive_bonus: float = 0.1,
    ) -> None:
        require_argument("at least 1", "horizon", horizon >= 1)
        require_argument("at least 1", "start_frames", start_frames >= 1)
        require_argument("at least 1", "speed_range", speed_range >= 1)
        require_argument("more than 0", "target_fps", target_fps > 0)
        require_argument("more than 0", "max_target_distance", max_target_distance > 0)
        require_argument("numbers more than 0", "falloffs", min(falloffs) > 0)
        model = load_body(
            xml_file,
            torque_actuators=torque_actuators,
            foot_mods=foot_mods,
            hip_mods=hip_mods,
            body_scale=body_scale,
            timestep=timestep,
        )
        if not clips:
            raise UsageError(
                "task.kwargs.clips: needed; give the path of a file of clips, such as "
                "`poolrl clips synthesize` writes"
            )
        self._effector_names = names_of(end_effectors)
        effectors = [body_id(model, name, "end_effectors") for name in self._effector_names]
        require_argument("names of bodies", "end_effectors", effectors)
        self._effectors = np.array(effectors)
        errors: dict[str, Aggregate] = {f"{name}_error": "mean" for name in self._effector_names}
        self.info_aggregates = {**type(self).info_aggregates, **errors}
        self.tracked_names = names_of(tracked_bodies)
        tracked = [body_id(model, name, "tracked_bodies") for name in self.tracked_names]
        self._tracked = np.array(tracked, np.intp)
        self.references = load_references(
            clips,
            fps=target_fps,
            joints=model.nq - ROOT_POSITIONS,
            appendages=len(effectors),
            horizon=horizon,
        )
        root = body_id(model, root_body, "root_body")
        self.references.require_body(model, root, max_target_distance)
        self.files_sha256 = self.references.sha256
        self._horizon, self._start_frames = horizon, start_frames
        self._log_range = math.log(speed_range)
        self._is_simplified = simplified_target
        self._max_distance = max_target_distance
        self._spawn_z_offset = spawn_z_offset
        self._falloffs = np.square(falloffs)
        self._costs = control_cost, energy_cost, alive_bonus
        self._frames_per_step = target_fps * model.opt.timestep * frame_skip
        n = num_simulations
        self.clip, self.frame, self._first = np.zeros((3, n), np.intp)
        self._log_speed = np.zeros((n, 1))
        self._error, self._limb_error = np.zeros((n, 3)), np.zeros((n, len(effectors)))
        self._angle, self._joint_error, self._velocity_error = np.zeros((3, n))
        self._low, self._over = np.zeros((2, n), np.bool_)
        self._drawn: list[tuple[int, int, float]] = []
        super().__init__(
            num_simulations,
            model=model,
            frame_skip=frame_skip,
            max_episode_steps=max_episode_steps,
            min_torso_z=min_torso_z,
            root_body=root_body,
            sensors=sensors,
            touch_sensors=touch_sensors,
        )

    def further_proprioception(self) -> list[Part]:
        return [(self._log_speed, False)] if self._log_range else []

    def goal(self) -> list[Part]:
        n, ahead, references = self.num_simulations, self._horizon, self.references
        self._ahead = np.arange(ahead + 1)
        self._target_qpos = np.empty((n, ahead + 1, references.qpos.shape[1]))
        self._target_qvel = np.empty((n, ahead + 1, references.qvel.shape[1]))
        self._target_center = np.empty((n, ahead + 1, 3))
        self._target_limbs = np.empty((n, *references.appendages.shape[1:]))
        joints = self._target_qpos.shape[2] - ROOT_POSITIONS
        self._centers, self._rotations = np.empty((2, n, ahead, 3))
        self._joints, self._joint_velocities = np.empty((2, n, ahead, joints))
        pose = [self._centers, self._rotations]
        if not self._is_simplified:
            pose += [self._joints, self._joint_velocities, self._target_limbs]
        return [(part.reshape(n, -1), False) for part in pose]

    def observation_parts(self) -> dict[str, slice]:
        """Return the columns of each part of the observation, by the names that the recordings of
        the virtual rodent have; ``root_quat`` are rotation vectors there too."""
        own = self.proprioception_names() + ["target_speed"] * len(self.further_proprioception())
        target = ["com", "root_quat", "joints", "joint_vels", "appendages"]
        names = [f"proprioception/{name}" for name in own]
        names += [f"imitation_target/{name}" for name in target[: 2 if self._is_simplified else 5]]
        ends = np.cumsum(self._part_sizes).tolist()
        parts = zip(names, [0, *ends[:-1]], ends, strict=True)
        return {name: slice(start, end) for name, start, end in parts}

    def refresh(self) -> None:
        references = self.references
        rows = references.starts[self.clip]
        last = references.lengths[self.clip] - 1
        # After the end of a clip, in a step that ends the episode, its last frame is the target.
        frames = np.minimum(self.frame[:, None] + self._ahead, last[:, None]) + rows[:, None]
        references.qpos.take(frames, axis=0, out=self._target_qpos, mode="clip")
        references.qvel.take(frames, axis=0, out=self._target_qvel, mode="clip")
        references.center_of_mass.take(frames, axis=0, out=self._target_center, mode="clip")
        references.appendages.take(frames[:, 0], axis=0, out=self._target_limbs, mode="clip")
        # Products with R from the right are those of its transpose from the left.
        centers = self._target_center[:, 1:] - self.center_of_mass[:, None]
        np.matmul(centers, self.rotation, out=self._centers)
        targets = self._target_qpos[:, 1:, 3:ROOT_POSITIONS]
        self._rotations[...] = rotation_vectors(self.quaternion[:, None], targets)
        self._joints[...] = self._target_qpos[:, 1:, ROOT_POSITIONS:]
        self._joint_velocities[...] = self._target_qvel[:, 1:, ROOT_POSITIONS - 1 :]

    def draw_state(
        self, generator: np.random.Generator
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        lengths = self.references.lengths
        clip = int(generator.integers(len(lengths)))
        starts = min(self._start_frames, int(lengths[clip]) - self._horizon - 1)
        frame = int(generator.integers(starts)) if starts > 1 else 0
        limit = self._log_range
        self._drawn.append((clip, frame, generator.uniform(-limit, limit) if limit else 0.0))
        qpos, qvel = self._states(self.references.starts[clip] + np.array([frame]))
        return qpos[0], qvel[0]

    def reset(self, ids: Ids, generators: Sequence[np.random.Generator]) -> None:
        self._drawn.clear()
        super().reset(ids, generators)
        if len(ids):
            clips, frames, speeds = zip(*self._drawn, strict=True)
            self._follow(ids, np.array(clips), np.array(frames))
            self._log_speed[ids, 0] = speeds

    def begin(self, ids: Ids, clips: NDArray[np.intp], frames: NDArray[np.intp]) -> None:
        """Start episodes at given frames, at the clips' own speed, without random numbers.

        So an evaluation plays every clip once, or goes on with a whole session after a fall.

        Args:
            ids: (n,): which simulations.
            clips: (n,): indices of clips.
            frames: (n,): of these clips, each at least ``horizon`` + 2 before their end.

        Raises:
            ValueError: there is no such clip or frame.
        """
        lengths = self.references.lengths
        if not ((clips >= 0) & (clips < len(lengths))).all():
            raise ValueError(f"clips: expected 0 to {len(lengths) - 1}")
        if not ((frames >= 0) & (frames + self._horizon + 1 < lengths[clips])).all():
            raise ValueError(f"frames: expected at least {self._horizon + 2} before the end")
        self.set_state(ids, *self._states(self.references.starts[clips] + frames))
        self._follow(ids, clips, frames)
        self._log_speed[ids] = 0.0

    def steps_to_end(self) -> NDArray[np.intp]:
        """Return the control step, (clips,), in which each clip has no further frame, where it is
        played from its first one at its own speed."""
        frames = self.references.lengths - self._horizon - 1
        steps: NDArray[np.float64] = np.ceil((frames - _SLACK) / self._frames_per_step)
        return steps.astype(np.intp)

    def _states(self, rows: NDArray[np.intp]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the (qpos, qvel) of frames, (n, nq) and (n, nv), with the root raised."""
        qpos = self.references.qpos[rows]
        qpos[:, 2] += self._spawn_z_offset
        return qpos, self.references.qvel[rows]

    def _follow(self, ids: Ids, clips: NDArray[np.intp], frames: NDArray[np.intp]) -> None:
        self.clip[ids], self.frame[ids], self._first[ids] = clips, frames, frames

    def advance(self, ids: Ids | None) -> None:
        super().advance(ids)
        played = self.steps * (self._frames_per_step * np.exp(self._log_speed[:, 0]))
        self.frame[...] = self._first + np.floor(played + _SLACK).astype(np.intp)

    def step(self, action: NDArray[Any], ids: Ids | None = None) -> StepResult:
        result = super().step(action, ids)
        return result._replace(truncated=result.truncated | (self._over & ~self._low))

    def reward(self, action: NDArray[Any]) -> NDArray[np.float64]:
        target, center = self._target_qpos[:, 0], self._target_center[:, 0]
        self._error = center - self.center_of_mass
        self._angle = angle_between(self.quaternion, target[:, 3:ROOT_POSITIONS])
        self._joint_error = sum_of_squares(
            target[:, ROOT_POSITIONS:] - self.qpos[:, ROOT_POSITIONS:]
        )
        velocities = self._target_qvel[:, 0, ROOT_POSITIONS - 1 :]
        self._velocity_error = sum_of_squares(velocities - self._joint_velocity)
        arms = self._positions[:, self._effectors] - self.position[:, None]
        limbs = self._target_limbs - np.matmul(arms, self.rotation)
        self._limb_error = np.vecdot(limbs, limbs)
        com, rotation, joint, joint_vel, appendages = self._falloffs
        control_cost, energy_cost, alive_bonus = self._costs
        near = np.exp(-self._limb_error / appendages)
        terms = {
            "com_reward": np.exp(-sum_of_squares(self._error) / com),
            "angle_reward": np.exp(-np.square(self._angle) / rotation),
            "joint_reward": np.exp(-self._joint_error / joint),
            "joint_vel_reward": np.exp(-self._velocity_error / joint_vel),
            "append_reward": np.add.reduce(near, axis=1) / near.shape[1],
            "ctrl_penalty": -control_cost * self.control_cost(),
            "energy_penalty": -energy_cost * self.energy_use(),
            "alive_bonus": np.full(self.num_simulations, alive_bonus),
        }
        return self.total(terms)

    def terminated(self) -> NDArray[np.bool_]:
        self._low = super().terminated()
        self._over = self.frame + self._horizon + 1 >= self.references.lengths[self.clip]
        return self._low | ((norm(self._error) > self._max_distance) & ~self._over)

    def info(self) -> Info:
        error = self._error
        start = self.references.center_of_mass[self.references.starts[self.clip] + self._first]
        limbs = np.sqrt(self._limb_error)
        return {
            **self.body_info(),
            "clip": self.clip.astype(np.float64),
            "target_frame": self.frame.astype(np.float64),
            **{f"target_vec_{axis}": error[:, i].copy() for i, axis in enumerate("xyz")},
            "target_distance": norm(error),
            "angle_to_target": np.rad2deg(self._angle),
            "distance_from_spawnpoint": norm(start - self.center_of_mass),
            "joint_error": np.sqrt(self._joint_error),
            "joint_vel_error": np.sqrt(self._velocity_error),
            **{f"{name}_error": limbs[:, i].copy() for i, name in enumerate(self._effector_names)},
        }

    def reference_qpos(self) -> NDArray[np.float64]:
        return self.references.qpos[self._row()]

    def _row(self) -> NDArray[np.intp]:
        """Return the row of the references that each simulation is at, (num_simulations,)."""
        last = self.references.lengths[self.clip] - 1
        return self.references.starts[self.clip] + np.minimum(self.frame, last)

    def body_errors(self) -> NDArray[np.float64]:
        """Return the distances of the tracked bodies from where the clip has them, in m,
        (num_simulations, tracked bodies).

        Raises:
            UsageError: the clips have another number of tracked bodies.
        """
        error = self._positions[:, self._tracked] - self._tracked_positions[self._row()]
        distance: NDArray[np.float64] = np.sqrt(np.vecdot(error, error))
        return distance

    @cached_property
    def _tracked_positions(self) -> NDArray[np.float64]:
        return self.references.tracked_positions(len(self._tracked))
