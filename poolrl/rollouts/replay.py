"""Replay of transitions for off-policy learners (Lin 1992; Mnih et al. 2015).

Every simulation has rows of its own, a ring. Before them come the rows of chunks that others have
sampled, which stay as they are. A row is an observation, and the action and reward
that followed it, if some did: the last observation of an episode has a row without a transition.
So each observation is stored once, and the next one of a transition is in the next row. Returns of
several steps are summed up where transitions are sampled.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from poolrl.errors import UsageError
from poolrl.rollouts.replay_chunk import Chunk
from poolrl.rollouts.room import check_room, zeros

F32 = NDArray[np.float32]
Rows = NDArray[np.intp]

_SMALL = ("reward", "terminated", "has_action")
"""Arrays of ``Chunk`` that have one number a row."""


class Transitions(NamedTuple):
    """n transitions of m steps each, where m may differ.

    Attributes:
        observation, next_observation: (n, observation size), not normalised; m steps apart.
        sample: (n, action size), of the policy's distribution, at the first of the steps.
        reward: (n,), Σ γⁱ rᵢ over the steps.
        discount: (n,), γᵐ; 0 where the episode terminated.
    """

    observation: F32
    sample: F32
    reward: F32
    discount: F32
    next_observation: F32


class Replay:
    """The newest transitions of a number of simulations.

    Args:
        capacity: most transitions; each simulation has an equal part of it, rounded down. An
            episode takes the room of one more, for its last observation.
        simulations: number of them.
        observation_size, action_size: number of values.
        folder: of a file that the transitions are mapped to; ``None`` to keep them in memory.
        chunks: that others have sampled, the oldest first.
        key: of the specification, which errors name.

    Attributes:
        size: number of transitions, those of chunks included.

    Raises:
        UsageError: it is larger than what is free of the memory or the disk, or has no room for a
            transition of every simulation.
    """

    def __init__(
        self,
        capacity: int,
        simulations: int,
        observation_size: int,
        action_size: int,
        folder: Path | None = None,
        chunks: Sequence[Chunk] = (),
        key: str = "learner.replay_size",
    ) -> None:
        check_replay_room(capacity, simulations, observation_size, action_size, folder, key)
        # One more, for the newest observation, which no action has followed yet.
        self._length = capacity // simulations + 1
        rows = simulations * self._length
        self._own = Chunk(
            zeros((rows, observation_size), np.float32, folder),
            zeros((rows, action_size), np.float32, folder),
            zeros((rows,), np.float32, folder),
            zeros((rows,), np.bool_, folder),
            zeros((rows,), np.bool_, folder),
        )
        self._starts = np.cumsum([0, *(len(chunk.reward) for chunk in chunks)])
        self._parts = {
            name: [getattr(chunk, name) for chunk in (*chunks, self._own)] for name in Chunk._fields
        }
        # There may be hundreds of chunks. What takes few bytes is one array of all of them.
        for name in _SMALL if chunks else ():
            *others, own = self._parts[name]
            self._parts[name] = [np.concatenate(others), own]
        self._start = np.arange(simulations) * self._length
        # Rows of each simulation that were ever written, those included that others replaced.
        self._written = np.zeros(simulations, np.intp)
        self._episode_start = np.ones(simulations, np.bool_)
        self.size = sum(int(np.count_nonzero(chunk.has_action)) for chunk in chunks)

    def add(
        self,
        observation: NDArray[np.floating],
        sample: NDArray[np.floating],
        reward: NDArray[np.floating],
        terminated: NDArray[np.bool_],
        ended: NDArray[np.bool_],
        next_observation: NDArray[np.floating],
        valid: NDArray[np.bool_],
    ) -> None:
        """Add T steps of all simulations, in the order of time.

        Args:
            observation: (T, simulations, observation size), before the steps; read where an episode
                starts, and elsewhere that of ``next_observation`` of the step before.
            sample: (T, simulations, action size), of the policy's distribution.
            reward: (T, simulations).
            terminated: (T, simulations): no reward follows.
            ended: (T, simulations): the episode terminated or was truncated.
            next_observation: (T, simulations, observation size), after the steps, before any reset.
            valid: (T, simulations): False where a simulation made no step.
        """
        own = self._own
        # A step writes two rows at most: no row twice at once.
        most = self._length // 2
        for first in range(0, len(valid), most):
            # The steps of the first simulation, in the order of time, then those of the next one.
            ids, times = np.nonzero(valid[first : first + most].T)
            if not len(ids):
                continue
            at = times + first, ids
            rows, after, starting = self._next_rows(ids, ended[at])
            replaced = np.concatenate((rows[starting], after))
            self.size += len(rows) - int(np.count_nonzero(own.has_action[replaced]))
            own.has_action[replaced] = False
            own.observation[rows[starting]] = observation[at][starting]
            own.observation[after] = next_observation[at]
            own.sample[rows], own.reward[rows] = sample[at], reward[at]
            own.terminated[rows], own.has_action[rows] = terminated[at], True

    def draw(self, count: int, generator: np.random.Generator) -> Rows:
        """Draw rows of transitions, each with the same probability, with replacement.

        Args:
            count: of rows.
            generator: draws them.

        Returns:
            (count,), for ``transitions``.
        """
        if not self.size:
            raise ValueError("the replay is empty")
        # The rows of all chunks count as those of one more simulation, the first.
        first = int(self._starts[-1])
        filled = np.array([first, *self._filled()])
        start = np.array([0, *(self._start + first)])
        ends = np.cumsum(filled)
        drawn: list[Rows] = []
        missing = count
        while missing:
            numbers = generator.integers(ends[-1], size=missing)
            simulation = np.searchsorted(ends, numbers, side="right")
            rows = start[simulation] + numbers - (ends - filled)[simulation]
            drawn.append(rows[self._values("has_action", rows)])
            missing -= len(drawn[-1])
        return np.concatenate(drawn)

    def transitions(self, rows: Rows, steps: int, discount: float) -> Transitions:
        """Transitions of several steps: fewer where the episode or what was stored ends.

        Args:
            rows: (n,), of ``draw``.
            steps: most steps.
            discount: γ.
        """
        reward = np.zeros(len(rows), np.float32)
        factor = np.ones(len(rows), np.float32)
        last = rows.copy()
        (going,) = np.nonzero(self._values("has_action", rows))
        for _ in range(steps):
            at = last[going]
            reward[going] += factor[going] * self._values("reward", at)
            factor[going] *= np.float32(discount) * ~self._values("terminated", at)
            own = at >= self._starts[-1]
            after = at + 1
            after[own] = self._starts[-1] + self._after(at[own] - self._starts[-1])
            last[going] = after
            going = going[self._values("has_action", after)]
        observation, sample = self._values("observation", rows), self._values("sample", rows)
        return Transitions(observation, sample, reward, factor, self._values("observation", last))

    def chunk(self) -> Chunk:
        """Copies of the rows that were added, of the simulations one after another."""
        rows = [
            start + (np.arange(filled) + written - filled) % self._length
            for start, written, filled in zip(
                self._start, self._written, self._filled(), strict=True
            )
        ]
        at, own = np.concatenate(rows), self._own
        return Chunk(
            own.observation[at],
            own.sample[at],
            own.reward[at],
            own.terminated[at],
            own.has_action[at],
        )

    def _values(self, name: str, rows: Rows) -> NDArray[Any]:
        """What rows have of an array of ``Chunk``."""
        parts: list[NDArray[Any]] = self._parts[name]
        if len(parts) == 1:
            return parts[0][rows]
        starts = self._starts if name not in _SMALL else self._starts[[0, -1]]
        values = np.empty((len(rows), *parts[0].shape[1:]), parts[0].dtype)
        order = np.argsort(rows)
        ordered = rows[order]
        ends = [*np.searchsorted(ordered, starts[1:]).tolist(), len(rows)]
        for part, start, (first, end) in zip(
            parts, starts.tolist(), pairwise([0, *ends]), strict=True
        ):
            if first < end:
                values[order[first:end]] = part[ordered[first:end] - start]
        return values

    def _next_rows(
        self, ids: NDArray[np.intp], ended: NDArray[np.bool_]
    ) -> tuple[Rows, Rows, NDArray[np.bool_]]:
        """Take rows for n steps.

        Args:
            ids: (n,), of the steps' simulations, in ascending order.
            ended: (n,): the episode ended.

        Returns:
            For each step the row of its action, the row of the observation after it, and whether an
            episode starts with it, whose first observation is then to be written as well; (n,).
        """
        new = np.diff(ids, prepend=-1) > 0  # the first step of a simulation
        starting = np.roll(ended, 1)
        starting[new] = self._episode_start[ids[new]]
        last = np.roll(new, -1)
        self._episode_start[ids[last]] = ended[last]
        taken = 1 + starting
        counts = np.bincount(ids, taken, len(self._written)).astype(np.intp)
        before = np.cumsum(counts) - counts
        number = self._written[ids] + np.cumsum(taken) - before[ids]  # of rows, with this step's
        self._written += counts
        rows, after = ((number - back) % self._length + self._start[ids] for back in (2, 1))
        return rows, after, starting

    def _filled(self) -> NDArray[np.intp]:
        """Number of rows that each simulation has, (simulations,)."""
        return np.minimum(self._written, self._length)

    def _after(self, rows: Rows) -> Rows:
        """The rows after these, in the rings of their simulations."""
        after: Rows = rows + 1
        after[after % self._length == 0] -= self._length
        return after


def check_replay_room(
    capacity: int,
    simulations: int,
    observation_size: int,
    action_size: int,
    folder: Path | None,
    key: str = "learner.replay_size",
) -> None:
    """Check that there is room for a replay.

    Args:
        capacity, simulations, observation_size, action_size, folder: as for ``Replay``.
        key: of the specification, which errors name.

    Raises:
        UsageError: as for ``Replay``.
    """
    if capacity < simulations:
        raise UsageError(
            f"{key}: {capacity:,} transitions are not one for each of {simulations:,} simulations"
        )
    check_room(
        (capacity + simulations) * row_bytes(observation_size, action_size),
        folder,
        f"{key}: a replay of {capacity:,} transitions",
    )


def row_bytes(observation_size: int, action_size: int) -> int:
    """Bytes of a transition: its numbers in float32, and two flags."""
    return 4 * (observation_size + action_size + 1) + 2
