"""The process that draws: ``python -m poolrl.render.draw`` with a job in standard input.

It is a process of its own because MuJoCo reads MUJOCO_GL once, when it is imported, and because a
driver that fails may end the process. Each picture is written to standard output as its height and
width, two numbers of four bytes in network order, and its pixels, three bytes each.
"""

from __future__ import annotations

import os
import struct
import sys
from typing import TYPE_CHECKING, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from poolrl.errors import PoolrlError, one_line
from poolrl.render.job import Episode, Job, SimulatedEpisode

if TYPE_CHECKING:
    from poolrl.render.scene import Scene

HEADER = struct.Struct("!II")
"""Height and width of the picture that follows."""

DEFAULT_SIZE = (480, 360)
"""Width and height in pixels of what MuJoCo draws."""

Image = NDArray[np.uint8]


class _Source(Protocol):
    """Pictures of one episode, by the number of control steps."""

    def image(self, step: int) -> Image: ...

    def close(self) -> None: ...


def draw(job: Job, stream: BinaryIO) -> None:
    """Draw the moments of a job, in order.

    Args:
        job: what to draw.
        stream: where the pictures are written to.

    Raises:
        PoolrlError: something cannot be drawn.
        BrokenPipeError: nobody reads the pictures any more.
    """
    sources: dict[int, _Source] = {}
    scenes: dict[int, Scene] = {}
    last = {moment.episode: place for place, moment in enumerate(job.moments)}
    last_of_model = {
        episode.model: place
        for number, place in sorted(last.items(), key=lambda item: item[1])
        if isinstance(episode := job.episodes[number], SimulatedEpisode)
    }
    for place, moment in enumerate(job.moments):
        episode = job.episodes[moment.episode]
        source = sources.get(moment.episode)
        if source is None:
            source = sources[moment.episode] = _source(job, episode, scenes)
        image = source.image(moment.step)
        stream.write(HEADER.pack(*image.shape[:2]))
        stream.write(np.ascontiguousarray(image).data)
        if last[moment.episode] == place:
            sources.pop(moment.episode).close()
        # Each scene holds an OpenGL context, and of randomised tasks each episode has its own.
        if isinstance(episode, SimulatedEpisode) and last_of_model[episode.model] == place:
            scenes.pop(episode.model).close()
    stream.flush()


def _source(job: Job, episode: Episode, scenes: dict[int, Scene]) -> _Source:
    if isinstance(episode, SimulatedEpisode):
        from poolrl.render.scene import Scene

        if episode.model not in scenes:
            model, size = job.models[episode.model], job.size or DEFAULT_SIZE
            states = [
                each.states.array().astype(np.float64)
                for each in job.episodes
                if isinstance(each, SimulatedEpisode) and each.model == episode.model
            ]
            scenes[episode.model] = Scene(model, size, job.quality, job.camera, states)
        return _States(scenes[episode.model], episode)
    from poolrl.render.replay import Replay

    return Replay(episode, job.camera, job.task)


class _States:
    """Pictures of a simulated episode."""

    def __init__(self, scene: Scene, episode: SimulatedEpisode) -> None:
        self._scene = scene
        self._states = episode.states.array().astype(np.float64)
        self._ghost = (
            episode.ghost.array().astype(np.float64) if episode.ghost is not None else None
        )

    def image(self, step: int) -> Image:
        ghost = None if self._ghost is None else self._ghost[step]
        return self._scene.image(self._states[step], ghost)

    def close(self) -> None:
        pass


def main() -> int:
    """Draw the job of standard input; an expected failure is one line on standard error."""
    stream = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what drivers and users' code print is no picture
    try:
        draw(Job.decode(sys.stdin.buffer.read()), stream)
    except BrokenPipeError:
        os._exit(1)  # the reader has gone, and a flush at the end would fail again
    except PoolrlError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except Exception as error:
        print(f"cannot draw: {one_line(error)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    # Without the interpreter's end, in which some drivers of OpenGL crash.
    os._exit(code)
