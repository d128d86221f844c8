"""Bodies that imitate, for tests: clips of them, and a task computed one number at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest

from poolrl import tasks
from poolrl.agent import Agent
from poolrl.algorithms.training import initial_agent
from poolrl.clips import Clip, write_clips
from poolrl.clips.preprocess import Body, make_clip
from poolrl.clips.recordings import Recording
from poolrl.config.loading import load
from poolrl.seeding import Streams
from poolrl.tasks.imitation.rodent import END_EFFECTORS, ROOT_BODY, TRACKED_BODIES, load_rodent

needs_dm = pytest.mark.skipif(
    find_spec("dm_control") is None or find_spec("h5py") is None,
    reason="needs poolrl[dm] and poolrl[clips]",
)

needs_h5py = pytest.mark.skipif(find_spec("h5py") is None, reason="needs poolrl[clips]")

RODENTS = ("RodentImitation-v0", "RodentJoystick-v0", "RodentMoveToTarget-v0", "RodentRun-v0")
"""Tasks with the rat; the first needs clips."""

FPS = 50.0


def record(body: Body, frames: int, seed: int, name: str) -> Clip:
    """A clip of a body whose controls are slow sines."""
    model, random = body.model, np.random.default_rng(seed)
    data = mujoco.MjData(model)
    limits = ((0, 0.2), (1, 8), (0, 6))
    size, rate, phase = (random.uniform(*limit, model.nu) for limit in limits)
    substeps = round(1 / (FPS * model.opt.timestep))
    qpos = np.empty((frames, model.nq))
    for k in range(-25, frames):  # it settles before
        for _ in range(substeps):
            data.ctrl[:] = size * np.sin(rate * data.time + phase)
            mujoco.mj_step(model, data)
        if k >= 0:
            qpos[k] = data.qpos
    return make_clip(Recording(name, "Sway", FPS, qpos), body)


def driven_by_positions() -> Body:
    """The rat whose actuators are driven as positions, which does not fall at once."""
    model = load_rodent(torque_actuators=False)
    return Body(model, ROOT_BODY, END_EFFECTORS, TRACKED_BODIES)


def write_rat_clips(path: Path, lengths: tuple[int, ...] = (60, 40, 16)) -> str:
    """Write a file of clips of the position-controlled rat; return its path."""
    body = driven_by_positions()
    write_clips(path, [record(body, n, i, f"clip_{i}") for i, n in enumerate(lengths)])
    return str(path)


WORM = """<mujoco>
<option timestep="0.005"/>
<worldbody><geom type="plane" size="2 2 .1"/>
<body name="trunk" pos="0 0 .06"><freejoint/>
<geom type="capsule" size=".05" fromto="-.1 0 0 .1 0 0"/><site name="middle"/>
<body name="tail" pos="-.15 0 0"><joint name="bend" axis="0 0 1" range="-60 60" damping=".1"/>
<geom type="capsule" size=".04" fromto="0 0 0 -.15 0 0"/></body>
<body name="head" pos=".15 0 0"><joint name="nod" axis="0 1 0" range="-60 60" damping=".1"/>
<geom type="capsule" size=".04" fromto="0 0 0 .15 0 0"/><site name="nose" pos=".15 0 0" size=".06"/>
</body></body></worldbody>
<actuator><position joint="bend" kp="2" ctrlrange="-1 1"/><motor joint="nod" ctrlrange="-.2 .1"/>
</actuator><sensor><gyro name="turn" site="middle"/><touch name="nose" site="nose"/></sensor>
</mujoco>"""
"""A body of a user's own: two joints, of which one is driven by a motor, without activations."""


def write_worm(folder: Path, *lengths: int) -> dict[str, Any]:
    """Write ``WORM`` and clips of it, one unless said; return the arguments of a task."""
    model = mujoco.MjModel.from_xml_string(WORM)
    body = Body(model, "trunk", ("tail", "head"), ("trunk", "head"))
    clips = [record(body, n, i, f"clip_{i}") for i, n in enumerate(lengths or (30,))]
    write_clips(folder / "worm.h5", clips)
    (folder / "worm.xml").write_text(WORM)
    return {
        "xml_file": str(folder / "worm.xml"),
        "clips": str(folder / "worm.h5"),
        "root_body": "trunk",
        "end_effectors": "tail,head",
        "tracked_bodies": "trunk, head",
        "sensors": "turn",
        "touch_sensors": "nose",
        "frame_skip": 2,
        "min_torso_z": 0.0,
    }


def proprioception(data: mujoco.MjData) -> list[float]:
    """The rat's, number by number."""
    torso = data.body("torso")
    result = [*data.qpos[7:], *data.qvel[6:], *data.act]
    for name in ("velocimeter", "accelerometer", "gyro", "torso"):
        result += list(data.sensor(name).data)
    result += [*torso.xmat, *torso.subtree_com]
    for name in ("palm_L", "palm_R", "sole_L", "sole_R"):
        result += list(data.sensor(name).data)
    return result


