"""Stand and walk with legs: the start, the ends, and rewards against a loop of ``mj_step``."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
import pytest

from poolrl.tasks.muscles.legs import Legs
from tests.helpers.muscles import actions, needs_bodies, started

pytestmark = needs_bodies

WALK, STAND = "MuscleLegsWalk-v0", "MuscleLegsStand-v0"


def legs(task_id: str = WALK, n: int = 3, seed: int = 0, **kwargs: Any) -> Legs:
    task = started(task_id, n, seed, **kwargs)
    assert isinstance(task, Legs)
    return task


def test_it_starts_upright_with_its_feet_on_the_ground() -> None:
    task = legs(n=6)
    assert task.dt == pytest.approx(0.01)
    model = task.model
    for i in range(6):
        data = mujoco.MjData(model)
        data.qpos[:] = task.qpos[i]
        mujoco.mj_forward(model, data)
        assert data.contact.dist.min() == pytest.approx(0, abs=1e-3)
        touching = {model.body(model.geom_bodyid[g]).name for g in data.contact.geom.ravel()}
        assert touching <= {"world", "calcn_l", "calcn_r", "toes_l", "toes_r"}
        centre = data.subtree_com[1]
        assert centre[2] > 0.9
        # Between heels and toes, which point to -y.
        toes, heels = data.body("toes_l").xpos[1], data.body("calcn_l").xpos[1]
        assert toes < centre[1] - 0.05
        assert centre[1] < heels + 0.06
    # At least the fall of a body that nothing holds up.
    for _ in range(20):
        assert not task.step(np.zeros((6, 80))).terminated.any()
    assert len({row.tobytes() for row in task.qpos}) == 6


def test_the_floor_does_not_end() -> None:
    """myo-sim's scene has a podium of 1 m radius."""
    task = legs(n=1, reset_noise_scale=0.0)
    qpos = task.qpos.copy()
    qpos[0, 1] -= 5.0
    task.move(qpos, np.zeros((1, task.model.nv)))
    height = task.info()["height"][0]
    for _ in range(5):
        task.step(np.full((1, 80), 0.1))
    assert task.info()["height"][0] == pytest.approx(height, abs=0.02)


def plain_terms(model: mujoco.MjModel, data: Any, step: int, target: tuple[float, float]) -> Any:
    """The terms of a walk, from the fields of one ``MjData``."""
    u = np.zeros(6)
    centre = np.zeros(3)
    for body in range(model.nbody):
        u -= model.body_mass[body] * data.cvel[body] / model.body_mass.sum()
        centre += model.body_mass[body] * data.xipos[body] / model.body_mass.sum()
    angle = {name: float(data.joint(name).qpos[0]) for name in HIPS}
    phase = 2 * np.pi * (step % 100) / 100
    left = 0.8 * np.cos(phase + np.pi) - angle["hip_flexion_l"]
    right = 0.8 * np.cos(phase) - angle["hip_flexion_r"]
    off = [abs(value) for name, value in angle.items() if "flexion" not in name]
    rotation = np.zeros(9)
    mujoco.mju_quat2Mat(rotation, data.qpos[3:7])
    forward = rotation.reshape(3, 3) @ [0, -1, 0]
    fallen = centre[2] < 0.8 or abs(forward[0]) > 0.8
    velocity = np.exp(-((target[1] - u[4]) ** 2)) + np.exp(-((target[0] - u[3]) ** 2))
    return {
        "vel_reward": velocity,
        "cyclic_hip": np.hypot(left, right),
        "ref_rot": np.exp(-np.linalg.norm(5 * (data.qpos[3:7] - [1, 0, 0, 0]))),
        "joint_angle_rew": np.exp(-5 * np.mean(off)),
        "fallen": float(fallen),
        "success": float(not fallen and np.hypot(target[0] - u[3], target[1] - u[4]) < 0.5),
        "velocity": u[4],
        "height": centre[2],
        "effort": np.mean(data.act**2),
    }


