"""Make a video of agents: play, draw, compose, encode."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from poolrl.errors import UsageError
from poolrl.formatting import decimals
from poolrl.render.agents import ShownAgent
from poolrl.render.backend import working_backend
from poolrl.render.compose import composed
from poolrl.render.draw import DEFAULT_SIZE
from poolrl.render.drawing import drawn
from poolrl.render.encode import output_format, write_video
from poolrl.render.job import (
    TRACK,
    Episode,
    Job,
    Quality,
    ReplayedEpisode,
    SimulatedEpisode,
    control_period,
)
from poolrl.render.recording import Recording
from poolrl.render.timeline import Frame, Panel, drawn_moments, frames

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class VideoOptions:
    """How a video looks.

    Attributes:
        size: width and height of a panel in pixels; ``None`` for 480 × 360, or for the size of an
            environment's own pictures.
        fps: frames a second; ``None`` for one a control step.
        quality: ``fast`` leaves out multisampling, shadows and reflections; without effect on an
            environment's own pictures.
        camera: name of a camera of the model; ``None`` for ``track``.
        side_by_side: show iterations, or else episodes, beside each other.
        task: as of ``Job``.
    """

    size: tuple[int, int] | None = None
    fps: Fraction | None = None
    quality: Quality = "fast"
    camera: str | None = None
    side_by_side: bool = False
    task: str | None = None


class Video(NamedTuple):
    """What a video shows.

    Attributes:
        job: what is drawn.
        sequence: its frames.
        panels: its panels.
        fps: frames a second.
    """

    job: Job
    sequence: list[Frame]
    panels: list[Panel]
    fps: Fraction


def make_video(
    agents: Sequence[ShownAgent],
    recordings: Sequence[Recording],
    output: Path,
    options: VideoOptions,
) -> Video:
    """Draw and encode recorded episodes.

    Args:
        agents: the agents.
        recordings: of each agent, with the same number of episodes in the same world.
        output: the file; its suffix says which format.
        options: how it looks.

    Raises:
        UsageError: an option does not suit the model or the format, nothing draws here, or the
            file cannot be written.
        PoolrlError: drawing or encoding failed; nothing is left of the file.
    """
    video = plan(agents, recordings, options, output_format(output).fastest)
    with video_frames(video, options) as images:
        write_video(images, video.fps, output)
    return video


def plan(
    agents: Sequence[ShownAgent],
    recordings: Sequence[Recording],
    options: VideoOptions,
    fastest: Fraction | None = None,
) -> Video:
    """Plan a video: what is drawn, and when and where it is shown.

    Args:
        agents, recordings, options: as for ``make_video``.
        fastest: most frames a second.

    Raises:
        UsageError: the model has no such camera.
    """
    _check_camera(recordings, options.camera)
    period = control_period(recordings[0].control_seconds)
    fps = options.fps or 1 / period
    if fastest is not None:
        fps = min(fps, fastest)
    episodes: list[Episode] = []
    models: list[bytes] = []
    numbers: list[list[int]] = []
    for recording in recordings:
        numbers.append(list(range(len(episodes), len(episodes) + len(recording.episodes))))
        place = _place_of_models(models, recording.models)
        episodes += [
            replace(episode, model=place + episode.model)
            if isinstance(episode, SimulatedEpisode)
            else episode
            for episode in recording.episodes
        ]
    panels = _panels(agents, recordings, numbers, side_by_side=options.side_by_side)
    sequence = frames(panels, [episode.steps for episode in episodes], period, fps)
    camera = None if options.camera == TRACK else options.camera
    job = Job(
        episodes,
        models,
        drawn_moments(sequence),
        options.size,
        options.quality,
        camera,
        options.task,
    )
    return Video(job, sequence, panels, fps)


@contextmanager
def video_frames(video: Video, options: VideoOptions) -> Iterator[Iterator[Image]]:
    """Draw a video's frames, before they are encoded.

    Args:
        video: as planned.
        options: with which it was planned.

    Yields:
        Frames of shape (height, width, 3); each is overwritten by the next one.

    Raises:
        UsageError: nothing draws here.
        PoolrlError: drawing failed; raised by the iterator.
    """
    simulated = isinstance(video.job.episodes[0], SimulatedEpisode)
    size = options.size or (DEFAULT_SIZE if simulated else None)
    backend = working_backend() if simulated or _needs_mujoco() else None
    with drawn(video.job, backend) as pictures:
        yield composed(video.sequence, pictures, video.panels, size)


def _needs_mujoco() -> bool:
    """Whether an environment that this process has made may draw with MuJoCo."""
    return "mujoco" in sys.modules


def _place_of_models(models: list[bytes], more: list[bytes]) -> int:
    """Add models unless they are there; returns the index of the first one."""
    for place in range(len(models) - len(more) + 1):
        if more and models[place : place + len(more)] == more:
            return place
    models += more
    return len(models) - len(more)


def _check_camera(recordings: Sequence[Recording], camera: str | None) -> None:
    if camera in (None, TRACK):
        return
    cameras = recordings[0].cameras
    if isinstance(recordings[0].episodes[0], ReplayedEpisode) and cameras == []:
        raise UsageError(f"--camera {camera}: the environment's own pictures know no cameras")
    if cameras is not None and camera not in cameras:
        there = dict.fromkeys([TRACK, *cameras])
        raise UsageError(f"--camera {camera}: no such camera; there: {', '.join(there)}")


def _panels(
    agents: Sequence[ShownAgent],
    recordings: Sequence[Recording],
    numbers: Sequence[Sequence[int]],
    *,
    side_by_side: bool,
) -> list[Panel]:
    """Arrange the episodes: several agents have a panel each, or else several episodes; without
    ``side_by_side`` there is one panel."""
    each = [
        Panel(list(episodes), _captions(agent, recording))
        for agent, recording, episodes in zip(agents, recordings, numbers, strict=True)
    ]
    flat = Panel([n for p in each for n in p.episodes], [c for p in each for c in p.captions])
    if not side_by_side:
        return [flat]
    if len(each) > 1:
        return each
    return [Panel([n], [c]) for n, c in zip(flat.episodes, flat.captions, strict=True)]


def _captions(shown: ShownAgent, recording: Recording) -> list[str]:
    captions = []
    for episode, value in enumerate(recording.returns):
        words = [] if shown.iteration is None else [f"iteration {shown.iteration}"]
        words += [f"episode {episode}"] if len(recording.returns) > 1 else []
        captions.append(" · ".join([*words, f"return {decimals(value)}"]))
    return captions
