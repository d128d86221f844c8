"""Reach tasks: targets, success, rewards, and determinism."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest

from poolrl import tasks
from poolrl.config.schema import Randomization
from poolrl.errors import UsageError
from poolrl.parallel import use_threads
from poolrl.tasks.muscles.models import load_own
from poolrl.tasks.muscles.postures import MAX_DEPTH, Postures
from poolrl.tasks.muscles.reach import Reach
from tests.helpers.muscles import FLEXOR, actions, needs_bodies, own_model, started

REACHES = ("MuscleElbowReach-v0", "MuscleFingerReach-v0", "MuscleArmReach-v0")


def reach(task_id: str, n: int = 3, seed: int = 0, **kwargs: Any) -> Reach:
    task = started(task_id, n, seed, **kwargs)
    assert isinstance(task, Reach)
    return task


@needs_bodies
@pytest.mark.parametrize(
    ("task_id", "observed", "muscles"),
    [(REACHES[0], 35, 6), (REACHES[1], 37, 5), (REACHES[2], 337, 63)],
)
def test_targets_are_reachable(task_id: str, observed: int, muscles: int) -> None:
    """The posture that a target was drawn from has the tip there, and can be held."""
    task = reach(task_id, 8)
    assert task.observation_space.shape == (observed,)
    assert task.action_space.shape == (muscles,)
    assert task.dt == pytest.approx(0.02)
    model, postures = task.model, task.postures
    for i in range(8):
        qpos = postures.draw(np.random.default_rng([0, i]))
        low, high = model.jnt_range.T
        assert (low - 0.011 <= qpos).all()
        assert (qpos <= high + 0.011).all()
        task.move(np.tile(qpos, (8, 1)), np.zeros((8, model.nv)))
        task.observe()
        assert task.tip[i] == pytest.approx(task.target[i], abs=1e-12)
        data = mujoco.MjData(model)
        data.qpos[:] = qpos
        mujoco.mj_forward(model, data)
        assert data.contact.dist.min(initial=0.0) >= -MAX_DEPTH
        # Residuals of the equalities: coupled joints are where they are wanted.
        coupled = data.efc_type == int(mujoco.mjtConstraint.mjCNSTR_EQUALITY)
        assert coupled.sum() == model.neq
        assert np.abs(data.efc_pos[coupled]).max(initial=0.0) < 1e-9
    assert len({tuple(target) for target in task.target.tolist()}) == 8


def test_drawn_postures_fill_the_ranges(tmp_path: Path) -> None:
    model = load_own(own_model(tmp_path)["xml_file"])
    postures = Postures(model)
    assert postures.free.tolist() == [0, 1]
    assert postures.coupled.tolist() == [2]
    generator = np.random.default_rng(0)
    drawn = np.array([postures.draw(generator) for _ in range(300)])
    low, high = np.radians([-60, -120]), np.radians([60, 0])
    shares = (drawn[:, :2] - low) / (high - low)
    assert shares.min() >= 0
    assert shares.max() <= 1
    assert shares.mean(axis=0) == pytest.approx(0.5, abs=0.06)
    assert shares.std(axis=0) == pytest.approx(np.sqrt(1 / 12), abs=0.03)
    assert drawn[:, 2] == pytest.approx(0.1 - 0.5 * drawn[:, 1])


def test_a_coupled_joint_may_be_without_a_range() -> None:
    hinges = '<joint name="a" axis="0 1 0"/><joint name="b" axis="1 0 0" range="-90 90"/>'
    xml = f"""<mujoco><worldbody><body>{hinges}<geom size=".1"/></body></worldbody><equality>
    <joint joint1="a" joint2="b" polycoef="1 0 0 0 0"/></equality></mujoco>"""
    drawn = Postures(mujoco.MjModel.from_xml_string(xml)).draw(np.random.default_rng(0))
    assert drawn[0] == 1
    assert drawn[1] != 0


def test_a_chain_of_couplings_is_followed_in_order() -> None:
    hinges = "".join(f'<body><joint name="{c}" range="-90 90"/><geom size=".1"/>' for c in "abc")
    xml = f"""<mujoco><worldbody>{hinges}</body></body></body></worldbody><equality>
    <joint joint1="a" joint2="b" polycoef="0 2 0 0 0"/><joint joint1="b" joint2="c"
    polycoef=".1 0 3 0 0"/></equality></mujoco>"""
    postures = Postures(mujoco.MjModel.from_xml_string(xml))
    assert postures.complete(np.array([9.0, 9.0, 0.2])) == pytest.approx([0.44, 0.22, 0.2])


def test_success_is_within_the_tolerance_alone(tmp_path: Path) -> None:
    arguments = own_model(tmp_path)
    for kind, inside, outside in (("dense", 0.96, -0.05), ("sparse", 10.0, -1.0)):
        task = reach("MuscleReach-v0", 2, reward=kind, **arguments)
        result = task.step(np.zeros((2, 3)))
        task.target[:] = task.tip + np.array([[0.03999, 0, 0], [0, 0, -0.04001]])
        task.observe()
        reward, terminated = task.reward(np.zeros((2, 3))), task.terminated()
        info = task.info()
        assert info["success"].tolist() == [1, 0]
        assert info["distance"] == pytest.approx([0.03999, 0.04001])
        assert reward == pytest.approx([inside, outside], abs=0.011)
        assert terminated.tolist() == [kind == "sparse", False]
        assert not result.terminated.any()


def test_observation_and_reward_are_those_of_a_plain_loop(tmp_path: Path) -> None:
    """Against ``mj_step`` and then ``mj_forward``, to the last bit."""
    task = reach("MuscleReach-v0", effort_weight=0.3, excitation="sigmoid", **own_model(tmp_path))
    model = task.model
    data = mujoco.MjData(model)
    data.qpos[:] = task.qpos[1]
    data.mocap_pos[0] = task.target[1]
    mujoco.mj_forward(model, data)
    hand = model.body("hand").id
    for k in range(60):
        action = actions(task, k)
        result = task.step(action)
        data.ctrl[:] = 1 / (1 + np.exp(-5 * (action[1].astype(np.float64) - 0.5)))
        for _ in range(5):
            mujoco.mj_step(model, data)
        mujoco.mj_forward(model, data)
        tip, target = data.xpos[hand], task.target[1]
        muscles = (data.actuator_length, data.actuator_velocity, data.actuator_force / 1000)
        expected = (data.qpos, data.qvel, *muscles, data.act, tip, target, tip - target)
        assert np.array_equal(result.observation[1], np.concatenate(expected))
        distance = float(np.linalg.norm(tip - target))
        effort = float(np.mean(data.act**2))
        assert result.reward[1] == pytest.approx((distance < 0.04) - distance - 0.3 * effort)
        assert task.info()["effort"][1] == pytest.approx(effort)
        state = task.actuator_state()
        assert np.array_equal(state.force[1], data.actuator_force)
        assert np.array_equal(state.activity[1], data.act)


def run(task: Reach, steps: int, ids: np.ndarray | None = None) -> list[np.ndarray]:
    found = []
    for k in range(steps):
        result = task.step(actions(task, k), ids)
        found += [result.observation, result.reward]
    return found


def test_bits_do_not_depend_on_threads(tmp_path: Path) -> None:
    arguments = own_model(tmp_path) | {"noise": (0.1, 0.1), "fatigue": True}
    runs = []
    for threads in (1, 2, 4):
        with use_threads(threads):
            runs.append(run(reach("MuscleReach-v0", 5, **arguments), 20))
    for other in runs[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(runs[0], other, strict=True))


def test_a_simulation_does_not_depend_on_its_neighbours_or_earlier_episodes(tmp_path: Path) -> None:
    arguments = own_model(tmp_path) | {"noise": (0.1, 0.1), "fatigue": True, "random_start": True}

    def last(task: Reach, rows: list[int], ids: np.ndarray | None) -> np.ndarray:
        task.reset(np.arange(len(rows)), [np.random.default_rng([7, row]) for row in rows])
        given = np.random.default_rng(1).uniform(0, 1, (30, 3, 3)).astype(np.float32)
        for step in given:
            observation = task.step(step[rows], ids).observation
        return observation

    used = reach("MuscleReach-v0", 3, **arguments)
    run(used, 40)
    three = last(used, [0, 1, 2], None)
    alone = last(reach("MuscleReach-v0", 1, **arguments), [1], None)
    subset = last(reach("MuscleReach-v0", 3, **arguments), [0, 1, 2], np.array([1]))
    assert np.array_equal(three[1], alone[0])
    assert np.array_equal(subset[1], alone[0])


def test_only_the_given_simulations_change(tmp_path: Path) -> None:
    task = reach("MuscleReach-v0", fatigue=True, **own_model(tmp_path))
    run(task, 5)
    before = task.observe()
    task.step(np.ones((3, 3)), np.array([0, 2]))
    task.reset(np.array([2]), [np.random.default_rng(3)])
    after = task.observe()
    assert np.array_equal(after[1], before[1])
    assert (after[[0, 2]] != before[[0, 2]]).any(axis=1).all()


def test_drawn_values_of_the_model_and_masked_velocities(tmp_path: Path) -> None:
    fields = {"actuator_gear": Randomization(scale=(0.5, 2.0))}
    whole, masked = (
        tasks.make(
            "MuscleReach-v0", 2, kwargs=own_model(tmp_path), randomize=fields, mask_velocities=mask
        )
        for mask in (False, True)
    )
    assert isinstance(whole, Reach)
    for task in (whole, masked):
        task.reset(np.arange(2), [np.random.default_rng(i) for i in range(2)])
        result = task.step(np.full((2, 3), 0.5))
    assert result.observation.shape[1] == whole.observe().shape[1] - 6
    for i in range(2):
        model = whole.batch.get_model(i)
        data = whole.batch.get_data(i, mujoco.MjData(model))
        mujoco.mj_forward(model, data)
        assert np.array_equal(whole.actuator_state().length[i], data.actuator_length)
        assert not np.array_equal(model.actuator_gear, whole.model.actuator_gear)


def test_it_starts_at_the_keyframe_that_is_named(tmp_path: Path) -> None:
    arguments = own_model(tmp_path) | {"reset_noise_scale": 0.0}
    assert reach("MuscleReach-v0", keyframe="bent", **arguments).qpos[0] == pytest.approx(
        [0, -1, 0.6]
    )
    assert reach("MuscleReach-v0", **arguments).qpos[0] == pytest.approx([0, 0, 0.1])
    with pytest.raises(UsageError, match=r"task\.kwargs\.keyframe: .* 'no'; known: bent"):
        reach("MuscleReach-v0", keyframe="no", **arguments)


@needs_bodies
def test_an_arm_starts_outside_its_body() -> None:
    task = reach("MuscleArmReach-v0", 1, reset_noise_scale=0.0)
    data = mujoco.MjData(task.model)
    data.qpos[:] = task.qpos[0]
    mujoco.mj_forward(task.model, data)
    assert data.contact.dist.min(initial=0.0) > -0.001


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"xml_file": ""}, r"task\.kwargs\.xml_file: needed"),
        ({"xml_file": "arm.xml"}, r"task\.kwargs\.xml_file: no such file: arm\.xml"),
        ({"xml_file": "/no/such.xml"}, r"task\.kwargs\.xml_file: no such file: /no/such\.xml"),
        ({"tip": "nose"}, r"task\.kwargs\.tip: no site or body 'nose'; .*hand"),
        ({"tip": ""}, r"task\.kwargs\.tip: no site or body ''"),
        ({"reward": "none"}, r"task\.kwargs\.reward: unknown reward 'none'; known: dense, sparse"),
        ({"tolerance": 0.0}, r"task\.kwargs\.tolerance: expected more than 0"),
        ({"frame_skip": 0}, r"task\.kwargs\.frame_skip: expected 1 to"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words) as error:
        tasks.make("MuscleReach-v0", 1, kwargs=own_model(tmp_path) | change)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("first", "words"),
    [
        ('<motor name="m" joint="elbow" ctrlrange="-1 1"/>', "the actuator m is no muscle"),
        ("<bad/>", r"arm\.xml: .*bad"),
    ],
)
def test_a_model_without_muscles_alone_is_refused(tmp_path: Path, first: str, words: str) -> None:
    with pytest.raises(UsageError, match=rf"task\.kwargs\.xml_file: .*{words}") as error:
        tasks.make("MuscleReach-v0", 1, kwargs=own_model(tmp_path, first))
    assert "\n" not in str(error.value)


def test_a_model_without_postures_is_refused(tmp_path: Path) -> None:
    arguments = own_model(tmp_path)
    path = Path(arguments["xml_file"])
    path.write_text(path.read_text().replace('pos="0 0 -.5"/>', 'pos="0 0 .4"/>', 1))
    with pytest.raises(UsageError, match="of 1000 postures within the joints' ranges none is w"):
        reach("MuscleReach-v0", 1, **arguments)
    assert FLEXOR in path.read_text()
