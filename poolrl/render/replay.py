"""Play an episode of an adapted environment again, for its own pictures; in the drawing process."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from poolrl import tasks
from poolrl.errors import PoolrlError, UsageError, one_line
from poolrl.render.job import ReplayedEpisode
from poolrl.seeding import Purpose, Streams
from poolrl.tasks.gymnasium_task import GymnasiumTask
from poolrl.tasks.variants import without_variants

Image = NDArray[np.uint8]


class Replay:
    """Pictures of an episode, which its environment draws while it is played again.

    Args:
        episode: of the world that the environment is.
        camera: argument ``camera_name`` of the environment; ``None`` for its default.
        task: as of ``Job``.

    Raises:
        UsageError: the environment has no such argument, or cannot be made to draw.
    """

    def __init__(self, episode: ReplayedEpisode, camera: str | None, task: str | None) -> None:
        self._episode = episode
        # It was permitted to run by the process that has sent it, under the same SHA-256.
        world = tasks.permit(episode.world, task, trust=True)
        drawing = {"render_mode": "rgb_array"}
        if camera is not None:
            drawing["camera_name"] = camera
        self._world = replace(world, kwargs={**world.kwargs, **drawing})
        self._task = tasks.make(self._world, 1)
        inner = without_variants(self._task)
        assert isinstance(inner, GymnasiumTask)
        self._inner = inner
        self._steps = self._played()
        self._step = -1
        self._shape: tuple[int, ...] | None = None

    def image(self, step: int) -> Image:
        """Return the picture after so many control steps, (height, width, 3); each call asks for a
        later step than the one before.

        Raises:
            PoolrlError: the environment repeats no episode, or draws nothing of use.
        """
        try:
            with tasks.blamed(self._world):  # a user's line, where it is a user's
                while self._step < step:
                    self._step = next(self._steps)
                drawn = self._inner.environment.render()
        except PoolrlError:
            raise
        except Exception as error:
            raise PoolrlError(f"{self._world.id} cannot be drawn: {one_line(error)}") from error
        image = np.asarray(drawn)
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise UsageError(
                f"{self._world.id}: render() returned {image.dtype} of shape {image.shape}, "
                "expected uint8 of shape (height, width, 3)"
            )
        if self._shape not in (None, image.shape):
            raise UsageError(f"{self._world.id}: render() returned pictures of different sizes")
        self._shape = image.shape
        return image

    def close(self) -> None:
        """Close the environment."""
        tasks.close(self._task, self._world)

    def _played(self) -> Iterator[int]:
        """Play the episode; yields the number of steps taken, from 0 on."""
        episode = self._episode
        first = np.arange(1)
        streams = Streams(episode.seed)
        generator = streams.generators(Purpose.EVALUATE_RESET, episode.number, 1)
        self._inner.reset(first, generator)
        yield 0
        actions, rewards = episode.actions.array(), episode.rewards.array()
        for number, (action, reward) in enumerate(zip(actions, rewards, strict=True), 1):
            result = self._inner.step(action[None].copy(), first)
            if not np.isclose(result.reward[0], reward, rtol=1e-6, atol=1e-9):
                raise PoolrlError(
                    f"{self._world.id}: the same seed and actions gave another reward at step "
                    f"{number} ({result.reward[0]:g}, not {reward:g}), so that the episode cannot "
                    "be drawn"
                )
            yield number
