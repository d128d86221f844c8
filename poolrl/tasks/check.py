"""Check that a task fulfils the contract of ``poolrl.tasks.Task``; done when a pool is created."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import msgspec
import numpy as np
from gymnasium.spaces import Box, Discrete, MultiDiscrete
from numpy.typing import NDArray

from poolrl.config.schema import World
from poolrl.errors import PoolrlError, UsageError, one_line
from poolrl.spaces import VAST, without_vast
from poolrl.tasks.base import ActuatorState, StepResult, Task, call_optional
from poolrl.tasks.closing import closing
from poolrl.tasks.factory import make
from poolrl.tasks.permissions import blamed
from poolrl.tasks.registry import REGISTRY

LIMIT = 8
"""Time limit of the episodes of a check, in control steps."""

SIMULATIONS = 3

MakeTask = Callable[[int, int], Task]
"""(number of simulations, time limit in control steps) -> a task."""


def check(make_task: MakeTask, name: str) -> None:
    """Run a few short episodes, and check everything that the task returns.

    Args:
        make_task: creates the task; who passes it closes what it creates.
        name: of the task, for errors.

    Raises:
        UsageError: one line that says what was expected and what was returned instead.
    """
    _Checker(make_task, name).run()


def check_task(world: World) -> None:
    """Check the task of a world, unless it is a native one: those are checked by the tests.

    Raises:
        UsageError: as for ``check``.
    """
    if world.id in REGISTRY:
        return
    name = f"task: {world.id.rpartition('/')[2] if ':' in world.id else world.id}"

    # Without variants and randomization, which are poolrl's own.
    plain = World(
        id=world.id,
        kwargs=world.kwargs,
        exact_spaces=world.exact_spaces,
        source_sha256=world.source_sha256,
    )

    with closing(make(world, 1), world) as task:  # with its own time limit
        _refuse_dead_actuators(task, name)
    try:
        with contextlib.ExitStack() as stack, blamed(world):

            def make_short(num_simulations: int, limit: int) -> Task:
                short = msgspec.structs.replace(plain, max_episode_steps=limit)
                return stack.enter_context(closing(make(short, num_simulations), world))

            check(make_short, name)
    except PoolrlError:
        raise
    except Exception as error:
        text = one_line(error)
        raise UsageError(f"{name}: {text}") from error


def _refuse_dead_actuators(task: Task, name: str) -> None:
    """Refuse a task whose model has actuators without a control range, if its action space is made
    from the ranges, as Gymnasium's ``MujocoEnv`` does it, and so permits only 0.

    Args:
        task: any; it passes without a model of MuJoCo's in an attribute ``model``.
        name: of the task, for errors.

    Raises:
        UsageError: names the actuators.
    """
    space: Any = task.action_space
    model: Any = getattr(getattr(task, "environment", task), "model", None)
    if not isinstance(space, Box) or not hasattr(model, "actuator_ctrllimited"):
        return
    if space.shape != (model.nu,):
        return
    dead = np.flatnonzero((model.actuator_ctrllimited == 0) & (space.low == space.high))
    if len(dead):
        names = ", ".join(model.actuator(i).name or f"number {i}" for i in dead.tolist())
        raise UsageError(
            f"{name}: the model has actuators without ctrlrange, which can never move: {names}; "
            "give them one, or the environment an action_space of its own"
        )


def try_task(task: Task, world: World) -> None:
    """Check that a task can start an episode and make one step, in its first simulation.

    Args:
        task: the task of ``world``; its first simulation must be reset afterwards.
        world: for errors.

    Raises:
        UsageError: it cannot, with these arguments.
    """
    generator = np.random.default_rng(0)
    if task.action_space.shape == (0,):
        raise UsageError(f"task: {world.id} with these arguments: the model has no actuator")
    try:
        with blamed(world):
            task.reset(np.arange(1), [generator])
            task.step(sample_action(task, generator), np.arange(1))
    except UsageError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UsageError(f"task: {world.id} with these arguments: {reason}") from error


class _Checker:
    def __init__(self, make_task: MakeTask, name: str) -> None:
        self.make, self.name = make_task, name
        self.task = make_task(SIMULATIONS, LIMIT)
        # The same actions for all simulations, so that their episodes can be compared.
        self.actions: list[NDArray[Any]] = []

    def run(self) -> None:
        self.check_attributes()
        self.check_spaces()
        generator = np.random.default_rng(0)
        for _ in range(LIMIT):
            self.actions.append(sample_action(self.task, generator))
        first = self.run_episodes(self.task, [7, 8, 7])
        self.check_observations_are_new()
        self.check_other_simulations_stay()
        again = self.run_episodes(self.task, [7, 8, 7])
        self.require_equal(first, again, "when it was played again after other episodes")
        new = self.run_episodes(self.make(SIMULATIONS, LIMIT), [7, 8, 7])
        self.require_equal(first, new, "in another object of the class")
        # Simulations 0 and 2 had the same seed.
        for k, step in enumerate(first):
            for field, values in zip(step._fields, step, strict=True):
                if not np.allclose(values[0], values[2], rtol=1e-6, atol=1e-6):
                    self.refuse(
                        f"the same generator and actions gave simulations 0 and 2 another {field} "
                        f"at step {k + 1}; an episode must follow from its generator alone"
                    )
            if step.terminated[0] or step.truncated[0]:
                break  # later rows have no meaning

    def check_attributes(self) -> None:
        for field, expected in (("num_simulations", SIMULATIONS), ("max_episode_steps", LIMIT)):
            got = getattr(self.task, field, None)
            if got != expected:
                self.refuse(f"{field} must be what the constructor was given, {expected}: {got!r}")

    def check_spaces(self) -> None:
        space = getattr(self.task, "observation_space", None)
        if not isinstance(space, Box) or len(space.shape) != 1 or space.dtype.kind != "f":
            self.refuse(
                "observation_space must be a gymnasium.spaces.Box of one dimension, float32 or "
                f"float64: {space}"
            )
        space = getattr(self.task, "action_space", None)
        if isinstance(space, Box):
            if len(space.shape) != 1 or space.dtype.kind != "f" or space.shape == (0,):
                self.refuse(f"action_space must be a Box of one dimension and of floats: {space}")
            if space.dtype not in (np.float32, np.float64):
                self.refuse(f"action_space must be of float32 or float64: {space}")
            if not ((space.low <= space.high) & (space.low < VAST) & (space.high > -VAST)).all():
                self.refuse(
                    f"action_space has a range without a number that could be used: {space}"
                )
        elif isinstance(space, MultiDiscrete):
            if len(space.shape) != 1 or space.start.any():
                self.refuse(f"action_space must have one dimension, and start at 0: {space}")
        elif not isinstance(space, Discrete):
            self.refuse(f"action_space must be a Box, Discrete or MultiDiscrete: {space}")

    def check_observations_are_new(self) -> None:
        if np.shares_memory(self.task.observe(), self.task.observe()):
            self.refuse("observe() must return a new array each time; return a copy")

    def check_other_simulations_stay(self) -> None:
        """Reset, and then step, some simulations, and check that the others do not change."""
        before = self.task.observe()
        self.task.reset(np.array([1]), [np.random.default_rng(9)])
        if not np.array_equal(self.task.observe()[[0, 2]], before[[0, 2]]):
            self.refuse("reset(ids=[1]) changed what simulations 0 and 2 observe")
        self.reset(self.task, [1, 2, 3])
        before = self.task.observe()
        self.task.step(self.actions[0].copy(), np.array([0, 2]))
        after = self.task.observe()
        if not np.array_equal(after[1], before[1]):
            self.refuse("step(action, ids=[0, 2]) changed what simulation 1 observes")

    def run_episodes(self, task: Task, seeds: list[int]) -> list[StepResult]:
        """Run an episode in each simulation, with checks; return copies of the results."""
        self.reset(task, seeds)
        self.check_array(task.observe(), "observe()", "observation")
        steps: list[StepResult] = []
        copies: list[StepResult] = []
        alive = np.ones(SIMULATIONS, np.bool_)
        for k, action in enumerate(self.actions):
            given = action.copy()
            result = task.step(given, None if alive.all() else np.flatnonzero(alive))
            if not np.array_equal(given, action):
                self.refuse("step() changed the array of actions that it was given; copy it")
            if not isinstance(result, tuple) or len(result) != len(StepResult._fields):
                self.refuse(f"step() must return a StepResult: {type(result).__name__}")
            result = StepResult(*result)
            for field, values in zip(StepResult._fields, result, strict=True):
                self.check_array(values, f"step().{field}", field, alive)
            wrong = alive & (result.truncated != (k + 1 == LIMIT)) & ~result.terminated
            if wrong.any():
                self.refuse(
                    f"truncated must become true at step max_episode_steps = {LIMIT}, and not "
                    f"before: it is {bool(result.truncated[wrong][0])} at step {k + 1}"
                )
            info = call_optional(task, "info")
            if not isinstance(info, Mapping):
                self.refuse(f"info() must return a dictionary: {_described(info)}")
            self.check_results_are_new(steps, copies, result)
            steps.append(result)
            copies.append(StepResult._make(values.copy() for values in result))
            alive &= ~(result.terminated | result.truncated)
            if not alive.any():
                break
        if np.shares_memory(steps[-1].observation, task.observe()):
            self.refuse("step().observation shares memory with observe(); return new arrays")
        diverged = call_optional(task, "diverged")
        if np.shape(diverged) != (SIMULATIONS,) or np.asarray(diverged).dtype != np.bool_:
            self.refuse(f"diverged() must return {SIMULATIONS} bools: {_described(diverged)}")
        self.check_actuator_state(call_optional(task, "actuator_state"))
        mask = call_optional(task, "velocities")
        size = self.task.observation_space.shape
        if mask is not None:
            self.check_mask("velocities()", mask, size)
        senses = call_optional(task, "senses")
        if not isinstance(senses, dict):
            self.refuse(f"senses() must return a dictionary: {_described(senses)}")
        for name, mask in senses.items():
            self.check_mask(f"senses()[{name!r}]", mask, size)
        return copies

    def check_mask(self, what: str, mask: Any, shape: tuple[int, ...]) -> None:
        """Check that a mask of observations is an array of bools of their shape."""
        if np.shape(mask) != shape or np.asarray(mask).dtype != np.bool_:
            self.refuse(f"{what} must return an array of bools {shape}: {_described(mask)}")

    def check_actuator_state(self, state: Any) -> None:
        """Check what ``actuator_state`` returned; its values may be NaN."""
        if state is None:
            return
        fields = ActuatorState._fields
        if not isinstance(state, tuple) or len(state) != len(fields):
            self.refuse(f"actuator_state() must return an ActuatorState: {_described(state)}")
        shape = (SIMULATIONS, *np.shape(state[0])[1:2])
        for field, values in zip(fields, state, strict=True):
            if np.shape(values) != shape or len(shape) != 2 or values.dtype != np.float64:
                self.refuse(
                    f"actuator_state().{field} must be an array ({SIMULATIONS}, actuators) of "
                    f"float64: {_described(values)}"
                )

    def check_results_are_new(
        self, steps: list[StepResult], copies: list[StepResult], result: StepResult
    ) -> None:
        """Check that earlier results neither changed nor share memory with a later one.

        Args:
            steps: the earlier results.
            copies: of them, made when they were returned.
            result: the later one.
        """
        for step, copy in zip(steps, copies, strict=True):
            for field, expected, values in zip(StepResult._fields, copy, step, strict=True):
                if not np.array_equal(expected, values, equal_nan=expected.dtype.kind == "f"):
                    self.refuse(f"step().{field} changed with a later step; return new arrays")
        for step in steps:
            for field, earlier, later in zip(StepResult._fields, step, result, strict=True):
                if np.shares_memory(earlier, later):
                    self.refuse(
                        f"step().{field} shares memory with that of an earlier step; return new "
                        "arrays"
                    )

    def reset(self, task: Task, seeds: list[int]) -> None:
        generators = [np.random.default_rng(seed) for seed in seeds]
        task.reset(np.arange(SIMULATIONS), generators)

    def check_array(
        self, values: Any, where: str, field: str, rows: NDArray[np.bool_] | None = None
    ) -> None:
        """Check that an array has the shape and dtype of a field of ``StepResult``, and is finite.

        Args:
            values: the array.
            where: the call that returned it, for errors.
            field: of ``StepResult``.
            rows: (num_simulations,): the rows that must be finite; ``None`` for all.
        """
        is_observation = field == "observation"
        shape = (SIMULATIONS, *(self.task.observation_space.shape if is_observation else ()))
        is_flag = field in ("terminated", "truncated")
        kinds = "bool" if is_flag else "float64 or float32"
        is_array = isinstance(values, np.ndarray)
        if not is_array or values.shape != shape or str(values.dtype) not in kinds.split(" or "):
            self.refuse(f"{where} must be an array {shape} of {kinds}: {_described(values)}")
        if not is_flag and not np.isfinite(values if rows is None else values[rows]).all():
            self.refuse(f"{where} must be finite: {values.tolist()}")

    def require_equal(self, first: list[StepResult], second: list[StepResult], when: str) -> None:
        """Check that two runs of the same episodes are equal until their ends.

        Args:
            first, second: the results.
            when: circumstances of the second run, for errors.
        """
        alive = np.ones(SIMULATIONS, np.bool_)
        for k, (one, other) in enumerate(zip(first, second, strict=False)):
            for field, a, b in zip(StepResult._fields, one, other, strict=True):
                if not np.array_equal(a[alive], b[alive]):
                    self.refuse(
                        f"the same generators and actions gave another {field} at step {k + 1} "
                        f"{when}; an episode must follow from its generator alone"
                    )
            alive &= ~(one.terminated | one.truncated)

    def refuse(self, reason: str) -> NoReturn:
        text = " ".join(reason.split())
        raise UsageError(f"{self.name}: {text if len(text) <= 400 else text[:397] + '...'}")


def sample_action(task: Task, generator: np.random.Generator) -> NDArray[Any]:
    """Draw an action from a task's action space, the same for all of its simulations.

    Returns:
        (num_simulations, action size); (num_simulations,) for a ``Discrete`` space.
    """
    space = task.action_space
    if isinstance(space, Discrete):
        return np.full(task.num_simulations, space.start + generator.integers(space.n), np.int64)
    if isinstance(space, MultiDiscrete):
        action = generator.integers(space.nvec).astype(np.int64)
    else:
        lowest, highest = without_vast(space.low, space.high)
        low = np.where(np.isfinite(lowest), lowest, np.minimum(highest - 1, -1))
        high = np.where(np.isfinite(highest), highest, np.maximum(lowest + 1, 1))
        action = np.clip(generator.uniform(low, high).astype(np.float32), space.low, space.high)
    return np.tile(action, (task.num_simulations, 1))


def _described(values: Any) -> str:
    if isinstance(values, np.ndarray):
        return f"{values.shape} of {values.dtype}"
    return f"{type(values).__name__} {values!r}"
