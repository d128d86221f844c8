"""Tasks as vector environments, against Gymnasium's own."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.performance import benchmark_vector_step
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.wrappers.vector import (
    NormalizeObservation,
    RecordEpisodeStatistics,
    RescaleAction,
)

from poolrl import tasks
from poolrl.errors import UsageError

COUNT = 5


def gymnasiums(task_id: str, mode: AutoresetMode, limit: int, **kwargs: Any) -> SyncVectorEnv:
    def make() -> gymnasium.Env:
        return gymnasium.make(task_id, max_episode_steps=limit, **kwargs)

    return SyncVectorEnv([make] * COUNT, autoreset_mode=mode)


def assert_same(ours: Any, theirs: Any) -> None:
    """Equal to the last bit, types included; of infos the same names."""
    if isinstance(theirs, dict):
        assert ours.keys() == theirs.keys()
        for name in theirs:
            assert_same(ours[name], theirs[name])
    elif theirs.dtype == object:
        assert ours.dtype == object
        assert len(ours) == len(theirs)
        for left, right in zip(ours, theirs, strict=True):
            assert (left is None) == (right is None)
            if left is not None:
                assert_same(left, right)
    else:
        assert ours.dtype == theirs.dtype
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize(
    ("task_id", "limit", "steps", "kwargs"),
    [
        ("Hopper-v5", 30, 120, {}),
        ("InvertedPendulum-v5", 12, 120, {"reset_noise_scale": 0.05}),
        ("Ant-v5", 40, 90, {"healthy_z_range": (0.5, 1.0)}),
        ("Humanoid-v5", 25, 60, {}),
        ("Reacher-v5", 10, 40, {}),
    ],
)
def test_the_same_as_gymnasiums(
    mode: AutoresetMode, task_id: str, limit: int, steps: int, kwargs: dict[str, Any]
) -> None:
    ours = tasks.make_vec(task_id, COUNT, max_episode_steps=limit, autoreset_mode=mode, **kwargs)
    theirs = gymnasiums(task_id, mode, limit, **kwargs)
    assert isinstance(ours, VectorEnv)
    assert ours.num_envs == theirs.num_envs
    assert ours.metadata["autoreset_mode"] is theirs.metadata["autoreset_mode"]
    for space in (
        "single_observation_space",
        "single_action_space",
        "observation_space",
        "action_space",
    ):
        assert getattr(ours, space) == getattr(theirs, space)

    def reset(seed: Any = None, mask: np.ndarray | None = None) -> None:
        # one dictionary each, since Gymnasium takes the mask out of its own
        options = [None if mask is None else {"reset_mask": mask} for _ in range(2)]
        left = ours.reset(seed=seed, options=options[0])
        right = theirs.reset(seed=seed, options=options[1])
        assert_same(left[0], right[0])
        assert_same(left[1], right[1])

    reset(seed=3)
    ours.action_space.seed(0)
    endings = {"terminated": 0, "truncated": 0}
    for step in range(steps):
        actions = ours.action_space.sample()
        left, right = ours.step(actions), theirs.step(actions)
        for mine, other in zip(left, right, strict=True):
            assert_same(mine, other)
        endings["terminated"] += left[2].sum()
        endings["truncated"] += left[3].sum()
        mask = left[2] | left[3]
        if mode is AutoresetMode.DISABLED and mask.any():
            reset(mask=mask)
        if step == steps // 2:
            reset(seed=[7, 7, None, 1, 2])
        if step == steps * 3 // 4:
            reset()
    assert endings["truncated"]
    assert endings["terminated"] or task_id == "Reacher-v5"
    ours.close()
    theirs.close()
    assert ours.closed


def test_states_can_be_set() -> None:
    ours = tasks.make_vec("Hopper-v5", COUNT)
    theirs = gymnasiums("Hopper-v5", AutoresetMode.NEXT_STEP, 1000)
    ours.reset(seed=0)
    theirs.reset(seed=0)
    actions = np.full((COUNT, 3), 0.3, np.float32)
    for env in (ours, theirs):
        env.step(actions)
    rng = np.random.default_rng(0)
    qpos = rng.normal([0, 1.25, 0, 0, 0, 0], 0.01, (COUNT, 6))
    qvel = rng.normal(0, 0.1, (COUNT, 6))
    ours.set_state(qpos, qvel)
    for env, q, v in zip(theirs.envs, qpos, qvel, strict=True):
        env.unwrapped.set_state(q, v)
    for _ in range(20):
        for mine, other in zip(ours.step(actions), theirs.step(actions), strict=True):
            assert_same(mine, other)
    with pytest.raises(ValueError, match=r"qpos: expected the shape \(5, 6\), got \(6,\)"):
        ours.set_state(qpos[0], qvel[0])
    with pytest.raises(TypeError, match="Plateau"):
        tasks.make_vec("Plateau-v0", 2).set_state(qpos, qvel)


@pytest.mark.parametrize("mode", AutoresetMode)
def test_statistics_are_those_of_gymnasiums(mode: AutoresetMode) -> None:
    ours = RecordEpisodeStatistics(
        tasks.make_vec("Hopper-v5", COUNT, max_episode_steps=30, autoreset_mode=mode)
    )
    theirs = RecordEpisodeStatistics(gymnasiums("Hopper-v5", mode, 30))
    ours.reset(seed=0)
    theirs.reset(seed=0)
    rng = np.random.default_rng(0)
    for _ in range(70):
        actions = rng.uniform(-1, 1, (COUNT, 3)).astype(np.float32)
        left, right = ours.step(actions), theirs.step(actions)
        for name in ("r", "l") if "episode" in right[4] else ():
            assert_same(left[4]["episode"][name], right[4]["episode"][name])
        if mode is AutoresetMode.DISABLED and (left[2] | left[3]).any():
            ours.reset()
            theirs.reset()
    assert ours.episode_count == theirs.episode_count >= COUNT
    assert list(ours.return_queue) == list(theirs.return_queue)


def test_statistics_go_on_where_only_some_are_reset() -> None:
    env = RecordEpisodeStatistics(
        tasks.make_vec("Plateau-v0", 3, max_episode_steps=4, autoreset_mode=AutoresetMode.DISABLED)
    )
    env.reset(seed=0)
    actions = np.zeros((3, 2), np.float32)
    env.step(actions)
    env.reset(options={"reset_mask": np.array([True, False, False])})
    for _ in range(3):
        *_, truncated, info = env.step(actions)
    assert truncated.tolist() == [False, True, True]
    assert info["episode"]["l"].tolist() == [0, 4, 4]


def test_gymnasiums_wrappers_and_benchmark_work() -> None:
    low, high = np.float32([-1, 1])
    env = RescaleAction(NormalizeObservation(tasks.make_vec("InvertedPendulum-v5", 3)), low, high)
    env.reset(seed=0)
    env.step(env.action_space.sample())
    assert benchmark_vector_step(tasks.make_vec("Plateau-v0", 2), target_duration=0.1, seed=0) > 0


def test_what_is_wrong_is_named() -> None:
    with pytest.raises(UsageError, match=r"task\.kwargs\.frame_skp"):
        tasks.make_vec("Hopper-v5", 2, frame_skp=3)
    with pytest.raises(ValueError, match="Sometimes"):
        tasks.make_vec("Plateau-v0", 2, autoreset_mode="Sometimes")
    env = tasks.make_vec("Plateau-v0", 2, max_episode_steps=1, autoreset_mode="Disabled")
    actions = np.zeros((2, 2), np.float32)
    with pytest.raises(ResetNeeded, match="before its first reset"):
        env.step(actions)
    with pytest.raises(ValueError, match="expected 2 seeds, got 3"):
        env.reset(seed=[1, 2, 3])
    with pytest.raises(TypeError, match="reset_mask"):
        env.reset(options={"reset_mask": [True, False]})
    with pytest.raises(ValueError, match="reset_mask"):
        env.reset(options={"reset_mask": np.zeros(2, np.bool_)})
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"expected actions of shape \(2, 2\), got \(2,\)"):
        env.step(actions[0])
    env.step(actions)
    with pytest.raises(ResetNeeded, match="have ended"):
        env.step(actions)
