"""Episodes are played as ``poolrl evaluate`` plays them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from poolrl.clips import read_clips
from poolrl.errors import UsageError
from poolrl.render.job import ReplayedEpisode, SimulatedEpisode
from poolrl.render.recording import record
from poolrl.rollouts.evaluation import run_episodes
from poolrl.seeding import Purpose, Streams
from tests.helpers.agents import new_agent
from tests.helpers.command_line import in_process
from tests.helpers.rodents import imitating_agent, needs_h5py, write_worm

SWIMMER = {"task__id": "Swimmer-v5", "task__max_episode_steps": 7}


@pytest.mark.parametrize("deterministic", [True, False])
def test_returns_are_those_of_evaluate(tmp_path: Path, deterministic: bool) -> None:
    agent = new_agent(**SWIMMER)
    world = agent.metadata.world
    recording = record(agent, world, 5, 3, deterministic=deterministic)
    evaluated = run_episodes(agent, world, 5, 3, deterministic=deterministic)
    assert recording.returns.tolist() == evaluated.returns.tolist()
    (tmp_path / "agent.safetensors").write_bytes(agent.to_bytes())
    options = [] if deterministic else ["--stochastic"]
    arguments = ("agent.safetensors", "--episodes", "5", "--seed", "3", "--json", *options)
    summary = json.loads(in_process("evaluate", *arguments, cwd=tmp_path).stdout)
    assert summary["mean"] == recording.returns.mean()
    assert (summary["min"], summary["max"]) == (recording.returns.min(), recording.returns.max())


def test_more_episodes_than_simulations_keep_their_order() -> None:
    agent = new_agent(task__id="InvertedPendulum-v5", task__max_episode_steps=30)
    recording = record(agent, agent.metadata.world, 70, 0, deterministic=False)
    # The pendulum's reward is 1 a step, but for the one in which it has fallen.
    assert [episode.steps - 1 for episode in recording.episodes] == recording.returns.tolist()
    assert len(set(recording.returns)) > 5


def test_states_are_those_of_the_simulation() -> None:
    agent = new_agent(**SWIMMER)
    recording = record(agent, agent.metadata.world, 2, 3, deterministic=True)
    for number, episode in enumerate(recording.episodes):
        assert isinstance(episode, SimulatedEpisode)
        states = episode.states.array()
        assert (len(states), episode.steps, episode.model) == (8, 7, 0)
        generator = Streams(3).generator(Purpose.EVALUATE_RESET, number)
        assert states[0, 1:6] == pytest.approx(generator.uniform(-0.1, 0.1, 10)[:5])
        assert np.allclose(np.diff(states[:, 0]), recording.control_seconds)
    assert recording.control_seconds == pytest.approx(0.04)
    assert recording.cameras == ["track"]
    assert len(recording.models) == 1


def test_every_control_step_of_repeated_actions_is_kept() -> None:
    agent = new_agent(**SWIMMER, task__action_repeat=3)
    (episode,) = record(agent, agent.metadata.world, 1, 0, deterministic=True).episodes
    assert episode.steps == 7


def test_randomised_episodes_have_models_of_their_own() -> None:
    keys = {"task__randomize": {"geom_size": {"scale": [0.5, 2.0]}}}
    agent = new_agent(**SWIMMER, **keys)
    recording = record(agent, agent.metadata.world, 3, 0, deterministic=True)
    assert len(set(recording.models)) == 3
    assert [
        episode.model for episode in recording.episodes if isinstance(episode, SimulatedEpisode)
    ] == [0, 1, 2]


def test_of_an_adapted_environment_the_actions_are_kept() -> None:
    agent = new_agent(task__id="CartPole-v1", task__max_episode_steps=9)
    world = agent.metadata.world
    recording = record(agent, world, 2, 0, deterministic=False)
    evaluated = run_episodes(agent, world, 2, 0, deterministic=False)
    assert recording.returns.tolist() == evaluated.returns.tolist()
    for number, episode in enumerate(recording.episodes):
        assert isinstance(episode, ReplayedEpisode)
        assert (episode.number, episode.world) == (number, world)
        assert episode.rewards.array().sum() == recording.returns[number]
    assert recording.control_seconds == pytest.approx(0.02)
    assert recording.cameras == []


def test_what_cannot_be_drawn_is_one_line() -> None:
    agent = new_agent()
    with pytest.raises(UsageError, match="Plateau-v0 cannot be drawn"):
        record(agent, agent.metadata.world, 1, 0, deterministic=True)
    other = replace(agent.metadata.world, id="Nowhere-v0")
    with pytest.raises(UsageError, match="unknown task"):
        record(agent, other, 1, 0, deterministic=True)


@needs_h5py
def test_the_movement_that_is_imitated_is_kept(tmp_path: Path) -> None:
    kwargs = write_worm(tmp_path, 12, 9) | {"max_target_distance": 0.02, "start_frames": 3}
    agent = imitating_agent(kwargs)
    world, clips = agent.metadata.world, [clip.qpos for clip in read_clips(kwargs["clips"])]
    plain = record(agent, world, 6, 1, deterministic=True)
    recording = record(agent, world, 6, 1, deterministic=True, ghost=True)
    assert recording.returns.tolist() == plain.returns.tolist()
    firsts = set()
    for episode, without in zip(recording.episodes, plain.episodes, strict=True):
        assert isinstance(episode, SimulatedEpisode)
        assert isinstance(without, SimulatedEpisode)
        assert without == replace(episode, ghost=None)
        assert episode.ghost is not None
        start = episode.states.array()[0, 1:10] - [0, 0, 0.01, *[0] * 6]
        (number,) = (i for i, qpos in enumerate(clips) if np.isclose(qpos, start).all(axis=1).any())
        first = int(np.isclose(clips[number], start).all(axis=1).argmax())
        frames = first + np.arange(episode.steps + 1) // 2  # 100 control steps a second, 50 frames
        assert np.array_equal(episode.ghost.array(), clips[number][frames])
        firsts.add((number, first))
    assert len(firsts) > 2


@pytest.mark.parametrize("task", ["Swimmer-v5", "CartPole-v1"])
def test_other_tasks_have_no_such_movement(tmp_path: Path, task: str) -> None:
    agent = new_agent(task__id=task, task__max_episode_steps=3)
    (tmp_path / "agent.safetensors").write_bytes(agent.to_bytes())
    said = in_process("render", "agent.safetensors", "-o", "a.gif", "--ghost", cwd=tmp_path)
    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr == f"poolrl: --ghost: {task} has no movement that is to be imitated\n"
    assert not (tmp_path / "a.gif").exists()
