"""The quadrupeds: rewards, falls, postures, and a substitute for ANYmal C."""

from __future__ import annotations

from pathlib import Path

import mujoco
import numpy as np
import pytest

from poolrl import tasks
from poolrl.errors import UsageError
from poolrl.tasks.mujoco.quadruped import Quadruped, QuadrupedStep
from tests.tasks.mujoco.anymal import scene, write_scene

FOLD = np.array([0, 1, 1, 0, 1, 1, 0, -1, -1, 0, -1, -1], np.float64)


def made(task_id: str = "Quadruped-v0", n: int = 1, **kwargs: object) -> Quadruped:
    task = tasks.make(task_id, n, kwargs=kwargs)
    assert isinstance(task, Quadruped)
    task.reset(np.arange(n), [np.random.default_rng(seed) for seed in range(n)])
    return task


@pytest.mark.parametrize("task_id", ["Quadruped-v0", "QuadrupedStep-v0"])
def test_standing_still_scores_what_the_documentation_says(task_id: str) -> None:
    task = made(task_id, 4)
    total = np.zeros(4)
    for _ in range(800):
        result = task.step(np.zeros((4, 12)))
        assert not result.terminated.any()
        total += result.reward
    assert result.truncated.all()
    assert task.dt == pytest.approx(0.01)
    assert total == pytest.approx(460, abs=20)
    assert not task.diverged().any()


def test_the_keyframe_is_at_rest() -> None:
    task = made(reset_noise_scale=0.0)
    before = task.qpos.copy()
    for _ in range(50):
        task.step(np.zeros((1, 12)))
        assert abs(task.qvel).max() < 0.2
    assert np.abs(task.qpos - before).max() < 0.02


def test_every_substep_is_paid() -> None:
    """Against a plain simulation, to the last bit, with some simulations left out."""
    task = made(n=3)
    data = mujoco.MjData(task.model)
    data.qpos, data.qvel = task.qpos[2], task.qvel[2]
    mujoco.mj_forward(task.model, data)
    rng = np.random.default_rng(0)
    targets = task.model.key_ctrl[0]
    for _ in range(40):
        action = rng.uniform(-0.5, 0.5, (3, 12)).astype(np.float32)
        result = task.step(action, np.array([0, 2]))
        data.ctrl = targets + 0.6 * action[2].astype(np.float64)
        reward = 0.0
        for _ in range(5):
            mujoco.mj_step(task.model, data)
            reward += data.qvel[0] + (data.qpos[2] - 0.5)
        assert result.reward[2] == reward
        assert np.array_equal(result.observation[2], np.concatenate((data.qpos[2:], data.qvel)))
    assert not result.terminated.any()


def test_a_fall_ends_the_episode_and_costs() -> None:
    task = made(n=2)
    action = np.array([FOLD, np.zeros(12)])
    for _ in range(100):
        result = task.step(action)
        if result.terminated.any():
            break
    assert result.terminated.tolist() == [True, False]
    assert task.qpos[0, 2] < 0.45
    assert -103 < result.reward[0] < -99
    assert result.reward[1] > 0
    task.reset(np.array([0]), [np.random.default_rng(5)])
    assert not task.step(np.zeros((2, 12))).terminated.any()

    lower = made(fall_height=0.3, fall_cost=7.0)
    heights = []
    while not (result := lower.step(action[:1])).terminated.any():
        heights.append(lower.qpos[0, 2])
    assert 0.3 <= min(heights) < 0.4
    assert -12 < result.reward[0] < -6


def test_spaces_are_those_of_the_step_task() -> None:
    flat, step = made(), made("QuadrupedStep-v0")
    assert flat.observation_space == step.observation_space
    assert flat.action_space == step.action_space
    assert flat.observation_space.shape == (35,)
    assert (flat.max_episode_steps, step.max_episode_steps) == (800, 800)
    assert made(exclude_current_positions_from_observation=False).observe().shape == (1, 37)


def test_actions_move_targets_about_the_posture() -> None:
    task = made(action_scale=[0.1, 0.2, 0.3])
    task.step(np.full((1, 12), -1.0))
    assert task.ctrl[0] == pytest.approx(task.model.key_ctrl[0] - np.tile([0.1, 0.2, 0.3], 4))


