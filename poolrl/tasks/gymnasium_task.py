"""Adapter from Gymnasium's environments to tasks: one environment per simulation, in a loop."""

from __future__ import annotations

import contextlib
import math
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from numbers import Real
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from gymnasium.wrappers import common
from numpy.typing import NDArray

from poolrl.errors import UsageError, one_line
from poolrl.own_actions import ActionConverter, OwnActions
from poolrl.process_state import PROCESS_STATE
from poolrl.spaces import ActionSpace, without_vast
from poolrl.tasks.base import ActuatorState, Ids, StepResult, Task
from poolrl.tasks.gymnasium_actuators import EnvironmentActuators
from poolrl.tasks.gymnasium_ids import KEEP_STATE, arguments
from poolrl.tasks.gymnasium_values import ExactValues, LenientValues
from poolrl.tasks.registry import no_time_limit, unknown_argument

FLAT = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)
"""Spaces that observations may consist of."""


class GymnasiumTask(Task):
    """Environments of ``gymnasium.make``.

    Observations of several dimensions, and dictionaries and tuples of them, are flattened as by
    ``gymnasium.spaces.flatten``; choices in them become one-hot. Actions of several dimensions are
    flattened too. An episode's generator gives the seed that its environment is reset with.

    Attributes:
        own_action_space: of the environment.
        step_infos: the ``info`` of each environment's last step, as it was returned; empty before
            the first one.
    """

    def __init__(
        self,
        num_simulations: int,
        *,
        spec: EnvSpec,
        max_episode_steps: int = 0,
        kwargs: Mapping[str, Any] | None = None,
        exact_spaces: bool = True,
    ) -> None:
        """
        Args:
            num_simulations: number of environments.
            spec: as ``environment_spec`` returns it.
            max_episode_steps: time limit in control steps; 0 for the environment's own.
            kwargs: arguments of the environment.
            exact_spaces: as in ``poolrl.config.schema.World``.

        Raises:
            UsageError: the environment cannot be created, or its spaces are not supported.
        """
        self._kwargs = dict(kwargs or {})
        first, limit = _first(spec, max_episode_steps, self._kwargs)
        self.num_simulations = num_simulations
        self.max_episode_steps = limit
        self._spec = spec
        self._recreate = str(spec.entry_point).startswith(KEEP_STATE)
        self._environments = [first]
        try:
            for _ in range(num_simulations - 1):
                self._environments.append(_make(spec, limit, self._kwargs))
            self._inner = first.observation_space
            self.observation_space = observation_space(self._inner, spec.id)
            self.own_action_space = first.action_space
            self.action_space = action_space(first.action_space, spec.id)
            self._convert = ActionConverter(OwnActions.of(first.action_space))
            self._exact = exact_spaces
            values = ExactValues if exact_spaces else LenientValues
            self._values = values(type(first.unwrapped).__qualname__, self._inner)
        except BaseException:
            with contextlib.suppress(Exception):  # the first error matters
                self.close()
            raise
        self._observation = np.zeros((num_simulations, self.observation_space.shape[0]))
        self._diverged = np.zeros(num_simulations, np.bool_)
        self._actuators = EnvironmentActuators()
        self.step_infos: list[Mapping[Any, Any]] = [{}] * num_simulations
        # An environment may declare what a task of poolrl's own would.
        self.info_aggregates = getattr(first.unwrapped, "info_aggregates", self.info_aggregates)

    def reset(self, ids: Ids, generators: Sequence[np.random.Generator]) -> None:
        self._diverged[ids] = False
        for i, generator in zip(ids, generators, strict=True):
            seed = int(generator.integers(2**31))
            if self._recreate:
                self._environments[i].close()
                self._environments[i] = _make(self._spec, self.max_episode_steps, self._kwargs)
            returned = self._environments[i].reset(seed=seed)
            self._store(i, self._values.of_reset(returned))

    def observe(self) -> NDArray[np.float64]:
        return self._observation.copy()

    def step(self, action: NDArray[Any], ids: Ids | None = None) -> StepResult:
        n = self.num_simulations
        reward = np.zeros(n)
        terminated, truncated = np.zeros(n, np.bool_), np.zeros(n, np.bool_)
        own = self._own_actions(action)
        rows: Iterable[int] = range(n) if ids is None else ids.tolist()
        for i in rows:
            try:
                returned = self._environments[i].step(own[i])
            except Exception as error:
                if _is_unpacking(error):
                    self._values.refuse_step(one_line(error))
                if type(error).__name__ != "PhysicsError":  # of dm_control, for instability
                    raise
                self._diverged[i] = terminated[i] = True
                continue
            values = self._values.of_step(returned)
            reward[i] = values.reward
            terminated[i], truncated[i] = values.terminated, values.truncated
            self.step_infos[i] = values.info
            self._store(i, values.observation)
        return StepResult(self.observe(), reward, terminated, truncated)

    def diverged(self) -> NDArray[np.bool_]:
        return self._diverged.copy()

    def actuator_state(self) -> ActuatorState | None:
        """As for ``Task``: of environments with a model of MuJoCo's, Gymnasium's, MyoSuite's,
        dm_control's or whatever keeps ``model`` and ``data`` as they do."""
        return self._actuators.state(self._environments)

    def close(self) -> None:
        """Close all environments, also where one of them fails.

        Raises:
            Exception: that of an environment, once all were tried.
        """
        with contextlib.ExitStack() as stack:
            while self._environments:
                stack.callback(self._environments.pop().close)

    @property
    def environment(self) -> gymnasium.Env[Any, Any]:
        """The first simulation's environment, without wrappers."""
        return self._environments[0].unwrapped

    def _own_actions(self, action: NDArray[Any]) -> list[Any]:
        """The actions of all environments, which may keep and change them."""
        own = self._convert(action)
        if isinstance(self.action_space, spaces.Discrete):
            return list(own) if self._exact else own.tolist()
        # Of a box without dimensions, Gymnasium draws arrays too.
        return [own[i, ...] for i in range(len(own))] if self._exact else list(own)

    def senses(self) -> dict[str, NDArray[np.bool_]]:
        """The entries of a dictionary of observations, in the order in which they are flattened."""
        if not isinstance(self._inner, spaces.Dict):
            return {}
        masks, start = {}, 0
        for name, part in self._inner.spaces.items():
            stop = start + spaces.flatdim(part)
            mask = np.zeros(self.observation_space.shape[0], np.bool_)
            mask[start:stop] = True
            masks[str(name)], start = mask, stop
        return masks

    def _store(self, i: int, observation: NDArray[Any]) -> None:
        self._observation[i] = observation
        self._diverged[i] |= not np.isfinite(self._observation[i]).all()