@dataclass
class PlainImitation:
    """An episode of imitation, computed from ``MjData`` by the published formulas, number by
    number. Frames count from 0."""

    model: mujoco.MjModel
    clip: Clip
    frame: int = 0
    speed: float = 1.0
    horizon: int = 5
    energy_cost: float = 0.01
    data: Any = field(init=False)
    steps: int = 0

    def __post_init__(self) -> None:
        self.first = self.frame
        self.data = mujoco.MjData(self.model)
        self.data.qpos[:] = self.clip.qpos[self.frame]
        self.data.qpos[2] += 0.01
        self.data.qvel[:] = self.clip.qvel[self.frame]
        mujoco.mj_forward(self.model, self.data)

    def step(self, action: np.ndarray) -> None:
        for i in range(self.model.nu):
            self.data.ctrl[i] = min(max(float(action[i]), -1.0), 1.0)
        for _ in range(5):
            mujoco.mj_step(self.model, self.data)
        self.steps += 1
        fps = self.speed * self.clip.fps
        self.frame = self.first + math.floor(self.steps * fps / 100 + 1e-9)

    def _in_torso(self, vector: np.ndarray) -> list[float]:
        result = np.zeros(3)
        mujoco.mju_mulMatTVec3(result, self.data.body("torso").xmat, vector)
        return list(result)

    def observation(self) -> list[float]:
        clip, result = self.clip, proprioception(self.data)
        torso = self.data.body("torso")
        if self.speed != 1.0:
            result.append(math.log(self.speed * clip.fps / 50.0))
        last = clip.num_frames - 1
        ahead = [min(self.frame + k, last) for k in range(1, self.horizon + 1)]
        for k in ahead:
            result += self._in_torso(clip.center_of_mass[k] - torso.subtree_com)
        for k in ahead:
            vector = np.zeros(3)
            mujoco.mju_subQuat(vector, clip.quaternion[k], torso.xquat)
            result += list(vector)
        for k in ahead:
            result += list(clip.joints[k])
        for k in ahead:
            result += list(clip.joints_velocity[k])
        return result + list(clip.appendages[min(self.frame, last)])

    def rewards(self) -> dict[str, float]:
        data, clip, k = self.data, self.clip, min(self.frame, self.clip.num_frames - 1)
        torso = data.body("torso")
        dot = abs(sum(a * b for a, b in zip(torso.xquat, clip.quaternion[k], strict=True)))
        angle = 2 * math.acos(min(dot, 1.0))
        com = sum(
            (a - b) ** 2 for a, b in zip(clip.center_of_mass[k], torso.subtree_com, strict=True)
        )
        joints = sum((a - b) ** 2 for a, b in zip(clip.joints[k], data.qpos[7:], strict=True))
        speeds = zip(clip.joints_velocity[k], data.qvel[6:], strict=True)
        velocities = sum((a - b) ** 2 for a, b in speeds)
        limbs = []
        for i, name in enumerate(("lower_arm_R", "lower_arm_L", "foot_R", "foot_L", "skull")):
            own = self._in_torso(data.body(name).xpos - torso.xpos)
            goal = clip.appendages[k, 3 * i : 3 * i + 3]
            limbs.append(
                math.exp(-sum((a - b) ** 2 for a, b in zip(goal, own, strict=True)) / 0.02**2)
            )
        power = sum(
            abs(v) * abs(f) for v, f in zip(data.qvel[6:], data.qfrc_actuator[6:], strict=True)
        )
        return {
            "com_reward": math.exp(-com / 0.05**2),
            "angle_reward": math.exp(-(angle**2) / 0.5**2),
            "joint_reward": math.exp(-joints / 2.0**2),
            "joint_vel_reward": math.exp(-velocities / 5.0**2),
            "append_reward": sum(limbs) / 5,
            "ctrl_penalty": -0.005 * sum(u**2 for u in data.ctrl),
            "energy_penalty": -self.energy_cost * power,
            "alive_bonus": 0.1,
        }

    def status(self) -> str:
        center = self.data.body("torso").subtree_com
        if center[2] < 0.035:
            return "terminated"
        if self.frame + self.horizon + 1 >= self.clip.num_frames:
            return "truncated"
        if math.dist(center, self.clip.center_of_mass[self.frame]) > 0.1:
            return "terminated"
        return "running"


IMITATING: dict[str, Any] = {
    "task.id": "RodentImitation-v0",
    "network.name": "encoder_decoder",
    "network.encoder_senses": ["target"],
    "network.encoder": [6],
    "network.latent_size": 3,
    "network.decoder": [5],
    "network.critic": [4],
    "learner.penalties": {"kl": 0.1},
}
"""Keys of a configuration with a small encoder and decoder; ``task.kwargs`` have the clips."""


def imitating_agent(kwargs: dict[str, Any], **keys: Any) -> Agent:
    """An agent of an encoder and a decoder with random parameters.

    Args:
        kwargs: of its task, with clips.
        keys: of the configuration, with ``__`` for the dots.
    """
    own = IMITATING | {"task.kwargs": kwargs}
    spec, _ = load(None, own | {key.replace("__", "."): value for key, value in keys.items()})
    with tasks.closing(tasks.make(spec.task, 1), spec.task) as task:
        made = initial_agent(spec, task, Streams(0))
    random = np.random.default_rng(2)
    arrays = {
        name: (array + random.normal(0, 0.3, array.shape)).astype(array.dtype)
        if name.startswith(("actor.", "critic."))
        else array
        for name, array in made.arrays.items()
    }
    return Agent(arrays, made.metadata)
