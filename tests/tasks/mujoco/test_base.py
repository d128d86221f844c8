"""The base class of MuJoCo tasks."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium.spaces import Box

from poolrl import tasks
from poolrl.errors import UsageError
from poolrl.tasks.mujoco import MujocoTask
from poolrl.tasks.mujoco.swimmer import Swimmer


def test_a_simulation_does_not_depend_on_its_neighbours() -> None:
    actions = np.random.default_rng(1).uniform(-1, 1, (50, 3, 2)).astype(np.float32)

    def last(rows: list[int]) -> np.ndarray:
        task = Swimmer(len(rows))
        task.reset(np.arange(len(rows)), [np.random.default_rng(row) for row in rows])
        for step in actions:
            observation = task.step(step[rows]).observation
        return observation

    assert np.array_equal(last([0, 1, 2])[1], last([1])[0])


def test_only_the_given_simulations_advance() -> None:
    task = Swimmer(3)
    task.reset(np.arange(3), [np.random.default_rng(i) for i in range(3)])
    before = task.observe()
    after = task.step(np.ones((3, 2), np.float32), np.array([0, 2])).observation
    assert np.array_equal(after[1], before[1])
    assert not np.array_equal(after[0], before[0])


def test_an_unstable_simulation_is_reported() -> None:
    task = Swimmer(2)
    task.reset(np.arange(2), [np.random.default_rng(i) for i in range(2)])
    task.qpos[1, 0] = np.nan
    task.step(np.zeros((2, 2), np.float32))
    assert task.diverged().tolist() == [False, True]
    task.reset(np.array([1]), [np.random.default_rng(0)])
    assert not task.diverged().any()


@pytest.mark.parametrize("task_id", ["Ant-v5", "Humanoid-v5"])
def test_a_simulation_of_external_forces_does_not_depend_on_its_neighbours(task_id: str) -> None:
    def run_episode(seeds: list[int], ids: np.ndarray | None) -> np.ndarray:
        task = tasks.make(task_id, len(seeds))
        task.reset(np.arange(len(seeds)), [np.random.default_rng(seed) for seed in seeds])
        action = np.full((len(seeds), *task.action_space.shape), 0.3, np.float32)
        for _ in range(40):
            observation = task.step(action, ids).observation
        return observation

    alone = run_episode([1], None)[0]
    assert np.array_equal(run_episode([0, 1, 2], None)[1], alone)
    assert np.array_equal(run_episode([0, 1, 2], np.array([1])).take(1, axis=0), alone)


@pytest.mark.parametrize("task_id", ["Hopper-v5", "Ant-v5", "Humanoid-v5"])
def test_nothing_of_an_episode_stays_after_a_reset(task_id: str) -> None:
    """An episode is the same in a simulation that ran other episodes before."""

    def run_episode(task: MujocoTask, seed: int) -> list[np.ndarray]:
        task.reset(np.arange(2), [np.random.default_rng([seed, i]) for i in range(2)])
        space, random = task.action_space, np.random.default_rng(seed)
        assert isinstance(space, Box)
        actions = random.uniform(space.low, space.high, (60, 2, *space.shape))
        first = task.observe()
        steps = [task.step(action.astype(np.float32)) for action in actions]
        return [first, *(step.observation for step in steps)]

    used, fresh = tasks.make(task_id, 2), tasks.make(task_id, 2)
    assert isinstance(used, MujocoTask)
    assert isinstance(fresh, MujocoTask)
    for seed in range(3):
        run_episode(used, seed)
    used.qpos[0, 3] = np.nan  # ends with the simulation unstable, and reset by MuJoCo
    used.step(np.zeros((2, *used.action_space.shape), np.float32))
    for one, other in zip(run_episode(used, 9), run_episode(fresh, 9), strict=True):
        assert np.array_equal(one, other)
    assert not used.diverged().any()


def velocities(task_id: str, **kwargs: object) -> list[int]:
    mask = tasks.make(task_id, 1, kwargs=kwargs).velocities()
    assert mask is not None
    return np.flatnonzero(mask).tolist()


def test_velocities_are_distinguished() -> None:
    assert velocities("InvertedPendulum-v5") == [2, 3]
    assert velocities("InvertedDoublePendulum-v5") == [5, 6, 7]
    assert velocities("Reacher-v5") == [6, 7]
    assert velocities("Pusher-v5") == list(range(7, 14))
    assert velocities("Swimmer-v5") == list(range(3, 8))
    assert velocities("Hopper-v5") == list(range(5, 11))
    assert velocities("Ant-v5") == list(range(13, 27))
    for task_id in ("Humanoid-v5", "HumanoidStandup-v5"):
        bodies = list(range(45 + 130, 45 + 130 + 78))
        assert velocities(task_id) == list(range(22, 45)) + bodies
        assert velocities(task_id, include_cvel_in_observation=False) == list(range(22, 45))


def test_velocities_of_an_observation_of_ones_own_are_unknown() -> None:
    class Own(Swimmer):
        def observe(self) -> np.ndarray:
            return self.qvel.copy()

    assert Own(1).velocities() is None


@pytest.mark.parametrize("body", ["no such", 99, -1])
def test_a_body_that_is_not_there_is_named(body: object) -> None:
    with pytest.raises(UsageError, match=r"task\.kwargs\.main_body: no body .*torso"):
        tasks.make("Ant-v5", 1, kwargs={"main_body": body})
