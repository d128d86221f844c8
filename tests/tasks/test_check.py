"""The checker: each violation of the contract is one line that names it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete
from numpy.typing import NDArray

from poolrl import tasks
from poolrl.errors import UsageError
from poolrl.tasks.base import StepResult, Task
from poolrl.tasks.check import LIMIT, check, sample_action
from poolrl.tasks.registry import REGISTRY
from tests.helpers.muscles import BODIES, needs_bodies, own_model
from tests.helpers.rodents import RODENTS, needs_dm, write_rat_clips
from tests.tasks.mujoco.anymal import scene, write_scene


class Sound(Task):
    """A random walk that fulfils the contract."""

    def __init__(self, num_simulations: int, *, max_episode_steps: int = 10) -> None:
        self.num_simulations = num_simulations
        self.max_episode_steps = max_episode_steps
        self.observation_space = Box(-np.inf, np.inf, (2,), np.float64)
        self.action_space: Any = Box(-1.0, 1.0, (2,), np.float32)
        self.position = np.zeros((num_simulations, 2))
        self.elapsed = np.zeros(num_simulations, np.int64)

    def reset(self, ids: Any, generators: Any) -> None:
        self.position[ids] = [generator.normal(size=2) for generator in generators]
        self.elapsed[ids] = 0

    def observe(self) -> NDArray[np.float64]:
        return self.position.copy()

    def step(self, action: NDArray[Any], ids: Any = None) -> StepResult:
        ids = slice(None) if ids is None else ids
        self.position[ids] += action[ids]
        self.elapsed[ids] += 1
        never = np.zeros(self.num_simulations, np.bool_)
        reward = -np.square(self.position).sum(axis=1)
        return StepResult(self.observe(), reward, never, self.elapsed >= self.max_episode_steps)


def test_a_sound_task_passes() -> None:
    check(lambda n, limit: Sound(n, max_episode_steps=limit), "Sound")


def model_arguments(task_id: str, folder: Path) -> dict[str, str]:
    """The arguments that a native task needs: of AnymalC-v0 and MuscleReach-v0, a model; of
    RodentImitation-v0, clips."""
    if task_id == "RodentImitation-v0":
        return {"clips": write_rat_clips(folder / "clips.h5", (20,))}
    if task_id == "MuscleReach-v0":
        return own_model(folder)
    return {"xml_file": write_scene(folder)} if task_id == "AnymalC-v0" else {}


NATIVE = [
    pytest.param(task_id, marks=needs_bodies if task_id in BODIES else needs_dm)
    if task_id in (*BODIES, *RODENTS)
    else task_id
    for task_id in REGISTRY
]


@pytest.mark.parametrize("task_id", NATIVE)
def test_native_tasks_pass(task_id: str, tmp_path: Path) -> None:
    kwargs = model_arguments(task_id, tmp_path)
    check(lambda n, limit: tasks.make(task_id, n, max_episode_steps=limit, kwargs=kwargs), task_id)


@pytest.mark.parametrize("task_id", ["Quadruped-v0", "QuadrupedStep-v0", "AnymalC-v0"])
def test_quadrupeds_pass_with_another_model(task_id: str, tmp_path: Path) -> None:
    path = tmp_path / "scene.xml"
    step = '<geom name="step" type="box" size="30 9 .075" pos="31.5 0 .075"/>'
    path.write_text(scene().replace("</worldbody>", f"{step}</worldbody>"))
    kwargs = {"xml_file": str(path)}
    check(lambda n, limit: tasks.make(task_id, n, max_episode_steps=limit, kwargs=kwargs), task_id)


@pytest.mark.parametrize("variant", [{"action_repeat": 3}, {"mask_velocities": True}])
def test_variants_pass(variant: dict[str, Any]) -> None:
    def make(num_simulations: int, limit: int) -> Task:
        steps = limit * variant.get("action_repeat", 1)
        return tasks.make("Hopper-v5", num_simulations, max_episode_steps=steps, **variant)

    check(make, "Hopper-v5")


@pytest.mark.parametrize("task_id", NATIVE)
def test_time_limits_count_the_steps_of_each_simulation(task_id: str, tmp_path: Path) -> None:
    kwargs = model_arguments(task_id, tmp_path)
    task = tasks.make(task_id, 3, max_episode_steps=3, kwargs=kwargs)
    task.reset(np.arange(3), [np.random.default_rng(i) for i in range(3)])
    action = sample_action(task, np.random.default_rng(0))
    task.step(action, np.array([0, 2]))
    task.step(action, np.array([0]))
    assert task.step(action).truncated.tolist() == [True, False, False]
    assert task.step(action, np.array([2])).truncated[2]
    assert not task.step(action, np.array([1])).truncated[1]
    assert task.step(action, np.array([1])).truncated[1]


class IgnoresLimit(Sound):
    def __init__(self, num_simulations: int, *, max_episode_steps: int = 10) -> None:
        super().__init__(num_simulations, max_episode_steps=9)


class DictObservation(Sound):
    observation_space = property(lambda self: Dict({}), lambda self, value: None)  # type: ignore[assignment]


class WholeObservation(Sound):
    observation_space = property(  # type: ignore[assignment]
        lambda self: Box(0, 9, (2,), np.int64), lambda self, value: None
    )


class SquareAction(Sound):
    action_space = property(  # type: ignore[assignment]
        lambda self: Box(-1, 1, (2, 2), np.float32), lambda self, value: None
    )


class LateStart(Sound):
    action_space = property(  # type: ignore[assignment]
        lambda self: MultiDiscrete([2, 2], start=[1, 1]), lambda self, value: None
    )


class WideObservation(Sound):
    def observe(self) -> NDArray[np.float64]:
        return np.zeros((self.num_simulations, 3))


class ListObservation(Sound):
    def observe(self) -> Any:
        return self.position.tolist()


class ListInfo(Sound):
    def info(self) -> Any:
        return ["x"]


class Nan(Sound):
    def observe(self) -> NDArray[np.float64]:
        return self.position * np.nan


class SharedObservation(Sound):
    def observe(self) -> NDArray[np.float64]:
        return self.position


class SharedReward(Sound):
    def step(self, action: NDArray[Any], ids: Any = None) -> StepResult:
        result = super().step(action, ids)
        self.kept = getattr(self, "kept", np.zeros(self.num_simulations))
        self.kept[:] = result.reward
        return result._replace(reward=self.kept)


class SharedFlags(Sound):
    """Returns the same array at every step, which never changes."""

    def step(self, action: NDArray[Any], ids: Any = None) -> StepResult:
        result = super().step(action, ids)
        self.never = getattr(self, "never", result.terminated)
        return result._replace(terminated=self.never)


class SharedBuffer(Sound):
    """Returns rows of a buffer: of step k + 2 the same as of step k."""

    def step(self, action: NDArray[Any], ids: Any = None) -> StepResult:
        result = super().step(action, ids)
        self.buffer = getattr(self, "buffer", np.zeros((2, self.num_simulations)))
        row = self.buffer[self.elapsed.max() % 2]
        return result._replace(reward=row)


class SharedWithObserve(Sound):
    """Returns the array that the next call of observe() returns."""

    def observe(self) -> NDArray[np.float64]:
        observation, self.last = getattr(self, "last", None), None
        return self.position.copy() if observation is None else observation

    def step(self, action: NDArray[Any], ids: Any = None) -> StepResult:
        self.last = None
        result = super().step(action, ids)
        self.last = result.observation
        return result


class IntegerReward(Sound):
    def step(self, action: NDArray[Any], ids: Any = None) -> StepResult:
        result = super().step(action, ids)
        return result._replace(reward=result.reward.astype(np.int64))


class ColumnReward(Sound):
    def step(self, action: NDArray[Any], ids: Any = None) -> StepResult:
        result = super().step(action, ids)
        return result._replace(reward=result.reward[:, None])


class IntegerFlags(Sound):
    def step(self, action: NDArray[Any], ids: Any = None) -> StepResult:
        result = super().step(action, ids)
        return result._replace(terminated=result.terminated.astype(np.int64))


class FourOfFive(Sound):
    def step(self, action: NDArray[Any], ids: Any = None) -> Any:
        return tuple(super().step(action, ids))[:3]


class NeverEnds(Sound):
    def step(self, action: NDArray[Any], ids: Any = None) -> StepResult:
        result = super().step(action, ids)
        return result._replace(truncated=result.terminated.copy())


class EndsEarly(Sound):
    def step(self, action: NDArray[Any], ids: Any = None) -> StepResult:
        result = super().step(action, ids)
        return result._replace(truncated=self.elapsed >= self.max_episode_steps - 1)


class ResetsAll(Sound):
    def reset(self, ids: Any, generators: Any) -> None:
        self.position[:] = 0
        super().reset(ids, generators)


class StepsAll(Sound):
    def step(self, action: NDArray[Any], ids: Any = None) -> StepResult:
        return super().step(action)


class ChangesAction(Sound):
    def step(self, action: NDArray[Any], ids: Any = None) -> StepResult:
        action *= 2
        return super().step(action, ids)


class OwnRandomness(Sound):
    def reset(self, ids: Any, generators: Any) -> None:
        super().reset(ids, [np.random.default_rng() for _ in generators])


class Remembers(Sound):
    def reset(self, ids: Any, generators: Any) -> None:
        super().reset(ids, generators)
        self.count = getattr(self, "count", 0) + 1
        self.position[ids] += self.count


class KnowsItsIndex(Sound):
    def reset(self, ids: Any, generators: Any) -> None:
        super().reset(ids, generators)
        self.position[ids] += np.asarray(ids)[:, None]


@pytest.mark.parametrize(
    ("cls", "words"),
    [
        (IgnoresLimit, f"max_episode_steps must be what the constructor was given, {LIMIT}: 9"),
        (DictObservation, "observation_space must be a gymnasium.spaces.Box of one dimension"),
        (WholeObservation, "observation_space must be a gymnasium.spaces.Box of one dimension"),
        (ListInfo, "info() must return a dictionary: list ['x']"),
        (SquareAction, "action_space must be a Box of one dimension"),
        (LateStart, "action_space must have one dimension, and start at 0"),
        (WideObservation, "observe() must be an array (3, 2) of float64 or float32: (3, 3) of fl"),
        (ListObservation, "observe() must be an array (3, 2) of float64 or float32: list"),
        (Nan, "observe() must be finite: [[nan, nan]"),
        (SharedObservation, "step().observation changed with a later step; return new arrays"),
        (SharedReward, "step().reward changed with a later step; return new arrays"),
        (SharedFlags, "step().terminated shares memory with that of an earlier step; return new"),
        (SharedBuffer, "step().reward shares memory with that of an earlier step; return new"),
        (SharedWithObserve, "step().observation shares memory with observe(); return new arrays"),
        (IntegerReward, "step().reward must be an array (3,) of float64 or float32: (3,) of int64"),
        (ColumnReward, "step().reward must be an array (3,) of float64 or float32: (3, 1)"),
        (IntegerFlags, "step().terminated must be an array (3,) of bool: (3,) of int64"),
        (FourOfFive, "step() must return a StepResult: tuple"),
        (NeverEnds, f"at step max_episode_steps = {LIMIT}, and not before: it is False at step"),
        (EndsEarly, f"and not before: it is True at step {LIMIT - 1}"),
        (ResetsAll, "reset(ids=[1]) changed what simulations 0 and 2 observe"),
        (StepsAll, "step(action, ids=[0, 2]) changed what simulation 1 observes"),
        (ChangesAction, "step() changed the array of actions that it was given"),
        (OwnRandomness, "an episode must follow from its generator alone"),
        (Remembers, "gave another observation at step 1 when it was played again"),
        (KnowsItsIndex, "gave simulations 0 and 2 another observation at step 1"),
    ],
)
def test_a_violation_is_named(cls: type[Sound], words: str) -> None:
    with pytest.raises(UsageError) as error:
        check(lambda n, limit: cls(n, max_episode_steps=limit), cls.__name__)
    assert str(error.value).startswith(f"{cls.__name__}: ")
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "space",
    [
        Box(
            np.array([2, -np.inf, -np.inf, 3]), np.array([3, np.inf, -5, np.inf]), dtype=np.float32
        ),
        Discrete(3, start=-2),
        MultiDiscrete([2, 3]),
    ],
)
def test_actions_are_in_their_space(space: Any) -> None:
    task = Sound(4)
    task.action_space = space
    actions = sample_action(task, np.random.default_rng(1))
    assert len(actions) == 4
    assert all(action in space for action in actions)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("largest", [np.finfo(np.float32).max, 3e38, 1e38, np.inf])
def test_a_task_with_vast_bounds_passes(dtype: Any, largest: float) -> None:
    class Wide(Sound):
        def __init__(self, num_simulations: int, *, max_episode_steps: int = 10) -> None:
            super().__init__(num_simulations, max_episode_steps=max_episode_steps)
            low, high = np.array([-largest, 0], dtype), np.array([largest, largest], dtype)
            self.action_space = Box(low, high, dtype=dtype)
            self.observation_space = Box(low, high, dtype=dtype)

    check(lambda n, limit: Wide(n, max_episode_steps=limit), "Wide")
    action = sample_action(Wide(1), np.random.default_rng(0))
    assert np.isfinite(action).all()
    assert np.abs(action).max() <= 1
