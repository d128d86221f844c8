"""Variants of any task: repeated actions, and observations without velocities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.spaces import Box
from numpy.typing import NDArray

from poolrl.config.schema import World
from poolrl.errors import UsageError
from poolrl.tasks.base import Ids, Info, StepResult, Task


def with_variants(task: Task, world: World) -> Task:
    """A task as a world asks for it: actions are repeated first, then velocities masked.

    Raises:
        UsageError: the task does not know which observations are velocities.
    """
    if world.action_repeat > 1:
        task = ActionRepeat(task, world.action_repeat)
    if world.mask_velocities:
        task = MaskedVelocities(task, world.id)
    return task


def time_limit(task: Task) -> int:
    """The time limit of a task without its variants, in its own control steps."""
    while isinstance(task, _Variant):
        task = task.task
    return task.max_episode_steps


class _Variant(Task):
    """A task that changes little of another one; what else that one offers (its model, say) is
    found as if it were this one's own."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.num_simulations = task.num_simulations
        self.max_episode_steps = task.max_episode_steps
        self.observation_space = task.observation_space
        self.action_space = task.action_space

    def __getattr__(self, name: str) -> Any:
        if name == "task":  # not there yet
            raise AttributeError(name)
        return getattr(self.task, name)

    def reset(self, ids: Ids, generators: Sequence[np.random.Generator]) -> None:
        self.task.reset(ids, generators)

    def observe(self) -> NDArray[np.float64]:
        return self.task.observe()

    def step(self, action: NDArray[Any], ids: Ids | None = None) -> StepResult:
        return self.task.step(action, ids)

    def info(self) -> Info:
        return self.task.info()

    def reset_info(self) -> Info:
        return self.task.reset_info()

    def velocities(self) -> NDArray[np.bool_] | None:
        return self.task.velocities()

    def diverged(self) -> NDArray[np.bool_]:
        return self.task.diverged()


class ActionRepeat(_Variant):
    """The same action for a number of control steps of the inner task, whose rewards add up.

    A simulation whose episode ends among them is not stepped further, so that its last action may
    have been played for fewer. The time limit stays the inner task's, in its own control steps;
    ``max_episode_steps`` is here the number of actions that it leaves room for. ``info`` tells of
    the last control step of those simulations that made all of them.

    Args:
        task: the inner task.
        count: control steps that an action is played for.
    """

    def __init__(self, task: Task, count: int) -> None:
        super().__init__(task)
        self._count = count
        self.max_episode_steps = -(-task.max_episode_steps // count)

    def step(self, action: NDArray[Any], ids: Ids | None = None) -> StepResult:
        total = self.task.step(action, ids)
        for _ in range(self._count - 1):
            going = ~(total.terminated | total.truncated)
            if ids is not None:
                going &= np.isin(np.arange(self.num_simulations), ids)
            rows = np.flatnonzero(going)
            if not len(rows):
                break
            everyone = ids is None and len(rows) == self.num_simulations
            again = self.task.step(action, None if everyone else rows)
            total = StepResult(
                np.where(going[:, None], again.observation, total.observation),
                np.where(going, total.reward + again.reward, total.reward),
                np.where(going, again.terminated, total.terminated),
                np.where(going, again.truncated, total.truncated),
            )
        return total


class MaskedVelocities(_Variant):
    """Observations without those that are velocities.

    Args:
        task: the inner task.
        name: the task's id, for errors.

    Raises:
        UsageError: the task does not know which observations are velocities, or all of them are.
    """

    def __init__(self, task: Task, name: str) -> None:
        super().__init__(task)
        velocities = task.velocities()
        if velocities is None or velocities.all():
            known = "does not say which of its observations are velocities"
            what = known if velocities is None else "observes nothing but velocities"
            raise UsageError(f"task.mask_velocities: {name} {what}")
        self._kept = np.flatnonzero(~velocities)
        space = task.observation_space
        self.observation_space = Box(
            space.low[self._kept], space.high[self._kept], dtype=np.float64
        )

    def observe(self) -> NDArray[np.float64]:
        return self.task.observe()[:, self._kept]

    def step(self, action: NDArray[Any], ids: Ids | None = None) -> StepResult:
        result = self.task.step(action, ids)
        return result._replace(observation=result.observation[:, self._kept])

    def velocities(self) -> NDArray[np.bool_]:
        return np.zeros(len(self._kept), np.bool_)
