"""Wrappers for any task: repeated actions, and observations without velocities."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from gymnasium.spaces import Box
from numpy.typing import NDArray

from poolrl.config.schema import World
from poolrl.errors import UsageError
from poolrl.own_actions import OwnActions
from poolrl.tasks.base import ActuatorState, Ids, Info, StepResult, Task, call_optional
from poolrl.tasks.gymnasium_task import GymnasiumTask


def with_variants(task: Task, world: World) -> Task:
    """Wrap a task in the variants of a world: first action repeat, then masked velocities.

    Args:
        task: without variants.
        world: the world that the task was created for.

    Raises:
        UsageError: the task does not know which observations are velocities.
    """
    if world.action_repeat > 1:
        task = ActionRepeat(task, world.action_repeat)
    if world.mask_velocities:
        task = MaskedVelocities(task, world.id)
    return task


def time_limit(task: Task) -> int:
    """Return the time limit of a task without its variants, in its own control steps."""
    return without_variants(task).max_episode_steps


def own_actions(task: Task) -> OwnActions | None:
    """Return what agents record of a task's own action space, which is that of the environment that
    it adapts; ``None`` where a policy's actions are of it as they are."""
    task = without_variants(task)
    own: Any = task.own_action_space if isinstance(task, GymnasiumTask) else task.action_space
    return OwnActions.unless_plain(own)


def without_variants(task: Task) -> Task:
    """Return the task that wrappers wrap; of a task without any, itself."""
    while isinstance(task, TaskWrapper):
        task = task.task
    return task


def wrap_innermost(task: Task, wrap: Callable[[Task], Task]) -> Task:
    """Wrap a task without its variants, which stay around it.

    Args:
        task: changed in place, if it has variants.
        wrap: is given the task without variants, and returns what takes its place.
    """
    if not isinstance(task, TaskWrapper):
        return wrap(task)
    task.task = wrap_innermost(task.task, wrap)
    return task


StepWatcher = Callable[[Ids | None, NDArray[np.bool_]], None]
"""Called with the simulations that made a control step (``None``: all) and, (num_simulations,), in
which of them the episode ended."""


@contextmanager
def watched(task: Task, watcher: StepWatcher) -> Iterator[bool]:
    """Have a function called after every control step within actions that are repeated.

    Yields:
        Whether it is called; a task whose actions are not repeated leaves that to the caller.
    """
    while isinstance(task, TaskWrapper) and not isinstance(task, ActionRepeat):
        task = task.task
    if not isinstance(task, ActionRepeat):
        yield False
        return
    task.watcher = watcher
    try:
        yield True
    finally:
        task.watcher = None


class TaskWrapper(Task):
    """A wrapper of another task, which forwards all calls and attributes (such as ``model``)."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.num_simulations = task.num_simulations
        self.max_episode_steps = task.max_episode_steps
        self.observation_space = task.observation_space
        self.action_space = task.action_space

    def __getattr__(self, name: str) -> Any:
        if name == "task":  # not set yet, while unpickling or copying
            raise AttributeError(name)
        return getattr(self.task, name)

    def reset(self, ids: Ids, generators: Sequence[np.random.Generator]) -> None:
        self.task.reset(ids, generators)

    def observe(self) -> NDArray[np.float64]:
        return self.task.observe()

    def step(self, action: NDArray[Any], ids: Ids | None = None) -> StepResult:
        return self.task.step(action, ids)

    def info(self) -> Info:
        result: Info = call_optional(self.task, "info")
        return result

    def reset_info(self) -> Info:
        result: Info = call_optional(self.task, "reset_info")
        return result

    def velocities(self) -> NDArray[np.bool_] | None:
        result: NDArray[np.bool_] | None = call_optional(self.task, "velocities")
        return result

    def actuator_state(self) -> ActuatorState | None:
        result: ActuatorState | None = call_optional(self.task, "actuator_state")
        return result

    def senses(self) -> dict[str, NDArray[np.bool_]]:
        result: dict[str, NDArray[np.bool_]] = call_optional(self.task, "senses")
        return result

    def diverged(self) -> NDArray[np.bool_]:
        result: NDArray[np.bool_] = call_optional(self.task, "diverged")
        return result

    def close(self) -> None:
        call_optional(self.task, "close")


class ActionRepeat(TaskWrapper):
    """Apply each action for a number of control steps of the inner task, and sum their rewards.

    A simulation in which the episode ends early is not stepped further, so that its last action may
    be applied for fewer steps. The time limit is the inner task's, in its own control steps;
    ``max_episode_steps`` of this task is the limit in actions, rounded up. ``info`` is that of the
    last control step, of the simulations that made all of them.

    Args:
        task: the inner task.
        count: control steps per action.

    Attributes:
        watcher: called after every control step of the inner task; ``None`` for nothing.
    """

    watcher: StepWatcher | None = None

    def __init__(self, task: Task, count: int) -> None:
        super().__init__(task)
        self._count = count
        self.max_episode_steps = -(-task.max_episode_steps // count)

    def step(self, action: NDArray[Any], ids: Ids | None = None) -> StepResult:
        total = self.task.step(action, ids)
        if self.watcher is not None:
            self.watcher(ids, total.terminated | total.truncated)
        for _ in range(self._count - 1):
            active = ~(total.terminated | total.truncated)
            if ids is not None:
                active &= np.isin(np.arange(self.num_simulations), ids)
            rows = np.flatnonzero(active)
            if not len(rows):
                break
            all_active = ids is None and len(rows) == self.num_simulations
            result = self.task.step(action, None if all_active else rows)
            if self.watcher is not None:
                self.watcher(None if all_active else rows, result.terminated | result.truncated)
            total = StepResult(
                np.where(active[:, None], result.observation, total.observation),
                np.where(active, total.reward + result.reward, total.reward),
                np.where(active, result.terminated, total.terminated),
                np.where(active, result.truncated, total.truncated),
            )
        return total


class MaskedVelocities(TaskWrapper):
    """Remove the velocities from the observations.

    Args:
        task: the inner task.
        name: the task's id, for errors.

    Raises:
        UsageError: the task does not know which observations are velocities, or all of them are.
    """

    def __init__(self, task: Task, name: str) -> None:
        super().__init__(task)
        velocities = call_optional(task, "velocities")
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

    def senses(self) -> dict[str, NDArray[np.bool_]]:
        return {name: mask[self._kept] for name, mask in super().senses().items()}
