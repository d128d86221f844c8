"""Random streams: every draw of a pool is keyed by its purpose, never by the worker that makes it.

A stream is ``SeedSequence(pool seed, spawn_key=(iteration, kind, index, purpose, episode))``. The
numbers of kinds and purposes are part of the format of a pool and never change. ``spawn_key`` is
used because ``SeedSequence((1,))`` and ``SeedSequence((1, 0))`` are the same stream.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Any

import numpy as np
from numpy.random.bit_generator import ISpawnableSeedSequence
from numpy.typing import NDArray

U32 = NDArray[np.uint32]
U64 = NDArray[np.uint64]


class Purpose(IntEnum):
    """Purpose of a stream; ``episode`` numbers the streams of one purpose."""

    INITIALISE = 0  # network weights
    RESET = 1  # initial state of training episode number `episode`
    ACTION = 2  # action noise of rollout number `episode`
    SHUFFLE = 3  # minibatches of update number `episode`
    EVALUATE_RESET = 4  # initial state of evaluation episode number `episode`
    EVALUATE_ACTION = 5  # action noise of a stochastic evaluation
    EVOLVE = 6  # the value of evolving hyper-parameter number `episode` on a branch
    EXPLORE = 7  # exploration in training episode number `episode`


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
        """Generators of consecutive streams of one purpose, at a fraction of the cost of
        constructing them one by one.

        Args:
            purpose: of the streams.
            start: number of the first stream.
            count: number of streams.
        """
        spawn_key = (*self.key, int(purpose))
        sequences: list[Any] = [  # NumPy's type stubs accept only its own class
            _Seeded(words, self, purpose, episode)
            for episode, words in enumerate(_seeds(self.seed, spawn_key, start, count), start)
        ]
        return [np.random.Generator(np.random.PCG64(sequence)) for sequence in sequences]

    def generators_from(self, purpose: Purpose, start: int = 0) -> Iterator[np.random.Generator]:
        """Yield the generators of all streams of one purpose, beginning with number ``start``."""
        while True:
            yield from self.generators(purpose, start, _BLOCK)
            start += _BLOCK


_BLOCK = 64
"""Generators constructed at a time where the number needed is unknown."""


class _Seeded(ISpawnableSeedSequence):
    """Seed sequence of a stream with the seed of its PCG64 already computed."""

    def __init__(self, words: U64, streams: Streams, purpose: Purpose, episode: int) -> None:
        self._words = words
        self._stream = streams, purpose, episode

    @cached_property
    def _sequence(self) -> np.random.SeedSequence:
        streams, purpose, episode = self._stream
        return streams.sequence(purpose, episode)

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> Any:
        if n_words == len(self._words) and dtype is np.uint64:
            return self._words
        return self._sequence.generate_state(n_words, dtype)

    def spawn(self, n_children: int) -> list[Any]:
        return self._sequence.spawn(n_children)


# Constants of NumPy's seed sequence (O'Neill 2015, "Developing a seed_seq Alternative"). NumPy
# guarantees that its results do not change.
_MASK = 2**32 - 1
_INIT_A, _MULT_A, _INIT_B, _MULT_B = 0x43B0D7E5, 0x931E8875, 0x8B51F9DD, 0x58F38DED
_MIX_L, _MIX_R = 0xCA01F9DD, 0x4973F715


def _seeds(seed: int, spawn_key: tuple[int, ...], start: int, count: int) -> U64:
    """Seeds of ``count`` consecutive streams, computed at once.

    Row i is ``SeedSequence(seed, spawn_key=(*spawn_key, start + i)).generate_state(4, uint64)``.
    The common part of the key is mixed once, the last numbers as one vector.

    Args:
        seed: of the pool.
        spawn_key: the key without its last number.
        start: the last number of the first stream; those of all streams are less than 2**32.
        count: number of streams.

    Returns:
        (count, 4).
    """
    pool = np.random.SeedSequence(seed, spawn_key=spawn_key).pool
    mixed = len(pool) + sum(_num_words(number) for number in spawn_key)
    mixed += max(0, _num_words(seed) - len(pool))
    last = np.arange(start, start + count).astype(np.uint32)
    # The hash constant depends on the number of hashes before: each word of the pool with itself
    # and the others, then each further word with all of the pool.
    constant = _INIT_A * pow(_MULT_A, mixed * len(pool), 2**32) & _MASK
    words = np.empty((count, 2 * len(pool)), np.uint32)
    mixtures = []
    for word in pool.tolist():
        hashed, constant = _hashed(last, constant, _MULT_A)
        mixture = np.uint32(_MIX_L * word & _MASK) - np.uint32(_MIX_R) * hashed
        mixtures.append(mixture ^ (mixture >> np.uint32(16)))
    constant = _INIT_B
    for column in range(words.shape[1]):
        mixture = mixtures[column % len(pool)]
        words[:, column], constant = _hashed(mixture, constant, _MULT_B)
    return words.view(np.uint64)


def _hashed(words: U32, constant: int, factor: int) -> tuple[U32, int]:
    """Hash the words; returns them with the constant of the next hash."""
    next_constant = constant * factor & _MASK
    hashed: U32 = (words ^ np.uint32(constant)) * np.uint32(next_constant)
    hashed ^= hashed >> np.uint32(16)
    return hashed, next_constant


def _num_words(number: int) -> int:
    """Number of 32-bit words of a number."""
    return max(1, -(-number.bit_length() // 32))
