"""Tasks of the rat that follow commands, against formulas computed number by number."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import mujoco
import numpy as np
import pytest

from poolrl import tasks
from poolrl.errors import UsageError
from poolrl.parallel import use_threads
from poolrl.rollouts.episode_infos import MAX_KEYS, EpisodeInfos
from poolrl.tasks.imitation.command import CommandTask
from tests.helpers.rodents import needs_dm, proprioception

pytestmark = needs_dm

IDS = {"RodentJoystick-v0": 3, "RodentMoveToTarget-v0": 3, "RodentRun-v0": 1}


def started(task_id: str, n: int, **kwargs: Any) -> CommandTask:
    task = tasks.make(task_id, n, kwargs=kwargs)
    assert isinstance(task, CommandTask)
    task.reset(np.arange(n), [np.random.default_rng([4, i]) for i in range(n)])
    return task


@pytest.mark.parametrize("task_id", IDS)
def test_where_a_simulation_becomes_unstable_its_episode_terminates(task_id: str) -> None:
    task = started(task_id, 3)
    action = np.zeros((3, 38))
    task.step(action)
    task.qvel[1] = 1e12
    result = task.step(action)
    assert task.unstable().tolist() == result.terminated.tolist() == [False, True, False]
    assert not task.diverged().any()
    assert result.reward[1] == 0
    assert (result.reward[[0, 2]] > 0).all()
    assert not result.truncated.any()
    assert np.isfinite(result.observation).all()
    assert all(term[1] == 0 for term in task.reward_terms().values())
    task.reset(np.array([1]), [np.random.default_rng([4, 1])])
    result = task.step(action)
    assert not task.unstable().any()
    assert not result.terminated.any()
    assert result.reward[1] > 0


class Plain:
    """One simulation of the rat."""

    def __init__(self, model: mujoco.MjModel) -> None:
        self.model, self.data = model, mujoco.MjData(model)
        mujoco.mj_forward(model, self.data)
        self.before = self.pose()

    def pose(self) -> tuple[list[float], list[float]]:
        torso = self.data.body("torso")
        return list(torso.subtree_com), list(torso.xquat)

    def step(self, action: np.ndarray) -> None:
        self.before = self.pose()
        self.data.ctrl[:] = np.clip(action, -1.0, 1.0)
        for _ in range(5):
            mujoco.mj_step(self.model, self.data)

    def in_torso(self, vector: list[float]) -> list[float]:
        result = np.zeros(3)
        mujoco.mju_mulMatTVec3(result, self.data.body("torso").xmat, np.array(vector))
        return list(result)

    def costs(self) -> tuple[float, float]:
        """Squared controls and power."""
        data = self.data
        forces = zip(data.qvel[6:], data.qfrc_actuator[6:], strict=True)
        return sum(u * u for u in data.ctrl), sum(abs(v * f) for v, f in forces)


def azimuth(quaternion: list[float]) -> float:
    axis = np.zeros(3)
    mujoco.mju_rotVecQuat(axis, np.array([1.0, 0.0, 0.0]), np.array(quaternion))
    return math.atan2(axis[1], axis[0])


def joystick(plain: Plain, command: np.ndarray) -> float:
    (x, y, _), quaternion = plain.before
    (u, v, _), now = plain.pose()
    forward = plain.in_torso([(u - x) / 0.01, (v - y) / 0.01, 0.0])[0]
    turning = math.remainder(azimuth(now) - azimuth(quaternion), 2 * math.pi) / 0.01
    done = forward, turning, plain.data.body("skull").subtree_com[2]
    pairs = zip(command, done, (0.2, 0.4, 0.02), strict=True)
    return sum(math.exp(-(((c - d) / f) ** 2)) for c, d, f in pairs)


def move(plain: Plain, command: np.ndarray) -> float:
    distance = math.dist(plain.pose()[0], command)
    return min(max(1.0 - distance, 0.0), 1.0) - 0.005 * plain.costs()[0] + 0.1


def run(plain: Plain, command: np.ndarray) -> float:
    speed = (plain.pose()[0][0] - plain.before[0][0]) / 0.01
    controls, power = plain.costs()
    return math.exp(-((speed - command[0]) ** 2)) - 0.005 * controls - 0.01 * power + 0.1


@pytest.mark.parametrize(
    ("task_id", "reward"),
    [("RodentJoystick-v0", joystick), ("RodentMoveToTarget-v0", move), ("RodentRun-v0", run)],
)
def test_rewards_are_those_of_plain_mujoco(
    task_id: str, reward: Callable[[Plain, np.ndarray], float]
) -> None:
    options = {"command_steps": 8} if reward is joystick else {}
    task = started(task_id, 2, **options)
    random, twins, commands = np.random.default_rng(0), [Plain(task.model) for _ in range(2)], set()
    assert (task.qpos == task.model.qpos0).all()
    for _ in range(40):
        command, action = task.command.copy(), random.uniform(-0.4, 0.4, (2, 38))
        result = task.step(action)
        commands.add(float(command[0, 0]))
        for i, twin in enumerate(twins):
            twin.step(action[i])
            assert abs(result.reward[i] - reward(twin, command[i])) < 1e-10
            seen = result.observation[i]
            assert np.allclose(seen[:200], proprioception(twin.data), rtol=0, atol=1e-10)
            shown = list(task.command[i])
            if reward is move:
                center = twin.pose()[0]
                shown = twin.in_torso([a - b for a, b in zip(shown, center, strict=True)])
            assert np.allclose(seen[200:], shown, rtol=0, atol=1e-10)
            assert result.terminated[i] == (twin.pose()[0][2] < 0.035)
    assert len(commands) == (5 if reward is joystick else 1)
    assert not result.truncated.any()


@pytest.mark.parametrize("task_id", IDS)
def test_an_episode_depends_on_its_generator_alone(task_id: str) -> None:
    options = {"command_steps": 3} if task_id == "RodentJoystick-v0" else {}
    runs = []
    for threads, n in ((1, 3), (2, 3), (1, 1)):
        with use_threads(threads):
            task = started(task_id, n, **options)
        random, run = np.random.default_rng(1), []
        for k in range(6):
            action = random.uniform(-1, 1, (3, 38)).astype(np.float32)[:n]
            # The others do not move at the third step.
            result = task.step(action, np.array([0]) if k == 2 else None)
            run.append(np.append(result.observation[0], result.reward[0]))
        runs.append(np.array(run))
        assert task.steps.tolist() == [6, 5, 5][:n]
    assert all(np.array_equal(runs[0], other) for other in runs[1:])


@pytest.mark.parametrize("task_id", IDS)
def test_commands_are_a_sense_and_info_is_recorded(task_id: str) -> None:
    task = started(task_id, 2)
    senses = {name: np.flatnonzero(mask).tolist() for name, mask in task.senses().items()}
    size = 200 + IDS[task_id]
    assert senses == {"proprioception": list(range(200)), "command": list(range(200, size))}
    result = task.step(np.zeros((2, 38)))
    assert np.allclose(sum(task.reward_terms().values()), result.reward, rtol=0, atol=1e-14)
    assert task.reward_terms().keys() < task.info().keys()
    infos = EpisodeInfos(task)
    assert 10 < len(infos.names_after_a_step()) <= MAX_KEYS
    assert infos.aggregate("cumulative_reward") == "last"


def test_joystick_commands_have_their_ranges() -> None:
    task = started("RodentJoystick-v0", 1)
    random = np.random.default_rng(0)
    drawn = np.array([task.draw_command(random) for _ in range(4000)])
    forward, turning, head = drawn.T
    assert (forward.min() < -0.09, forward.max() > 0.59) == (True, True)
    assert (np.abs(forward - 0.25) <= 0.35).all()
    fast = forward > 0.25
    assert (turning[fast] == 0).all()
    assert np.abs(turning[~fast]).max() > 0.99
    still = (np.abs(forward) < 0.05) & (np.abs(turning) < 0.1)
    assert still.sum() > 20
    assert ((head[still] >= 0.08) & (head[still] <= 0.13)).all()
    assert ((head[~still] >= 0.05) & (head[~still] <= 0.08)).all()


def test_a_target_that_is_reached_ends_the_episode() -> None:
    task = started("RodentMoveToTarget-v0", 2)
    task.command[1] = task.center_of_mass[1] + [0.004, 0.0, 0.0]
    result = task.step(np.zeros((2, 38)))
    assert result.truncated.tolist() == [False, True]
    assert not result.terminated.any()
    assert task.info()["success"].tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("task_id", "arguments", "message"),
    [
        ("RodentJoystick-v0", {"command_steps": 0}, "command_steps: expected at least 1"),
        ("RodentJoystick-v0", {"falloffs": [0.1, 0.0, 0.1]}, "falloffs: expected numbers more"),
        ("RodentRun-v0", {"speeds": [2.0, 1.0]}, "speeds: expected the lowest and the highest"),
        ("RodentRun-v0", {"falloff": 0.0}, "falloff: expected more than 0"),
        ("RodentRun-v0", {"body_scale": -1.0}, "body_scale: expected more than 0"),
    ],
)
def test_wrong_arguments_are_named(task_id: str, arguments: Any, message: str) -> None:
    with pytest.raises(UsageError) as error:
        tasks.make(task_id, 1, kwargs=arguments)
    assert f"task.kwargs.{message}" in str(error.value)