HIPS = [f"hip_{axis}_{side}" for axis in ("flexion", "adduction", "rotation") for side in "lr"]


@pytest.mark.parametrize("task_id", [WALK, STAND])
def test_rewards_are_those_of_a_plain_loop(task_id: str) -> None:
    task = legs(task_id, effort_weight=2.0)
    model = task.model
    data = mujoco.MjData(model)
    data.qpos[:] = task.qpos[1]
    mujoco.mj_forward(model, data)
    start = float(data.qpos[1])
    walks = task_id == WALK
    ended = False
    for k in range(90):
        action = actions(task, k) * 0.6
        result = task.step(action)
        data.ctrl[:] = action[1]
        for _ in range(5):
            mujoco.mj_step(model, data)
        mujoco.mj_forward(model, data)
        assert np.array_equal(task.qpos[1], data.qpos)
        terms = plain_terms(model, data, k + 1, (0.0, 1.2) if walks else (0.0, 0.0))
        info = task.info()
        terms["cyclic_hip"] *= walks
        for name, value in terms.items():
            assert info[name][1] == pytest.approx(value, abs=1e-9), name
        assert info["distance"][1] == pytest.approx(start - data.qpos[1])
        reward = 5 * terms["vel_reward"] + 10 * terms["ref_rot"] + 5 * terms["joint_angle_rew"]
        reward -= 100 * terms["fallen"] + 2 * terms["effort"] + 10 * walks * terms["cyclic_hip"]
        assert result.reward[1] == pytest.approx(reward)
        assert result.terminated[1] == bool(terms["fallen"])
        ended |= bool(terms["fallen"])
    assert ended


def test_observed_are_the_values_of_the_state() -> None:
    task = legs()
    task.step(actions(task, 0))
    task.step(actions(task, 1), np.array([0, 1]))
    observation = task.observe()
    model = task.model
    data = mujoco.MjData(model)
    data.qpos[:], data.qvel[:], data.act[:] = task.qpos[1], task.qvel[1], task.batch.act[1]
    mujoco.mj_forward(model, data)
    body = {name: data.body(name) for name in ("pelvis", "torso", "talus_l", "talus_r")}
    ankles = [body[f"talus_{side}"].xpos for side in "lr"]
    phase = 2 * np.pi * 2 / 100
    expected = [
        (data.qpos[2:], data.qvel, data.actuator_length, data.actuator_velocity),
        (data.actuator_force / 1000, data.act, [task.info()["velocity"][1]], body["torso"].xquat),
        ([ankle[2] for ankle in ankles], [data.subtree_com[1, 2]]),
        (*(ankle - body["pelvis"].xpos for ankle in ankles), [np.cos(phase), np.sin(phase)]),
    ]
    flat = np.concatenate([np.concatenate(parts) for parts in expected])
    assert observation.shape == (3, len(flat) + 1)
    side = 33 + 34 + 4 * 80  # of the velocity, x is before y
    assert np.delete(observation[1], side) == pytest.approx(flat, abs=1e-9)
    still = legs(STAND)
    assert still.observe().shape == (3, len(flat) - 1)
    mask = task.velocities()
    assert mask is not None
    assert mask.sum() == 34 + 80 + 2


@pytest.mark.parametrize("sign", [-1, 1])
def test_turning_aside_ends_an_episode_and_leaning_does_not(sign: int) -> None:
    task = legs(n=2, reset_noise_scale=0.0)
    for angle, ends in ((0.9, False), (0.96, True)):
        qpos = task.qpos.copy()
        # About z, and forwards about x by less than a fall.
        qpos[0, 3:7] = [np.cos(angle / 2), 0, 0, sign * np.sin(angle / 2)]
        qpos[1, 3:7] = [np.cos(0.15), sign * np.sin(0.15), 0, 0]
        task.move(qpos, np.zeros((2, task.model.nv)))
        task.observe()
        task.reward(np.zeros((2, 80)))
        assert task.terminated().tolist() == [ends, False]
