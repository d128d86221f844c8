"""Repeated actions and observations without velocities."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium.spaces import Box
from msgspec.structs import replace

from poolrl import tasks
from poolrl.algorithms.training import initial_agent
from poolrl.config.loading import load
from poolrl.config.schema import TaskSpec, World
from poolrl.errors import UsageError
from poolrl.seeding import Streams
from poolrl.tasks import Task
from poolrl.tasks.identity import Plateau
from poolrl.tasks.variants import own_actions


def reset(task: Task, seeds: list[int]) -> None:
    generators = [np.random.default_rng(seed) for seed in seeds]
    task.reset(np.arange(len(seeds)), generators)


@pytest.mark.parametrize("task_id", ["Swimmer-v5", "Quadruped-v0", "Plateau-v0"])
def test_repeating_is_what_repeating_by_hand_is(task_id: str) -> None:
    plain = tasks.make(task_id, 3, max_episode_steps=40)
    varied = tasks.make(task_id, 3, max_episode_steps=40, action_repeat=4)
    assert varied.max_episode_steps == 10
    reset(plain, [1, 2, 3])
    reset(varied, [1, 2, 3])
    space = plain.action_space
    rng = np.random.default_rng(0)
    for i in range(10):
        action = rng.uniform(-0.3, 0.3, (3, *space.shape))
        steps = [plain.step(action) for _ in range(4)]
        result = varied.step(action)
        assert np.array_equal(result.observation, steps[-1].observation)
        assert np.array_equal(result.reward, sum(step.reward for step in steps))
        assert not result.terminated.any()
        assert np.array_equal(result.truncated, [i == 9] * 3)
        assert np.array_equal(varied.observe(), plain.observe())


def test_an_episode_that_ends_is_not_stepped_further() -> None:
    plain = tasks.make("Quadruped-v0", 2, max_episode_steps=100)
    varied = tasks.make("Quadruped-v0", 2, max_episode_steps=100, action_repeat=7)
    assert varied.max_episode_steps == 15
    action = np.zeros((2, 12))
    action[0] = [0, 1, 1, 0, 1, 1, 0, -1, -1, 0, -1, -1]  # the first one folds its legs
    reset(plain, [0, 1])
    reset(varied, [0, 1])
    returns, ends = np.zeros(2), np.zeros(2, np.int64)
    last = np.zeros((2, 35))
    for i in range(100):
        step = plain.step(action)
        going = ends == 0
        returns[going] += step.reward[going]
        last[going] = step.observation[going]
        ends[going & (step.terminated | step.truncated)] = i + 1
    assert ends[0] % 7
    assert ends[1] == 100

    repeated, length = np.zeros(2), np.zeros(2, np.int64)
    ids = np.arange(2)
    while len(ids):
        step = varied.step(action, ids)
        repeated[ids] += step.reward[ids]
        length[ids] += 1
        over = step.terminated | step.truncated
        for row in ids[over[ids]]:
            assert np.array_equal(step.observation[row], last[row])
            assert step.terminated[row] == (row == 0)
            assert step.truncated[row] == (row == 1)
        ids = ids[~over[ids]]
    assert np.array_equal(length, -(-ends // 7))
    assert repeated == pytest.approx(returns)


def test_only_the_given_simulations_advance() -> None:
    task = tasks.make("Swimmer-v5", 3, action_repeat=2, mask_velocities=True)
    reset(task, [0, 1, 2])
    before = task.observe()
    after = task.step(np.ones((3, 2), np.float32), np.array([0, 2])).observation
    assert np.array_equal(after[1], before[1])
    assert not np.array_equal(after[0], before[0])


def test_masked_observations_are_those_left() -> None:
    plain = tasks.make("Swimmer-v5", 2)
    masked = tasks.make("Swimmer-v5", 2, mask_velocities=True)
    velocities = plain.velocities()
    assert velocities is not None
    assert masked.observation_space.shape == (3,)
    assert masked.observation_space.dtype == np.float64
    reset(plain, [0, 1])
    reset(masked, [0, 1])
    assert np.array_equal(masked.observe(), plain.observe()[:, ~velocities])
    action = np.ones((2, 2), np.float32)
    one, other = plain.step(action), masked.step(action)
    assert np.array_equal(other.observation, one.observation[:, ~velocities])
    assert np.array_equal(other.reward, one.reward)
    assert not masked.velocities().any()  # type: ignore[union-attr]


def test_velocities_are_where_they_change() -> None:
    """A push moves the velocities and leaves the positions."""
    for task_id in ("Swimmer-v5", "Quadruped-v0"):
        task = tasks.make(task_id, 1)
        reset(task, [0])
        before = task.observe()
        task.qvel[:] += 1.0  # type: ignore[attr-defined]
        assert np.array_equal((task.observe() != before)[0], task.velocities())


def test_tasks_that_do_not_know_their_velocities_are_refused() -> None:
    with pytest.raises(UsageError, match=r"task\.mask_velocities: Plateau-v0 does not say"):
        tasks.make("Plateau-v0", 1, mask_velocities=True)


def test_what_else_a_task_has_is_found() -> None:
    varied = tasks.make("Swimmer-v5", 2, action_repeat=2, mask_velocities=True)
    assert tasks.fingerprint(varied) == tasks.fingerprint(tasks.make("Swimmer-v5", 2))
    assert not varied.diverged().any()
    varied.qpos[1, 0] = np.nan  # type: ignore[attr-defined]
    varied.step(np.zeros((2, 2), np.float32))
    assert varied.diverged().tolist() == [False, True]
    with pytest.raises(AttributeError):
        _ = varied.absent  # type: ignore[attr-defined]


def test_an_agent_remembers_the_time_limit_of_the_task_itself() -> None:
    world = World(id="Reacher-v5", action_repeat=3, mask_velocities=True)
    task = tasks.make(world, 2)
    spec, _ = load(None, {"task.id": world.id})
    spec = replace(spec, task=TaskSpec(id=world.id, action_repeat=3, mask_velocities=True))
    agent = initial_agent(spec, task, Streams(0))
    assert agent.metadata.max_episode_steps == 50
    again = tasks.make(agent.metadata.world, 2)
    assert again.max_episode_steps == task.max_episode_steps == 17


@pytest.mark.parametrize("repeat", [1, 2])
def test_own_actions_are_those_of_the_adapted_environment(repeat: int) -> None:
    for task_id in ("Swimmer-v5", "Switches-v0", "Pendulum-v1"):
        assert own_actions(tasks.make(task_id, 1, action_repeat=repeat)) is None
    own = own_actions(tasks.make("CartPole-v1", 1, action_repeat=repeat))
    assert own is not None
    assert (own.shape, own.dtype) == ((), "int64")


def test_actions_of_a_users_task_are_of_its_own_type() -> None:
    class Precise(Plateau):
        def __init__(self) -> None:
            super().__init__(1, max_episode_steps=4, size=2)
            self.action_space = Box(-0.1, 0.1, (2,), np.float64)

    task = Precise()
    agent = initial_agent(load(None, {"task.id": "Plateau-v0"})[0], task, Streams(0))
    generator = np.random.default_rng(0)
    actions = [agent.act(np.zeros(2), generator=generator) for _ in range(5)]
    assert all(action.dtype == np.float64 and action in task.action_space for action in actions)
