"""What the process that draws is sent: recorded episodes, and which of their moments to draw."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from poolrl.config.schema import World
from poolrl.errors import UsageError

MAX_SIZE = 4096
"""Largest width and height of a panel in pixels."""

TRACK = "track"
"""Name of the camera that Gymnasium's models follow their body with, used where there is one."""

Quality = Literal["fast", "full"]


class Array(Struct, frozen=True):
    """An array as msgspec can encode it.

    Attributes:
        data: its bytes, in C order.
        shape: its shape.
        dtype: its type, as ``numpy.dtype.str``.
    """

    data: bytes
    shape: tuple[int, ...]
    dtype: str

    @classmethod
    def of(cls, array: NDArray[np.generic]) -> Array:
        """Encode an array."""
        return cls(array.tobytes(), array.shape, array.dtype.str)

    def array(self) -> NDArray[np.generic]:
        """Decode it; the result is read-only."""
        return np.frombuffer(self.data, np.dtype(self.dtype)).reshape(self.shape)


class SimulatedEpisode(Struct, frozen=True, tag=True):
    """An episode of a task on ``mujoco.batch``, as the states of its simulation.

    Attributes:
        model: index of its model in the job.
        states: (steps + 1, size of ``mjSTATE_INTEGRATION``), from the initial state on.
        ghost: (steps + 1, nq): positions of the body that it is to imitate, which is drawn beside
            it; ``None`` for none.
    """

    model: int
    states: Array
    ghost: Array | None = None

    @property
    def steps(self) -> int:
        """Control steps of the episode."""
        return self.states.shape[0] - 1


class ReplayedEpisode(Struct, frozen=True, tag=True):
    """An episode of an adapted environment, which alone can draw itself: it is played again.

    Attributes:
        world: of the task.
        seed, number: of the evaluation, from which the initial state follows.
        actions: (steps, …), of the task without its variants.
        rewards: (steps,), to check that it is the same episode.
    """

    world: World
    seed: int
    number: int
    actions: Array
    rewards: Array

    @property
    def steps(self) -> int:
        """Control steps of the episode."""
        return self.actions.shape[0]


Episode = SimulatedEpisode | ReplayedEpisode


class Moment(Struct, frozen=True, array_like=True):
    """A moment of an episode: its state after ``step`` control steps."""

    episode: int
    step: int


class Job(Struct, frozen=True):
    """What to draw.

    Attributes:
        episodes: what may be drawn.
        models: compiled models of simulated episodes, in MuJoCo's binary format.
        moments: what to draw, in order; of each episode in ascending order of the steps.
        size: width and height in pixels; ``None`` for that of the environment's own pictures.
        quality: ``fast`` leaves out multisampling, shadows and reflections.
        camera: name of a camera of the model; ``None`` for the default.
        task: the user's own task as it was named on the command line, where its file has moved;
            ``None`` for the place that is recorded.
    """

    episodes: list[Episode]
    models: list[bytes]
    moments: list[Moment]
    size: tuple[int, int] | None
    quality: Quality
    camera: str | None
    task: str | None = None

    def encode(self) -> bytes:
        """Encode it; floats may be infinite, which JSON has no words for."""
        return msgspec.msgpack.encode(self)

    @staticmethod
    def decode(data: bytes) -> Job:
        """Decode what ``encode`` returned."""
        return msgspec.msgpack.decode(data, type=Job)


def control_period(seconds: float) -> Fraction:
    """The duration of a control step as a fraction, so that times of frames are exact.

    Raises:
        UsageError: it is not positive and finite.
    """
    if not 1e-6 <= seconds <= 1e6:
        raise UsageError(f"a control step lasts {seconds} s, which no video can show")
    return Fraction(seconds).limit_denominator(1_000_000)
