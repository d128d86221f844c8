"""Minibatches of a rollout: single steps, or sequences for networks with memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from poolrl.networks.base import Inputs, Sequences
from poolrl.rollouts.rollout import Rollout

Rows = NDArray[np.intp]


class Minibatch(NamedTuple):
    """A part of a rollout's samples.

    Attributes:
        rows: (m,): indices of the samples, among those of ``array[rollout.valid]``.
        inputs: of the network, in the same order.
    """

    rows: Rows
    inputs: Inputs


class Minibatches:
    """The samples of a rollout, to be drawn in minibatches.

    Networks without memory get single steps in random order. Networks with memory get sequences in
    random order: parts of an episode of at most ``sequence_steps`` steps, with the memory that
    acting had at the start of each, which takes no gradient further back (truncated
    back-propagation through time, Williams & Peng 1990).

    Args:
        rollout: to be divided.
        sequence_steps: the longest sequence.
    """

    def __init__(self, rollout: Rollout, sequence_steps: int) -> None:
        valid = rollout.valid
        self._observations = rollout.normalized[valid]
        self._noise = None if rollout.noise is None else rollout.noise[valid]
        self._states = tuple(part.reshape(valid.size, *part.shape[2:]) for part in rollout.states)
        self._steps_of_rows = np.flatnonzero(valid)
        self._sequences: list[Rows] | None = None
        if rollout.states:
            self._sequences = list(_sequences(valid, rollout.ended, sequence_steps))

    def epoch(self, size: int, generator: np.random.Generator) -> Iterator[Minibatch]:
        """Yield every sample once, in minibatches in random order.

        Args:
            size: samples of a minibatch; the last one may be smaller, and one of sequences ends
                with the sequence that reaches it.
            generator: draws the permutation.
        """
        if self._sequences is None:
            order = generator.permutation(len(self._observations))
            for start in range(0, len(order), size):
                yield self._steps(order[start : start + size])
            return
        chosen: list[Rows] = []
        count = 0
        for index in generator.permutation(len(self._sequences)).tolist():
            chosen.append(self._sequences[index])
            count += len(chosen[-1])
            if count >= size:
                yield self._of_sequences(chosen)
                chosen, count = [], 0
        if chosen:
            yield self._of_sequences(chosen)

    def whole(self) -> Minibatch:
        """All samples, each row once."""
        if self._sequences is None:
            return Minibatch(
                np.arange(len(self._observations)), Inputs(self._observations, self._noise)
            )
        return self._of_sequences(self._sequences)

    def _steps(self, rows: Rows) -> Minibatch:
        noise = None if self._noise is None else self._noise[rows]
        return Minibatch(rows, Inputs(self._observations[rows], noise))

    def _of_sequences(self, chosen: list[Rows]) -> Minibatch:
        rows = np.concatenate(chosen)
        lengths = np.array([len(each) for each in chosen], np.intp)
        starts = self._steps_of_rows[[each[0] for each in chosen]]
        inputs = self._steps(rows).inputs
        state = tuple(part[starts] for part in self._states)
        return Minibatch(rows, inputs._replace(sequences=Sequences(lengths, state)))


def _sequences(valid: NDArray[np.bool_], ended: NDArray[np.bool_], longest: int) -> Iterator[Rows]:
    """Yield the rows of each sequence of each simulation.

    Args:
        valid: (T, n).
        ended: (T, n): the last step of an episode.
        longest: number of steps after which an episode is cut.
    """
    row = np.cumsum(valid).reshape(valid.shape) - 1
    for rows, own, ends in zip(row.T, valid.T, ended.T, strict=True):
        (steps,) = np.nonzero(own)
        # A sequence begins after the end of an episode, and after a step that is not valid.
        borders = np.flatnonzero(ends[steps[:-1]] | (np.diff(steps) > 1)) + 1
        for episode in np.split(rows[steps], borders):
            for start in range(0, len(episode), longest):
                yield episode[start : start + longest]
