"""The state of actuators: that of ``mj_forward`` at the current state, and nothing else changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest

from poolrl import tasks
from poolrl.config.schema import Randomization, World
from poolrl.errors import UsageError
from poolrl.parallel import use_threads
from poolrl.tasks.base import ActuatorState, Task
from poolrl.tasks.check import check
from poolrl.tasks.gymnasium_task import GymnasiumTask
from poolrl.tasks.identity import Plateau
from poolrl.tasks.mujoco import MujocoTask

MIXED = """<mujoco><option timestep="0.004"/><worldbody><geom type="plane" size="5 5 .1"/>
<body pos="0 0 .3"><joint name="x" type="slide" axis="1 0 0"/><joint name="z" type="slide"
axis="0 0 1"/><geom size=".1"/><site name="s"/><body pos=".2 0 0">
<joint name="a" axis="0 1 0" range="-90 90" limited="true"/><geom size=".08" pos=".1 0 0"/>
<site name="t" pos=".1 0 0"/></body></body></worldbody>
<tendon><spatial name="m"><site site="s"/><site site="t"/></spatial></tendon>
<actuator><motor joint="x" gear="3" ctrlrange="-1 1"/>
<muscle tendon="m" lengthrange=".05 .3" ctrlrange="0 1"/>
<general joint="a" dyntype="filter" dynprm=".1" gainprm="2" ctrlrange="-1 1"/>
<position joint="z" kp="40" ctrlrange="-1 1"/></actuator></mujoco>"""


def started(task_id: str, n: int = 3, **fields: Any) -> MujocoTask:
    task = tasks.make(task_id, n, **fields)
    assert isinstance(task, MujocoTask)
    task.reset(np.arange(n), [np.random.default_rng(i) for i in range(n)])
    return task


def drawn(task: MujocoTask, seed: int) -> np.ndarray:
    space: Any = task.action_space
    size = (task.num_simulations, *space.shape)
    return np.random.default_rng(seed).uniform(space.low, space.high, size)


def expected(task: MujocoTask, i: int, model: mujoco.MjModel | None = None) -> ActuatorState:
    """By ``mj_forward`` with the whole model at the state of simulation ``i``."""
    model = task.model if model is None else model
    data = task.batch.get_data(i, mujoco.MjData(model))
    mujoco.mj_forward(model, data)
    activity = np.full(model.nu, np.nan)
    activity[model.actuator_actadr >= 0] = data.act
    fields = (data.actuator_length, data.actuator_velocity, data.actuator_force, activity)
    return ActuatorState(*(field.copy() for field in fields))


def assert_rows(task: MujocoTask, models: list[mujoco.MjModel] | None = None) -> None:
    state = task.actuator_state()
    assert state is not None
    for i in range(task.num_simulations):
        for name, got, own in zip(
            state._fields, state, expected(task, i, models and models[i]), strict=True
        ):
            assert got.shape == (task.num_simulations, task.model.nu)
            assert got.dtype == np.float64
            assert np.array_equal(got[i], own, equal_nan=True), name


def of_mixed_actuators(folder: Path, **fields: Any) -> MujocoTask:
    (folder / "mixed.xml").write_text(MIXED)
    kwargs = {"xml_file": str(folder / "mixed.xml")}
    return started("HalfCheetah-v5", kwargs=kwargs, **fields)


@pytest.mark.parametrize("threads", [1, 2])
def test_it_is_that_of_the_current_state(tmp_path: Path, threads: int) -> None:
    with use_threads(threads):
        task = of_mixed_actuators(tmp_path)
    assert_rows(task)
    for k in range(30):
        task.step(drawn(task, k), None if k % 3 else np.array([0, 2]))
        assert_rows(task)
    state = task.actuator_state()
    assert state is not None
    assert np.isnan(state.activity).tolist() == [[True, False, False, True]] * 3
    assert not np.shares_memory(state.activity, task.batch.state)


@pytest.mark.parametrize("task_id", ["Ant-v5", "Reacher-v5", "Quadruped-v0"])
def test_it_is_that_of_existing_tasks_and_changes_no_bit_of_their_episodes(task_id: str) -> None:
    asked, other = started(task_id), started(task_id)
    for k in range(20):
        one, two = asked.step(drawn(asked, k)), other.step(drawn(other, k))
        for got, own in zip(one, two, strict=True):
            assert np.array_equal(got, own)
        assert_rows(asked)
        assert np.array_equal(asked.observe(), other.observe())
        assert np.array_equal(asked.batch.state, other.batch.state)


def test_it_follows_drawn_values_of_the_model(tmp_path: Path) -> None:
    fields = {
        "actuator_gear": Randomization(scale=(0.5, 2.0)),
        "body_pos": Randomization(add=(-0.02, 0.02)),
        "body_mass": Randomization(scale=(0.5, 2.0)),
    }
    task = of_mixed_actuators(tmp_path, randomize=fields)
    for k in range(3):
        task.step(drawn(task, k))
        assert_rows(task, [task.batch.get_model(i) for i in range(3)])
        task.reset(np.array([1]), [np.random.default_rng(k)])
        assert_rows(task, [task.batch.get_model(i) for i in range(3)])
    state = task.actuator_state()
    assert state is not None
    assert len({float(force) for force in state.force[:, 1]}) == 3


def test_variants_of_a_task_have_it() -> None:
    task = tasks.make("Hopper-v5", 2, action_repeat=2, mask_velocities=True)
    task.reset(np.arange(2), [np.random.default_rng(i) for i in range(2)])
    state = task.actuator_state()
    assert state is not None
    assert state.length.shape == (2, 3)


def test_other_tasks_do_not_know_it() -> None:
    assert tasks.make("Plateau-v0", 2).actuator_state() is None
    assert tasks.make("CartPole-v1", 2).actuator_state() is None


def adapted(task_id: str, n: int = 2) -> GymnasiumTask:
    if task_id.startswith("dm_control"):
        pytest.importorskip("shimmy")
        pytest.importorskip("dm_control")
    task = tasks.make(task_id, n)
    assert isinstance(task, GymnasiumTask)
    task.reset(np.arange(n), [np.random.default_rng(i) for i in range(n)])
    return task


@pytest.mark.parametrize("task_id", ["Hopper-v4", "dm_control/quadruped-walk-v0"])
def test_adapted_environments_on_mujoco_have_it(task_id: str) -> None:
    asked, other = adapted(task_id), adapted(task_id)
    for k in range(5):
        action = np.random.default_rng(k).uniform(-1, 1, (2, *asked.action_space.shape))
        one, two = asked.step(action), other.step(action)
        assert np.array_equal(one.observation, two.observation)
        state = asked.actuator_state()
        assert state is not None
        for i, environment in enumerate(asked._environments):
            own: Any = environment.unwrapped
            physics = own if task_id == "Hopper-v4" else own._env.physics
            model = getattr(physics.model, "ptr", physics.model)
            data = mujoco.MjData(model)
            spec = int(mujoco.mjtState.mjSTATE_INTEGRATION)
            row = np.empty(mujoco.mj_stateSize(model, spec))
            mujoco.mj_getState(model, getattr(physics.data, "ptr", physics.data), row, spec)
            mujoco.mj_setState(model, data, row, spec)
            mujoco.mj_forward(model, data)
            assert np.array_equal(state.length[i], data.actuator_length)
            assert np.array_equal(state.velocity[i], data.actuator_velocity)
            assert np.array_equal(state.force[i], data.actuator_force)
            assert np.array_equal(np.isnan(state.activity[i]), model.actuator_actadr < 0)
    asked.close()
    other.close()


class Wrong(Plateau):
    def actuator_state(self) -> Any:
        zeros = np.zeros((self.num_simulations, 2))
        return ActuatorState(zeros, zeros, zeros, zeros.astype(np.float32))


def test_the_check_names_what_is_wrong_of_a_users_own() -> None:
    with pytest.raises(UsageError, match=r"actuator_state\(\)\.activity must be an array \(3, act"):
        check(lambda n, limit: Wrong(n, max_episode_steps=limit), "own")


def make(n: int, limit: int) -> Task:
    return tasks.make(World(id="Hopper-v5", max_episode_steps=limit), n)


def test_the_check_accepts_it() -> None:
    check(make, "Hopper-v5")
