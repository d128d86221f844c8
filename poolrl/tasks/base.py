"""Interface of tasks: batches of simulations that are stepped together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np
from gymnasium.spaces import Box
from numpy.typing import NDArray

from poolrl.config.types import Aggregate
from poolrl.spaces import ActionSpace

Ids = NDArray[np.intp]
"""(n,): indices of simulations, each at most once."""

Info = dict[str, NDArray[Any]]
"""Values by name, each of shape (num_simulations, …)."""


ACTIVITY = "activity"
"""Name of the part of a task's observations that is the activities of its muscles."""


class StepResult(NamedTuple):
    """Result of one control step of a batch. Every array is new, with one row per simulation.

    Attributes:
        observation: (num_simulations, observation size), float64, after the step.
        reward: (num_simulations,), float64.
        terminated: (num_simulations,), bool: the episode ended in a terminal state.
        truncated: (num_simulations,), bool: the episode reached the time limit.
    """

    observation: NDArray[np.float64]
    reward: NDArray[np.float64]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]


class ActuatorState(NamedTuple):
    """State of the actuators of a batch, each (num_simulations, actuators), float64, new.

    Attributes:
        length: of the actuators' transmissions (MuJoCo's ``actuator_length``): in m for tendons and
            slides, in rad for hinges, times the gear.
        velocity: time derivatives of the lengths.
        force: scalar forces of the actuators (``actuator_force``), in N, or N m for hinges;
            negative where a muscle pulls. That of an actuator without an activation follows from
            the control that was applied last.
        activity: activations (``act``), of muscles in [0, 1]; NaN of actuators that have none, such
            as motors, which must not be taken for muscles at rest.
    """

    length: NDArray[np.float64]
    velocity: NDArray[np.float64]
    force: NDArray[np.float64]
    activity: NDArray[np.float64]


class Task(ABC):
    """A batch of independent episodes of one world.

    A subclass is created as ``Class(num_simulations, *, max_episode_steps=…, **own)``. Its own
    arguments are keyword-only and have defaults; the types of the defaults are the types that are
    accepted. It sets the four attributes and implements ``reset``, ``observe`` and ``step``; see
    docs/own_tasks.md.

    There is no automatic reset: the caller decides which simulation starts which episode, so that
    an episode depends only on its own random stream. All random numbers of an episode must come
    from the generator that ``reset`` was given for it.

    Attributes:
        num_simulations: number of episodes that are simulated side by side.
        max_episode_steps: time limit in control steps; ``step`` truncates there.
        observation_space: of one simulation: a box of one dimension, float32 or float64.
        action_space: of one simulation: a box of one dimension, ``Discrete`` or ``MultiDiscrete``.
        info_aggregates: name of a value of ``info`` -> how the value of an episode comes from
            those of its steps; docs/records.md says what happens to names that are not in it.
    """

    info_aggregates: Mapping[str, Aggregate] = MappingProxyType({})
    num_simulations: int
    max_episode_steps: int
    observation_space: Box
    action_space: ActionSpace

    @abstractmethod
    def reset(self, ids: Ids, generators: Sequence[np.random.Generator]) -> None:
        """Start a new episode in the simulations ``ids``, and in no others.

        Args:
            ids: (n,): which simulations.
            generators: n generators; all random numbers of the episode of ``ids[i]`` are drawn
                from ``generators[i]``, which may be kept for later steps.
        """

    @abstractmethod
    def observe(self) -> NDArray[np.float64]:
        """Return the current observations, a new array of shape (num_simulations, observation
        size), finite. Before the first reset the values have no meaning."""

    @abstractmethod
    def step(self, action: NDArray[Any], ids: Ids | None = None) -> StepResult:
        """Advance the simulations ``ids`` (``None``: all) by one control step.

        Args:
            action: (num_simulations, action size), in the bounds of ``action_space``; for a
                ``Discrete`` space (num_simulations,). Integers where the space has integers. Must
                not be modified.
            ids: the simulations to advance. The state of the others, including their elapsed
                steps, does not change; their rows in the result have no meaning.

        Returns:
            New arrays, which share no memory with the task's state or with earlier results.
        """

    def info(self) -> Info:
        """Return the ``info`` of Gymnasium's ``step`` for the last step. Training does not use it;
        evaluations call it after every step, for the values of each episode in the records."""
        return {}

    def reward_terms(self) -> Info:
        """Return those values of ``info`` that are cheap to have after every step, as new arrays.
        Of poolrl's own tasks, evaluations call ``info`` only where an episode ends, if these are
        all whose values they aggregate over steps."""
        return {}

    def reset_info(self) -> Info:
        """Return the ``info`` of Gymnasium's ``reset`` for the current state."""
        return {}

    def velocities(self) -> NDArray[np.bool_] | None:
        """Return which observations are velocities, (observation size,); ``None`` if unknown."""
        return None

    def senses(self) -> dict[str, NDArray[np.bool_]]:
        """Return the named parts of the observations: name -> mask, (observation size,). Where one
        is named ``activity``, ``learner.muscles`` takes the activities of muscles from it."""
        return {}

    def actuator_state(self) -> ActuatorState | None:
        """Return the state of the actuators at the current state, all arrays new; ``None`` if
        unknown. It changes nothing of the episodes."""
        return None

    def diverged(self) -> NDArray[np.bool_]:
        """Return which simulations became unstable since their last reset, (num_simulations,)."""
        return np.zeros(self.num_simulations, dtype=np.bool_)

    def close(self) -> None:  # noqa: B027  (most tasks hold nothing)
        """Release what the task holds: child processes, connections, licences. Nothing else is
        called afterwards, except ``close`` again, which must have no effect."""


def call_optional(
    task: Task,
    name: Literal[
        "info", "reset_info", "velocities", "senses", "actuator_state", "diverged", "close"
    ],
) -> Any:
    """Call an optional method of a task; that of ``Task`` where an attribute has its name, as
    ``self.velocities = np.zeros(…)`` in a user's constructor.

    Args:
        task: any.
        name: of the method.
    """
    method = getattr(task, name)
    return method() if callable(method) else getattr(Task, name)(task)
