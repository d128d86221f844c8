"""Random streams: every draw of a pool is keyed by what it is for, never by who makes it.

A stream is ``SeedSequence(pool seed, spawn_key=(iteration, kind, index, purpose, episode))``. The
numbers of kinds and purposes are part of the format of a pool and never change. ``spawn_key`` is
used because ``SeedSequence((1,))`` and ``SeedSequence((1, 0))`` are the same stream.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What a stream is drawn for; ``episode`` numbers the streams of one purpose."""

    INITIALISE = 0  # network weights
    RESET = 1  # initial state of training episode number `episode`
    ACTION = 2  # action noise of rollout number `episode`
    SHUFFLE = 3  # minibatches of update number `episode`
    EVALUATE_RESET = 4  # initial state of evaluation episode number `episode`
    EVALUATE_ACTION = 5  # action noise of a stochastic evaluation


@dataclass(frozen=True)
class Streams:
    """The random streams of one unit of work.

    Attributes:
        seed: the pool's seed, a non-negative integer.
        key: (iteration, number of the kind, index).
    """

    seed: int
    key: tuple[int, int, int] = (0, 0, 0)

    def sequence(self, purpose: Purpose, episode: int = 0) -> np.random.SeedSequence:
        """The seed sequence of one stream."""
        return np.random.SeedSequence(self.seed, spawn_key=(*self.key, int(purpose), episode))

    def generator(self, purpose: Purpose, episode: int = 0) -> np.random.Generator:
        """A fresh generator at the start of one stream."""
        return np.random.Generator(np.random.PCG64(self.sequence(purpose, episode)))

    def generators(self, purpose: Purpose, start: int, count: int) -> list[np.random.Generator]:
        """Generators of the streams ``start`` to ``start + count - 1`` of one purpose."""
        return [self.generator(purpose, start + i) for i in range(count)]
