"""Imitation: observations, rewards and ends against formulas computed number by number."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from poolrl import tasks
from poolrl.clips import read_clips
from poolrl.parallel import use_threads
from poolrl.rollouts.episode_infos import MAX_KEYS, EpisodeInfos
from poolrl.tasks.imitation.imitation import Imitation
from poolrl.tasks.imitation.rodent import END_EFFECTORS
from tests.helpers.rodents import PlainImitation, needs_dm, write_rat_clips, write_worm

pytestmark = needs_dm


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_rat_clips(tmp_path_factory.mktemp("clips") / "clips.h5")


def make(n: int, clips: str, **kwargs: object) -> Imitation:
    task = tasks.make("RodentImitation-v0", n, kwargs={"clips": clips, **kwargs})
    assert isinstance(task, Imitation)
    return task


def compare(clips: str, steps: int, **kwargs: object) -> Counter[str]:
    """Step a simulation for each clip and their plain twins; return how episodes ended."""
    task, files = make(3, clips, **kwargs), read_clips(clips)
    random, ends, episodes = np.random.default_rng(0), Counter[str](), 0

    def started(i: int) -> PlainImitation:
        nonlocal episodes
        task.reset(np.array([i]), [np.random.default_rng([7, episodes])])
        episodes += 1
        speed = float(np.exp(task._log_speed[i, 0]))
        return PlainImitation(task.model, files[task.clip[i]], int(task.frame[i]), speed)

    plain = [started(i) for i in range(3)]
    for k in range(steps):
        assert np.allclose(task.observe(), [p.observation() for p in plain], rtol=0, atol=1e-10)
        # Quiet actions too, of which episodes end otherwise than by a fall.
        size = (1.5, 0.4, 0.0)[k // 40 % 3]
        action = random.uniform(-size, size, (3, 38))
        result = task.step(action)
        terms = task.reward_terms()
        for i, one in enumerate(plain):
            one.step(action[i])
            rewards = one.rewards()
            assert abs(result.reward[i] - sum(rewards.values())) < 1e-10
            for name, value in rewards.items():
                assert abs(terms[name][i] - value) < 1e-10
            status = one.status()
            assert bool(result.terminated[i]) is (status == "terminated")
            assert bool(result.truncated[i]) is (status == "truncated")
            assert np.allclose(result.observation[i], one.observation(), rtol=0, atol=1e-10)
            if status != "running":
                ends[status] += 1
                plain[i] = started(i)
    assert {int(c) for c in task.clip} <= {0, 1, 2}
    return ends


def test_a_few_steps_are_those_of_plain_mujoco(clips: str) -> None:
    ends = compare(clips, 120)
    assert set(ends) == {"terminated", "truncated"}


@pytest.mark.full
def test_thousands_of_steps_are(clips: str) -> None:
    assert sum(compare(clips, 2000).values()) > 20


def test_so_are_they_of_clips_played_faster(clips: str) -> None:
    assert compare(clips, 60, speed_range=4.0, start_frames=20)["truncated"]


def test_an_episode_begins_at_the_clips_pose(clips: str) -> None:
    task = make(2, clips, spawn_z_offset=0.0)
    task.begin(np.arange(2), np.array([1, 2]), np.array([20, 3]))
    assert task.body_errors().shape == (2, 18)
    assert task.body_errors().max() < 1e-9
    clip = task.references.starts[task.clip] + task.frame
    assert np.array_equal(task.qpos, task.references.qpos[clip])
    observation = task.observe()
    joints = task.references.qpos[clip[:, None] + np.arange(1, 6), 7:]
    assert np.array_equal(observation[:, 230:565], joints.reshape(2, -1))
    # The last fifteen are where the end effectors are.
    own = task.position[:, None] + np.einsum("nij,nkj->nki", task.rotation, task._target_limbs)
    assert np.abs(own - task._positions[:, task._effectors]).max() < 1e-9
    for clips_, frames in (
        ([3, 0], [0, 0]),
        ([0, -1], [0, 0]),
        ([2, 2], [10, 0]),
        ([0, 0], [-1, 0]),
    ):
        with pytest.raises(ValueError, match=r"^(clips|frames): expected"):
            task.begin(np.arange(2), np.array(clips_), np.array(frames))


def test_ends_have_an_order(clips: str) -> None:
    def after(far: bool, **kwargs: float) -> tuple[list[bool], list[bool]]:
        """Flags of a step in which the clip has no further frame, and of one before, with the body
        beside the clip or not."""
        task = make(2, clips, **kwargs)
        task.begin(np.arange(2), np.array([2, 2]), np.array([9, 8]))  # of 16 frames
        for _ in range(2):
            task.qpos[:, 0] += 0.2 * far
            result = task.step(np.zeros((2, 38)))
        return result.terminated.tolist(), result.truncated.tolist()

    assert after(far=False) == ([False, False], [True, False])
    assert after(far=True) == ([False, True], [True, False])
    assert after(far=True, min_torso_z=1.0) == ([True, True], [False, False])


def test_info_has_its_names_before_a_step(clips: str) -> None:
    task = make(2, clips)
    task.reset(np.arange(2), [np.random.default_rng(i) for i in range(2)])
    before = task.info().keys()
    task.step(np.zeros((2, 38)))
    assert before | task.reward_terms().keys() == task.info().keys()


def test_parts_of_the_observation_are_senses(clips: str) -> None:
    sizes = {
        (("speed_range", 2.0),): (201, 715),
        (("simplified_target", True),): (200, 30),
        (("horizon", 2),): (200, 295),
        (): (200, 715),
    }
    for options, (own, target) in sizes.items():
        task = make(1, clips, **dict(options))
        senses = task.senses()
        assert list(senses) == ["proprioception", "target"]
        assert [int(mask.sum()) for mask in senses.values()] == [own, target]
        assert senses["proprioception"][:own].all()
        assert task.observation_space.shape == (own + target,)
    velocities = task.velocities()
    assert velocities is not None
    # Joints, head velocity and gyroscope, and the velocity of the centre of mass.
    assert np.flatnonzero(velocities).tolist() == [
        *range(67, 134),
        *range(172, 175),
        *range(178, 184),
    ]


def test_start_and_speed_come_from_the_episodes_generator(clips: str) -> None:
    task = make(40, clips, start_frames=8, speed_range=2.0)

    def drawn(seed: int) -> list[tuple[int, int, float]]:
        task.reset(np.arange(40), [np.random.default_rng([seed, i]) for i in range(40)])
        return list(
            zip(task.clip.tolist(), task.frame.tolist(), task._log_speed[:, 0], strict=True)
        )

    first = drawn(0)
    assert first != drawn(1)
    assert first == drawn(0)
    clip, frame, speed = map(np.array, zip(*first, strict=True))
    assert set(clip) == {0, 1, 2}
    assert set(frame) == set(range(8))
    assert np.abs(speed).max() <= np.log(2.0) < 2 * np.abs(speed).max()
    assert np.array_equal(task.observe()[:, 200], speed)


def test_bits_do_not_depend_on_threads_and_neighbours(clips: str) -> None:
    runs = []
    for threads, n in ((1, 4), (2, 4), (1, 1)):
        with use_threads(threads):
            task = make(n, clips, speed_range=1.5)
        task.reset(np.arange(n), [np.random.default_rng([2, i]) for i in range(n)])
        random = np.random.default_rng(3)
        run = []
        for k in range(8):
            action = random.uniform(-1, 1, (4, 38)).astype(np.float32)[:n]
            result = task.step(action, np.array([0, *([2] * (n > 1))]) if k == 4 else None)
            run.append(np.append(result.observation[0], result.reward[0]))
        runs.append((np.array(run), task.steps.tolist()))
    assert all(np.array_equal(runs[0][0], run) for run, _ in runs[1:])
    assert runs[0][1] == [8, 7, 8, 7]


def test_info_says_what_the_reward_is_made_of(clips: str) -> None:
    task = make(3, clips)
    infos = EpisodeInfos(task)
    assert len(infos.names_after_a_step()) <= MAX_KEYS
    task.reset(np.arange(3), [np.random.default_rng(i) for i in range(3)])
    rewards = [task.step(np.full((3, 38), 0.1)).reward for _ in range(3)]
    info = task.info()
    assert np.allclose(sum(task.reward_terms().values()), rewards[-1], rtol=0, atol=1e-14)
    assert np.allclose(info["cumulative_reward"], np.sum(rewards, axis=0), rtol=0, atol=1e-13)
    assert info["lifetime"].tolist() == [3.0] * 3
    assert info["target_frame"].tolist() == [1.0] * 3
    assert np.allclose(info["com_reward"], np.exp(-((info["target_distance"] / 0.05) ** 2)))
    assert np.allclose(
        info["angle_reward"], np.exp(-((np.deg2rad(info["angle_to_target"]) / 0.5) ** 2))
    )
    assert np.allclose(info["joint_reward"], np.exp(-((info["joint_error"] / 2) ** 2)))
    limbs = np.array([info[f"{name}_error"] for name in END_EFFECTORS])
    assert np.allclose(info["append_reward"], np.exp(-((limbs / 0.02) ** 2)).mean(axis=0))
    assert info["ctrl_penalty"] == pytest.approx(-0.005 * 0.38)
    assert all(np.isfinite(values).all() for values in info.values())


def test_any_body_imitates_its_own_clips(tmp_path: Path) -> None:
    task = tasks.make("RodentImitation-v0", 3, kwargs=write_worm(tmp_path))
    assert isinstance(task, Imitation)
    # 2 joints, their velocities, gyroscope, matrix, centre of mass, touch; 5 frames ahead, 2 limbs.
    assert {name: int(mask.sum()) for name, mask in task.senses().items()} == {
        "proprioception": 2 + 2 + 3 + 9 + 3 + 1,
        "target": 5 * (3 + 3 + 2 + 2) + 6,
    }
    assert task.action_space.low.tolist() == pytest.approx([-1.0, -0.2])
    task.reset(np.arange(3), [np.random.default_rng(i) for i in range(3)])
    for k in range(48):
        result = task.step(np.full((3, 2), 0.5))
        assert task.ctrl[0].tolist() == [0.5, 0.1]  # clipped
        assert np.isfinite(result.observation).all()
        assert result.truncated.tolist() == [k == 47] * 3  # 24 frames of 30 without those ahead
        assert not result.terminated.any()
    assert {"tail_error", "head_error"} < task.info().keys()
    assert task.info_aggregates["tail_error"] == "mean"
    assert task.body_errors().shape == (3, 2)