def test_a_simulation_does_not_depend_on_its_neighbours() -> None:
    actions = np.random.default_rng(1).uniform(-1, 1, (30, 3, 12)).astype(np.float32)

    def rewards(rows: list[int]) -> np.ndarray:
        task = tasks.make("Quadruped-v0", len(rows))
        task.reset(np.arange(len(rows)), [np.random.default_rng(row) for row in rows])
        return np.array([task.step(step[rows]).reward for step in actions])

    assert np.array_equal(rewards([0, 1, 2])[:, 1:2], rewards([1]))


def test_heights_count_from_the_ground_under_the_trunk() -> None:
    task = made("QuadrupedStep-v0")
    assert isinstance(task, QuadrupedStep)
    x = np.array([-5.0, 1.2, 1.5, 1.8, 30.0])
    assert task.ground(x) == pytest.approx([0, 0, 0.075, 0.15, 0.15])
    flat = made()
    task.qpos[:] = flat.qpos
    task.qpos[0, :3] += [10, 0, 0.15]
    assert task.step(np.zeros((1, 12))).reward == pytest.approx(
        flat.step(np.zeros((1, 12))).reward, abs=1e-6
    )


def test_feet_stand_on_the_step() -> None:
    task = made("QuadrupedStep-v0")
    task.qpos[0, :3] += [10, 0, 0.15]
    for _ in range(100):
        assert not task.step(np.zeros((1, 12))).terminated.any()
    assert task.qpos[0, 2] == pytest.approx(0.765, abs=0.02)


def test_a_model_from_a_path_stands_in_its_posture(tmp_path: Path) -> None:
    given = {"posture": [0.1, 0.0, 0.0], "action_scale": [0.6, 1.0, 1.0]}
    task = made("AnymalC-v0", 2, xml_file=write_scene(tmp_path), **given)
    assert 0.6 < task.qpos[0, 2] < 0.65
    total = np.zeros(2)
    for _ in range(800):
        result = task.step(np.zeros((2, 12)))
        total += result.reward
    assert not result.terminated.any()
    assert 350 < total.min() < total.max() < 550


def test_a_models_own_keyframe_comes_first(tmp_path: Path) -> None:
    joints = " ".join(["0", "0.3", "-0.6"] * 4)
    key = f'<key name="home" qpos="0 0 0.7 1 0 0 0 {joints}" ctrl="{joints}"/>'
    path = tmp_path / "mine.xml"
    path.write_text(scene().replace("</mujoco>", f"<keyframe>{key}</keyframe></mujoco>"))
    task = made(xml_file=str(path), reset_noise_scale=0.0)
    assert np.array_equal(task.qpos[0], task.model.key_qpos[0])
    task.step(np.zeros((1, 12)))
    assert np.array_equal(task.ctrl[0], task.model.key_ctrl[0])


@pytest.mark.parametrize(
    ("task_id", "kwargs", "words"),
    [
        ("AnymalC-v0", {}, ["task.kwargs.xml_file: needed", "mujoco_menagerie"]),
        ("AnymalC-v0", {"xml_file": "/no/scene.xml"}, ["/no/scene.xml", "clone", "/scene.xml"]),
        ("Quadruped-v0", {"xml_file": "ant.xml"}, ["task.kwargs.xml_file", "12 actuators, got 8"]),
        ("Quadruped-v0", {"keyframe": "sit"}, ["task.kwargs.keyframe", "'sit'", "known: stand"]),
        ("Quadruped-v0", {"posture": [1, 2]}, ["task.kwargs.posture", "3 values"]),
        ("QuadrupedStep-v0", {"xml_file": "quadruped.xml"}, ["xml_file", "no box named 'step'"]),
    ],
)
def test_what_is_wrong_is_named(task_id: str, kwargs: dict[str, object], words: list[str]) -> None:
    with pytest.raises(UsageError) as error:
        tasks.make(task_id, 1, kwargs=kwargs)
    for word in words:
        assert word in str(error.value)
    assert "\n" not in str(error.value)
