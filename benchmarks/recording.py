"""What a native task did, to be done again without the rest; for benchmarks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from mujoco.batch import Batch

from poolrl.tasks.mujoco import MujocoTask

Act = Callable[[int, np.ndarray], np.ndarray]
"""(step, observations) -> actions."""


class Recording:
    """The actions, controls and resets of a round.

    Args:
        task: is played once.
        turn: number of the round, which episodes are drawn from.
        steps: control steps of each simulation.
        act: chooses the actions.
    """

    def __init__(self, task: MujocoTask, turn: int, steps: int, act: Act) -> None:
        self._turn, self._steps = turn, steps
        self._resets: list[tuple[int, np.ndarray, np.ndarray]] = []
        self._actions: list[np.ndarray] = []
        self._controls: list[np.ndarray] = []

        def noted(k: int, observation: np.ndarray) -> np.ndarray:
            self._actions.append(act(k, observation))
            return self._actions[-1]

        self._play(
            task,
            noted,
            lambda k, ids: self._resets.append((k, ids, task.batch.state[ids].copy())),
            lambda: self._controls.append(task.ctrl.copy()),
        )

    def play(
        self, task: MujocoTask, act: Act | None = None, ask: Callable[[], Any] | None = None
    ) -> None:
        """The same episodes.

        Args:
            task: another one of the same id, or the same.
            act: chooses the actions again; ``None`` for the recorded ones.
            ask: called after every step.
        """
        self._play(task, act or (lambda k, observation: self._actions[k]), None, ask)

    def step(self, batch: Batch, frame_skip: int, ask: Callable[[], Any] | None = None) -> None:
        """The same steps of a batch; ``ask`` is called after each."""
        pending, ctrl = iter(self._resets), batch.bind("ctrl")
        following = next(pending, None)
        for k in range(self._steps):
            if following is not None and following[0] == k:
                batch.state[following[1]] = following[2]
                following = next(pending, None)
            ctrl[:] = self._controls[k]
            batch.step(None, frame_skip)
            if ask is not None:
                ask()

    def _play(
        self,
        task: MujocoTask,
        act: Act,
        after_reset: Callable[[int, np.ndarray], None] | None,
        ask: Callable[[], Any] | None,
    ) -> None:
        ids, episodes, observation = np.arange(task.num_simulations), 0, np.empty(0)
        for k in range(self._steps):
            if len(ids):
                seeds = [[self._turn, episodes, i] for i in ids.tolist()]
                task.reset(ids, [np.random.default_rng(seed) for seed in seeds])
                observation = task.observe()
                episodes += 1
                if after_reset is not None:
                    after_reset(k, ids)
            result = task.step(act(k, observation))
            observation = result.observation
            if ask is not None:
                ask()
            ids = np.flatnonzero(result.terminated | result.truncated)
