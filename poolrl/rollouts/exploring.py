"""Sampling with exploration: noise on a policy's actions, or DEP in its place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium.spaces import Box
from numpy.typing import NDArray

from poolrl.config.exploration import DEPSpec, Exploration, NoExploration
from poolrl.errors import UsageError
from poolrl.exploration.dep import DEP
from poolrl.exploration.noise import make_noise
from poolrl.exploration.schedule import Schedule
from poolrl.exploration.sensors import SensorScaling
from poolrl.networks.base import State
from poolrl.networks.policy import PolicyOutput
from poolrl.rollouts.sampler import Actor, Sampler
from poolrl.seeding import Purpose, Streams
from poolrl.tasks.base import ActuatorState, Ids, Task, call_optional

F64 = NDArray[np.float64]


def check_explorable(exploration: Exploration, task: Task, name: str) -> None:
    """Check that a task can be explored.

    Args:
        exploration: of the specification.
        task: any number of simulations.
        name: the task's id, for errors.

    Raises:
        UsageError: its actions are not real numbers between bounds; or for DEP, it does not tell
            the state of its actuators, or they are not as many as the numbers of an action.
    """
    if isinstance(exploration, NoExploration):
        return
    key = f"exploration.name = {type(exploration).__struct_config__.tag}"
    space = task.action_space
    if not isinstance(space, Box) or not space.is_bounded():
        kind = "real numbers without bounds" if isinstance(space, Box) else "choices"
        raise UsageError(f"{key}: needs real numbers between bounds; actions of {name} are {kind}")
    if not isinstance(exploration, DEPSpec):
        return
    state: ActuatorState | None = call_optional(task, "actuator_state")
    if state is None:
        raise UsageError(f"{key}: {name} does not tell the state of its actuators")
    actuators, size = state.length.shape[1], space.shape[0]
    if actuators != size:
        raise UsageError(
            f"{key}: moves each actuator by its own length, but {name} has {actuators} actuators "
            f"and actions of {size} numbers"
        )


class ExploringActor:
    """A policy whose actions exploration replaces or disturbs; an ``Actor`` of one sampler.

    DEP acts by its schedule in place of the policy, noise is added to the policy's actions. DEP's y
    and noise are in units of half the range of an action, from its middle; sums are clipped.
    Matrices, windows and biases of DEP start with this object.

    Args:
        policy: acts where exploration does not.
        exploration: kind and parameters; not ``NoExploration``.
        task: for which ``check_explorable`` passes.
        sampler: of that task, which calls ``act``.
        streams: of the unit; each episode explores by one of its own.
        extrema: of ``poolrl.networks.parameters.extrema_of``.
        training_steps: control steps of the pool's training before the sampler's first.
        alone: without the policy, which is never asked: in place of its actions noise has the
            middle of the range to add to.

    Attributes:
        policy: acts where exploration does not; may be replaced between two steps.
        actuators: their state before the last step; ``None`` where exploration needs none.
    """

    actuators: ActuatorState | None = None

    def __init__(
        self,
        policy: Actor,
        exploration: Exploration,
        task: Task,
        sampler: Sampler,
        streams: Streams,
        *,
        extrema: Mapping[str, F64] | None = None,
        training_steps: int = 0,
        alone: bool = False,
    ) -> None:
        assert not isinstance(exploration, NoExploration)
        assert isinstance(task.action_space, Box)
        self.policy, self._task, self._sampler = policy, task, sampler
        self._streams, self._training_steps, self._alone = streams, training_steps, alone
        self._space = task.action_space
        low, high = (b.astype(np.float64) for b in (self._space.low, self._space.high))
        self._middle, self._half = (low + high) / 2, (high - low) / 2
        n, size = task.num_simulations, len(low)
        self._episodes = np.full(n, -1, np.intp)
        self._dep = self._noise = None
        if isinstance(exploration, DEPSpec):
            self._dep = _MixedDEP(exploration, n, size, extrema)
        else:
            self._noise = make_noise(exploration, n, size, task.max_episode_steps)

    def act(
        self,
        observation: NDArray[np.floating],
        state: State = (),
        episode_start: NDArray[np.bool_] | None = None,
        generator: np.random.Generator | None = None,
    ) -> PolicyOutput:
        """Choose actions; arguments and result as of ``Policy.act``, without parameters of a
        distribution, which the actions are not of. In place of its samples are the actions in units
        of half their range, from its middle; and where DEP lets the policy act, the policy's sample
        if it has one."""
        episodes = self._sampler.episodes
        ids = np.flatnonzero(episodes >= 0)
        started = ids[episodes[ids] != self._episodes[ids]]
        self._start(started, episodes[started])
        self._episodes = episodes
        if self._dep is not None:
            steps = self._training_steps + self._sampler.steps_taken
            state_now: ActuatorState = call_optional(self._task, "actuator_state")
            self.actuators = state_now
            acts, y = self._dep.step(state_now, ids, steps)
            own = self._middle + self._half * y
            if self._alone or acts[ids].all():
                return PolicyOutput(self._clipped(own), y, None, state)
            output = self.policy.act(observation, state, episode_start, generator)
            action = self._clipped(np.where(acts[:, None], own, output.action))
            sample = self._units(action) if output.sample is None else output.sample
            sample = np.where(acts[:, None], y, sample)
        else:
            assert self._noise is not None
            noise = self._half * self._noise.step(ids)
            if self._alone:
                action = self._clipped(self._middle + noise)
                return PolicyOutput(action, self._units(action), None, state)
            output = self.policy.act(observation, state, episode_start, generator)
            action = self._clipped(output.action + noise)
            sample = self._units(action)
        return PolicyOutput(action, sample, None, output.state)

    def extrema(self) -> dict[str, F64]:
        """What DEP has seen, (actuators,) by name; empty for noise."""
        return {} if self._dep is None else self._dep.scaling.extrema()

    def _start(self, ids: Ids, episodes: Ids) -> None:
        generators = [self._streams.generator(Purpose.EXPLORE, k) for k in episodes.tolist()]
        if self._dep is not None:
            self._dep.schedule.start(ids, episodes, generators)
        elif self._noise is not None:
            self._noise.reset(ids, generators)

    def _units(self, action: NDArray[Any]) -> NDArray[np.float32]:
        half = np.where(self._half > 0, self._half, 1)
        units: NDArray[np.float32] = ((action - self._middle) / half).astype(np.float32)
        return units

    def _clipped(self, action: NDArray[Any]) -> NDArray[Any]:
        clipped = np.clip(action, self._space.low, self._space.high)
        result: NDArray[Any] = clipped.astype(self._space.dtype)
        return result


class _MixedDEP:
    """DEP with its sensors and its schedule."""

    def __init__(self, spec: DEPSpec, n: int, size: int, extrema: Mapping[str, F64] | None) -> None:
        self.schedule = Schedule(n, spec)
        self.scaling = SensorScaling(n, size, force_scale=spec.force_scale, extrema=extrema)
        self._dep = DEP(
            *(n, size),
            kappa=spec.kappa,
            tau=spec.tau,
            time_dist=spec.time_dist,
            bias_rate=spec.bias_rate,
            s4avg=spec.s4avg,
            normalization=spec.normalization,
            q_norm_selector=spec.q_norm_selector,
            regularization=spec.regularization,
            buffer_size=spec.buffer_size,
        )

    def step(
        self, state: ActuatorState, ids: Ids, steps: int
    ) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        """Let DEP learn; returns where it acts, (n,), and its actions y, (n, size)."""
        acts, senses = self.schedule.step(ids, steps)
        rows = None if senses.all() else np.flatnonzero(senses)
        sensors = self.scaling(state.length, state.force, rows)
        return acts, self._dep.step(sensors, rows)
