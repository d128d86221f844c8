"""The swimmer against Gymnasium's own, to the last bit."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

from poolrl import tasks
from poolrl.tasks.mujoco.swimmer import Swimmer

EPISODES = 4


@pytest.mark.parametrize("kind", ["random", "extreme"])
@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"exclude_current_positions_from_observation": False, "ctrl_cost_weight": 0.5},
        {"frame_skip": 2, "forward_reward_weight": 2.0, "reset_noise_scale": 0.3},
    ],
    ids=["default", "positions", "other"],
)
def test_parity_over_whole_episodes(kind: str, kwargs: dict[str, object]) -> None:
    limit = 300
    task = tasks.make("Swimmer-v5", EPISODES, max_episode_steps=limit, kwargs=kwargs)
    if "frame_skip" in kwargs:
        kwargs = kwargs | {"render_mode": None}
    envs = []
    for seed in range(EPISODES):
        # Gymnasium's frame_skip must match the frame rate in its metadata, which only make() sets.
        env = gymnasium.make("Swimmer-v5", max_episode_steps=limit, **kwargs)
        envs.append((env, env.reset(seed=seed)[0]))
    generators = [np.random.Generator(np.random.PCG64(seed)) for seed in range(EPISODES)]
    task.reset(np.arange(EPISODES), generators)
    assert np.array_equal(task.observe(), [observation for _, observation in envs])

    rng = np.random.default_rng(0)
    for _ in range(limit):
        actions = rng.uniform(-1, 1, (EPISODES, 2)).astype(np.float32)
        if kind == "extreme":
            actions = np.where(actions > 0, np.float32(5), np.float32(-5))
        result = task.step(actions)
        steps = [env.step(action) for (env, _), action in zip(envs, actions, strict=True)]
        assert np.array_equal(result.observation, [step[0] for step in steps])
        assert np.array_equal(result.reward, [step[1] for step in steps])
        assert np.array_equal(result.terminated, [step[2] for step in steps])
        assert np.array_equal(result.truncated, [step[3] for step in steps])
    assert result.truncated.all()


def test_spaces_are_gymnasiums() -> None:
    task = tasks.make("Swimmer-v5", 2)
    env = gymnasium.make("Swimmer-v5")
    assert task.observation_space == env.observation_space
    assert task.action_space == env.action_space
    assert task.max_episode_steps == 1000


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


def test_an_unstable_simulation_is_told() -> None:
    task = Swimmer(2)
    task.reset(np.arange(2), [np.random.default_rng(i) for i in range(2)])
    task.qpos[1, 0] = np.nan
    task.step(np.zeros((2, 2), np.float32))
    assert task.diverged().tolist() == [False, True]
    task.reset(np.array([1]), [np.random.default_rng(0)])
    assert not task.diverged().any()
