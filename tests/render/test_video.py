"""Frames of a video, before they are encoded."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from poolrl.agent import Agent
from poolrl.errors import UsageError
from poolrl.formatting import decimals
from poolrl.render.agents import ShownAgent
from poolrl.render.job import Array, SimulatedEpisode
from poolrl.render.recording import Recording, record
from poolrl.render.video import VideoOptions, plan, video_frames
from tests.helpers.agents import new_agent
from tests.helpers.rodents import imitating_agent, needs_h5py, write_worm

SMALL = VideoOptions(size=(96, 72))


def swimmer(steps: int = 3, **keys: object) -> Agent:
    return new_agent(task__id="Swimmer-v5", task__max_episode_steps=steps, **keys)


def recorded(agent: Agent, episodes: int = 1) -> Recording:
    return record(agent, agent.metadata.world, episodes, 0, deterministic=True)


def all_frames(
    agents: list[Agent], options: VideoOptions = SMALL, episodes: int = 1
) -> list[NDArray[np.uint8]]:
    """The frames of a video, in which the agents are champions of iterations 0, 1, …"""
    shown = [ShownAgent(agent, iteration) for iteration, agent in enumerate(agents)]
    video = plan(shown, [recorded(agent, episodes) for agent in agents], options)
    with video_frames(video, options) as images:
        return [image.copy() for image in images]


def all_frames_of(
    agent: Agent, recording: Recording, options: VideoOptions
) -> list[NDArray[np.uint8]]:
    """The frames of a video of one recording."""
    video = plan([ShownAgent(agent)], [recording], options)
    with video_frames(video, options) as images:
        return [image.copy() for image in images]


def sha256s(images: list[NDArray[np.uint8]]) -> list[str]:
    return [hashlib.sha256(image.tobytes()).hexdigest() for image in images]


def test_two_processes_draw_the_same_frames(draws: None) -> None:
    first, second = (all_frames([swimmer()]) for _ in range(2))
    assert sha256s(first) == sha256s(second)
    assert len(set(sha256s(first))) == 4
    assert first[0].shape == (72, 96, 3)
    full = all_frames([swimmer()], replace(SMALL, quality="full"))
    # Edges and shadows differ, and not the picture.
    assert 0 < np.abs(first[0].astype(float) - full[0]).mean() < 30


def test_side_by_side(draws: None) -> None:
    agents = [swimmer(2), swimmer(4)]
    alone = [all_frames([agent]) for agent in agents]
    together = all_frames(agents, replace(SMALL, side_by_side=True))
    assert [image.shape for image in together] == [(72, 192, 3)] * 5
    below_caption = slice(20, None)
    for number, image in enumerate(together):
        for panel, own in enumerate(alone):
            left = 96 * panel
            assert np.array_equal(
                image[below_caption, left : left + 96],
                own[min(number, len(own) - 1)][below_caption],
            )
    one_after_another = all_frames(agents)
    assert len(one_after_another) == 3 + 5


def test_captions() -> None:
    agent = swimmer(1)
    recording = recorded(agent, 2)
    one, two = (f"return {decimals(value)}" for value in recording.returns)
    for iteration, before in ((None, ""), (7, "iteration 7 · ")):
        (panel,) = plan([ShownAgent(agent, iteration)], [recording], SMALL).panels
        assert panel.captions == [f"{before}episode 0 · {one}", f"{before}episode 1 · {two}"]


def test_options_of_time() -> None:
    agent = swimmer(4)
    shown, recording = [ShownAgent(agent)], [recorded(agent)]
    video = plan(shown, recording, SMALL)
    assert (video.fps, len(video.sequence)) == (25, 5)
    video = plan(shown, recording, replace(SMALL, fps=Fraction(100)), fastest=Fraction(50))
    assert (video.fps, len(video.sequence)) == (50, 9)


def test_randomised_episodes_have_models_of_their_own(draws: None) -> None:
    keys = {"task__randomize": {"geom_size": {"scale": [0.2, 3.0]}}}
    agent = swimmer(4, **keys)
    recording = recorded(agent, 2)
    longer, other = recording.episodes
    assert isinstance(longer, SimulatedEpisode)
    shorter = SimulatedEpisode(longer.model, Array.of(longer.states.array()[:2]))
    recording = recording._replace(episodes=[shorter, other])
    first = shorter.steps
    together = all_frames_of(agent, recording, replace(SMALL, side_by_side=True))
    alone = all_frames_of(agent, recording, SMALL)
    below_caption = slice(20, None)
    left, right = (together[0][below_caption, at : at + 96].astype(float) for at in (0, 96))
    assert np.abs(left - right).mean() > 1  # geoms of other sizes
    for panel, own in enumerate((alone[: first + 1], alone[first + 1 :])):
        for number, image in enumerate(together):
            shown = image[below_caption, 96 * panel : 96 * panel + 96]
            assert np.array_equal(shown, own[min(number, len(own) - 1)][below_caption])


def test_an_unknown_camera_names_those_there_are() -> None:
    agent = swimmer(1)
    with pytest.raises(UsageError, match="--camera nose: no such camera; there: track"):
        plan([ShownAgent(agent)], [recorded(agent)], VideoOptions(camera="nose"))
    agent = new_agent(task__id="CartPole-v1", task__max_episode_steps=2)
    with pytest.raises(UsageError, match="--camera nose: the environment's own pictures"):
        plan([ShownAgent(agent)], [recorded(agent)], VideoOptions(camera="nose"))


def test_an_adapted_environment_draws_itself() -> None:
    agent = new_agent(task__id="CartPole-v1", task__max_episode_steps=12)
    options = VideoOptions()
    images = all_frames([agent], options)
    assert {image.shape for image in images} == {(400, 600, 3)}
    assert (images[0][100:] == 255).mean() > 0.5  # a white background
    assert len(set(sha256s(images))) > 2
    assert sha256s(all_frames([agent], options)) == sha256s(images)
    fitted = all_frames([agent], SMALL)
    assert fitted[0].shape == (72, 96, 3)
    assert (fitted[0][-3:] == 0).all()  # bars, since the shape is another


@needs_h5py
def test_a_ghost_is_drawn_where_the_movement_is(tmp_path: Path, draws: None) -> None:
    agent = imitating_agent(write_worm(tmp_path, 8))
    recording = record(agent, agent.metadata.world, 1, 0, deterministic=True, ghost=True)
    (episode,) = recording.episodes
    assert isinstance(episode, SimulatedEpisode)
    assert episode.ghost is not None
    pictures = []
    for height in (None, 0.1, 0.2):
        above = episode.ghost.array() + np.array([0, 0, height or 0.0, *[0] * 6])
        ghost = None if height is None else Array.of(above)
        shown = recording._replace(episodes=[msgspec.structs.replace(episode, ghost=ghost)])
        frames = all_frames_of(agent, shown, SMALL)
        pictures.append(np.array(frames, np.int16)[:, 20:])  # below the caption
    without, low, high = pictures
    rows = []
    for picture in (low, high):
        difference = picture - without
        assert 0 < (difference != 0).any(axis=3).mean() < 0.3
        assert np.abs(difference).max() < 150  # what is behind it shines through
        rows.append(np.nonzero(difference)[1].mean())
    assert rows[1] < rows[0]
