"""How fast videos are made, against MuJoCo's renderer at the model's own quality.

    python benchmarks/render.py [TASK ...] [--rounds 5] [--frames 300]
        [--output results/benchmarks/render.md]

The same states of a new agent's first episode, 480 × 360 pixels, in frames a second:

- `mujoco.Renderer`: the states set, and drawn at the model's own quality by its camera `track` in
  one process; nothing is encoded;
- `fast`: `poolrl render`, whose process draws while this one composes and encodes H.264;
- `full`: the same with `--quality full`.

All are timed in turn, round by round, so that a machine whose speed drifts slows all alike, and
from the first frame that is drawn to the last: what it takes to begin, the renderer's construction
or poolrl's process, is a column of its own. Slow renderers draw fewer frames. Times are those of a
clock, since drivers use threads and processes of their own; a ratio is the median over rounds.
"""

from __future__ import annotations

import report  # isort: skip  (before NumPy is loaded)

import os
import platform
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np

from poolrl import tasks
from poolrl.agent import Agent
from poolrl.algorithms.training import initial_agent
from poolrl.config.loading import load
from poolrl.render.agents import ShownAgent
from poolrl.render.backend import working_backend
from poolrl.render.draw import DEFAULT_SIZE
from poolrl.render.encode import write_video
from poolrl.render.job import Array, Quality, SimulatedEpisode
from poolrl.render.recording import Recording, record
from poolrl.render.video import VideoOptions, plan, video_frames
from poolrl.seeding import Streams

TASKS = ("Swimmer-v5", "HalfCheetah-v5", "Humanoid-v5")

SLOW = 8
"""Drawing at the model's own quality is given so many times fewer frames."""


class Timing(NamedTuple):
    """Frames a second, and seconds before the first frame."""

    fps: float
    start: float


def new_agent(task_id: str, steps: int) -> Agent:
    """An agent that has not learned anything, of episodes that last so many steps at most."""
    keys: dict[str, object] = {"task.id": task_id, "task.max_episode_steps": steps}
    if task_id.startswith("Humanoid"):
        keys["task.kwargs.terminate_when_unhealthy"] = False
    spec = load(None, keys)[0]
    with tasks.closing(tasks.make(spec.task, 1), spec.task) as task:
        return initial_agent(spec, task, Streams(0))


def by_renderer(model: Any, states: np.ndarray) -> Timing:
    """Draw states as MuJoCo's documentation shows it."""
    import mujoco

    begin = time.perf_counter()
    width, height = DEFAULT_SIZE
    data = mujoco.MjData(model)
    with mujoco.Renderer(model, height, width) as renderer:

        def draw(state: np.ndarray) -> None:
            mujoco.mj_setState(model, data, state, mujoco.mjtState.mjSTATE_INTEGRATION)
            mujoco.mj_forward(model, data)
            renderer.update_scene(data, "track")
            renderer.render()

        draw(states[0])
        first = time.perf_counter()
        for state in states[1:]:
            draw(state)
        return Timing((len(states) - 1) / (time.perf_counter() - first), first - begin)


def by_poolrl(agent: Agent, recording: Recording, quality: Quality) -> Timing:
    """Make a video, as ``poolrl render`` does."""
    options = VideoOptions(quality=quality)
    begin = time.perf_counter()
    first = 0.0

    def timed(images: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        nonlocal first
        for image in images:
            first = first or time.perf_counter()
            yield image

    video = plan([ShownAgent(agent)], [recording], options)
    with tempfile.TemporaryDirectory() as folder, video_frames(video, options) as images:
        write_video(timed(images), video.fps, Path(folder) / "video.mp4")
    return Timing((len(video.sequence) - 1) / (time.perf_counter() - first), first - begin)


def shortened(recording: Recording, frames: int) -> Recording:
    """The first frames of a recording."""
    (episode,) = recording.episodes
    assert isinstance(episode, SimulatedEpisode)
    states = Array.of(episode.states.array()[:frames])
    return recording._replace(episodes=[SimulatedEpisode(episode.model, states)])


def measure(task_id: str, rounds: int, frames: int) -> dict[str, list[Timing]]:
    """Time all of them in turn."""
    import mujoco

    agent = new_agent(task_id, frames)
    recording = record(agent, agent.metadata.world, 1, 0, deterministic=False)
    (episode,) = recording.episodes
    assert isinstance(episode, SimulatedEpisode)
    few = shortened(recording, max(2, frames // SLOW))
    model = mujoco.MjModel.from_binary_path("model.mjb", {"model.mjb": recording.models[0]})
    states = np.asarray(few.episodes[0].states.array(), float)  # type: ignore[union-attr]
    timings: dict[str, list[Timing]] = {"mujoco.Renderer": [], "fast": [], "full": []}
    for _ in range(rounds):
        timings["mujoco.Renderer"].append(by_renderer(model, states))
        timings["fast"].append(by_poolrl(agent, recording, "fast"))
        timings["full"].append(by_poolrl(agent, few, "full"))
    return timings


def row(task_id: str, timings: dict[str, list[Timing]]) -> list[str]:
    """The cells of one task."""
    own = timings["mujoco.Renderer"]
    cells = [task_id, f"{statistics.median(each.fps for each in own):.1f}"]
    for name in ("fast", "full"):
        ratios = [mine.fps / his.fps for mine, his in zip(timings[name], own, strict=True)]
        cells.append(f"{statistics.median(each.fps for each in timings[name]):.1f}")
        cells.append(f"{statistics.median(ratios):.2f} × ({min(ratios):.2f} to {max(ratios):.2f})")
    for name in ("mujoco.Renderer", "fast"):
        cells.append(f"{statistics.median(each.start for each in timings[name]):.2f}")
    return cells


@click.command()
@click.argument("task_ids", nargs=-1)
@click.option("--rounds", default=5, show_default=True)
@click.option("--frames", default=300, show_default=True)
@click.option("--output", type=click.Path(path_type=Path))
def main(task_ids: tuple[str, ...], rounds: int, frames: int, output: Path | None) -> None:
    """Measure tasks of MuJoCo whose model has a camera `track`."""
    backend = working_backend()
    if backend is not None:
        os.environ["MUJOCO_GL"] = backend  # before MuJoCo is imported
    rows = []
    for task_id in task_ids or TASKS:
        click.echo(f"{task_id} …", err=True)
        rows.append(row(task_id, measure(task_id, rounds, frames)))
    head = ["task", "mujoco.Renderer", "fast", "fast / mujoco.Renderer", "full"]
    head += ["full / mujoco.Renderer", "start of mujoco.Renderer, s", "start of poolrl, s"]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    lines = [report.table(head, rows), ""]
    lines.append(
        f"Frames a second at 480 × 360, MUJOCO_GL={backend}, {cores} cores ({platform.machine()}); "
        f"medians of {rounds} rounds, of ratios with their range."
    )
    command = f"python benchmarks/render.py --rounds {rounds} --frames {frames}"
    report.keep(output, "Drawing and encoding", command, "\n".join(lines))


if __name__ == "__main__":
    main()