def observation_space(space: spaces.Space[Any], task_id: str) -> spaces.Box:
    """Return the box of one dimension that observations are flattened to.

    Args:
        space: of the environment.
        task_id: for errors.

    Raises:
        UsageError: the space contains images, or a space without a fixed size.
    """
    for part in _parts(space):
        if isinstance(part, spaces.Box) and len(part.shape) > 2 and part.dtype == np.uint8:
            raise UsageError(
                f"task.id: {task_id}: observes images {part.shape}, which perceptrons cannot use"
            )
        if not isinstance(part, FLAT):
            raise UsageError(
                f"task.id: {task_id}: observes {type(part).__name__}, which is neither numbers nor "
                "choices of a fixed size"
            )
    flat = spaces.flatten_space(space)
    assert isinstance(flat, spaces.Box)
    if flat.shape == (0,):
        raise UsageError(f"task.id: {task_id}: observes nothing")
    low, high = flat.low.astype(np.float64), flat.high.astype(np.float64)
    return spaces.Box(low, high, dtype=np.float64)


def action_space(space: spaces.Space[Any], task_id: str) -> ActionSpace:
    """Return the space that policies act in.

    Args:
        space: of the environment.
        task_id: for errors.

    Raises:
        UsageError: the space is none of Box (of floats), Discrete, MultiDiscrete and MultiBinary.
    """
    if isinstance(space, spaces.Discrete):
        return spaces.Discrete(int(space.n), start=int(space.start))
    if isinstance(space, spaces.MultiBinary):
        return spaces.MultiDiscrete(np.full(math.prod(space.shape), 2))
    if isinstance(space, spaces.MultiDiscrete):
        return spaces.MultiDiscrete(space.nvec.ravel())
    if isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating):
        low, high = without_vast(space.low.ravel(), space.high.ravel())
        return spaces.Box(low.astype(np.float32), high.astype(np.float32), dtype=np.float32)
    raise UsageError(
        f"task.id: {task_id}: acts in {space}; known are boxes of real numbers, Discrete, "
        "MultiDiscrete and MultiBinary"
    )


def _first(
    spec: EnvSpec, limit: int, kwargs: dict[str, Any]
) -> tuple[gymnasium.Env[Any, Any], int]:
    """Create an environment with a time limit, its own where ``limit`` is 0; return both."""
    limit = limit or spec.max_episode_steps or 0
    if limit:
        return _make(spec, limit, kwargs), limit
    # dm_control does not register its time limit.
    environment = _make(spec, -1, kwargs)
    own = getattr(environment.unwrapped, "_step_limit", math.inf)
    with contextlib.suppress(Exception):  # the owner of the task reports it
        environment.close()
    # Another package's environment may mean something else by this name.
    own = float(own) if isinstance(own, Real) else math.inf
    if not 0.0 < own < math.inf:
        raise no_time_limit(spec.id)
    return _first(spec, math.ceil(own), kwargs)


def _make(spec: EnvSpec, limit: int, kwargs: dict[str, Any]) -> gymnasium.Env[Any, Any]:
    """Call ``gymnasium.make``; a ``limit`` of -1 means none."""
    try:
        if spec.namespace == "dm_control" and "-" in spec.name:  # of its suite
            # Some draw their model at creation, which must be the same for every worker.
            inner = {"random": 0} | ({"time_limit": math.inf} if limit > 0 else {})
            kwargs = {**kwargs, "task_kwargs": inner | kwargs.get("task_kwargs", {})}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            named, others = arguments(spec)
            for name in kwargs:
                if name not in named and not others:
                    raise unknown_argument(spec.id, name, named)
            PROCESS_STATE.before_constructor()
            environment = gymnasium.make(
                # Not as keywords, which may be named like those of ``make``.
                replace(spec, kwargs=spec.kwargs | kwargs),
                max_episode_steps=limit,
                disable_env_checker=True,
            )
    except UsageError:
        raise
    except Exception as error:
        text = one_line(error)
        raise UsageError(f"task: {spec.id} with these arguments: {text}") from error
    if "mujoco" in sys.modules:
        import_module("poolrl.tasks.mujoco")  # its import disables MuJoCo's log and clock
    return environment


def _is_unpacking(error: Exception) -> bool:
    """Whether Gymnasium's time limit could not take a step's result apart into five values."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    at_limit = trace is not None and trace.tb_frame.f_code.co_filename == common.__file__
    return at_limit and isinstance(error, (TypeError, ValueError)) and "unpack" in str(error)


def _parts(space: spaces.Space[Any]) -> list[spaces.Space[Any]]:
    if isinstance(space, spaces.Dict):
        return [part for inner in space.spaces.values() for part in _parts(inner)]
    if isinstance(space, spaces.Tuple):
        return [part for inner in space.spaces for part in _parts(inner)]
    return [space]
