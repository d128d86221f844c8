"""When DEP acts instead of the policy, in each simulation (Schumacher et al. 2023, DEP-RL)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from poolrl.config.exploration import DEPSpec

Ids = NDArray[np.intp]


class Turn(NamedTuple):
    """Who does what in one step, each (num_envs,), bool.

    Attributes:
        acts: DEP's actions count.
        senses: DEP sees its sensors, and learns.
    """

    acts: NDArray[np.bool_]
    senses: NDArray[np.bool_]


class Schedule:
    """The turns of DEP and the policy, which begins, in each simulation by itself.

    They go on from one episode to the next, past those without DEP.

    Args:
        num_envs: number of simulations.
        spec: mode and lengths.
    """

    def __init__(self, num_envs: int, spec: DEPSpec) -> None:
        self._spec = spec
        self._left = np.zeros(num_envs, np.int64)  # steps that DEP goes on for
        self._since = np.zeros(num_envs, np.int64)  # steps of the policy
        self._greedy = np.zeros(num_envs, np.bool_)
        self._generators: list[np.random.Generator | None] = [None] * num_envs

    def start(
        self, ids: Ids, episodes: Ids, generators: Sequence[np.random.Generator | None]
    ) -> None:
        """Start new episodes.

        Args:
            ids: (n,), simulations.
            episodes: (n,), their numbers in the unit.
            generators: n of them, for the draws of the episode.
        """
        every = self._spec.greedy_every
        mixed = self._spec.mode in ("alternating", "stochastic")
        self._greedy[ids] = episodes % every == every - 1 if every and mixed else False
        for i, generator in zip(ids.tolist(), generators, strict=True):
            self._generators[i] = generator

    def step(self, ids: Ids, steps: int) -> Turn:
        """Whose turn it is.

        Args:
            ids: simulations that make a step.
            steps: control steps of the pool's training before it.
        """
        acts, senses = (np.zeros(len(self._left), np.bool_) for _ in range(2))
        spec = self._spec
        if spec.mode == "pure" or steps < spec.prefill_steps:
            acts[ids] = senses[ids] = True
            return Turn(acts, senses)
        senses[ids] = ~self._greedy[ids]
        if spec.mode == "prefill":
            return Turn(acts, senses)
        mixed = np.flatnonzero(senses)
        if spec.mode == "alternating":
            due = self._since[mixed] == spec.policy_length
            self._left[mixed[due]], self._since[mixed[due]] = spec.intervention_length, 0
        acts[mixed] = self._left[mixed] > 0
        self._left[acts] -= 1
        waiting = mixed[~acts[mixed]]
        self._since[waiting] += 1
        if spec.mode == "stochastic":
            drawn = waiting[[self._draws(i) for i in waiting.tolist()]]
            self._left[drawn] = spec.intervention_length
        return Turn(acts, senses)

    def _draws(self, simulation: int) -> bool:
        """Whether DEP acts from the next step on."""
        generator = self._generators[simulation]
        assert generator is not None, "start() comes first"
        return bool(generator.random() < self._spec.intervention_probability)
