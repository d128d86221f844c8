"""Values of a task's ``info`` by episode, from batches, adapted environments and native tasks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.spaces import Box
from hypothesis import given
from hypothesis import strategies as st

from poolrl import tasks
from poolrl.config.schema import World
from poolrl.errors import UsageError
from poolrl.networks.policy import PolicyOutput
from poolrl.rollouts.episode_infos import EpisodeInfos, declared_aggregates
from poolrl.rollouts.evaluation import evaluate
from poolrl.tasks.base import Ids, StepResult, Task
from poolrl.tasks.gymnasium_task import GymnasiumTask
from poolrl.tasks.mujoco.hopper import Hopper
from poolrl.tasks.variants import ActionRepeat

Table = dict[str, tuple[str, list[float | None]]]


class Constant:
    """The same action always: 0, or of several dimensions 0.6."""

    def __init__(self, size: int = 1) -> None:
        self._size = size

    def act(self, observation: Any, *_: Any, **__: Any) -> PolicyOutput:
        value = 0.6 if self._size > 1 else 0.0
        actions = np.full((len(observation), self._size), value, np.float32)
        return PolicyOutput(actions, actions, actions, ())


def resets(episodes: int) -> list[np.random.Generator]:
    return [np.random.default_rng(i) for i in range(episodes)]


def lengths(episodes: int) -> list[int]:
    return [int(generator.integers(2, 9)) for generator in resets(episodes)]


def info_of(step: int, length: int) -> dict[str, Any]:
    """What both worlds below say after a step."""
    return {
        "step": step,
        "reward_step": float(step),
        "step_cost": np.float32(0.5),
        "near": step == 1,
        "rwd_dict": {"bonus": step, "inner": {"x": -step}},
        "late": math.nan if length > 6 else 1,
    }


EXPECTED = {
    "step": ("last", lambda n: n),
    "reward_step": ("sum", lambda n: n * (n + 1) / 2),
    "step_cost": ("sum", lambda n: n / 2),
    "near": ("max", lambda n: 1.0),
    "rwd_dict/bonus": ("mean", lambda n: (n + 1) / 2),
    "rwd_dict/inner/x": ("last", lambda n: -n),
    "late": ("last", lambda n: None if n > 6 else 1.0),
}
NAMED = {"near": "max", "rwd_dict/bonus": "mean"}


class Batch(Task):
    """Episodes whose length is drawn at their reset."""

    observation_space = Box(-np.inf, np.inf, (1,), np.float64)
    action_space = Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self, num_simulations: int, *, max_episode_steps: int = 20) -> None:
        self.num_simulations = num_simulations
        self.max_episode_steps = max_episode_steps
        self._elapsed, self._length = np.zeros((2, num_simulations), np.int64)

    def reset(self, ids: Ids, generators: Sequence[np.random.Generator]) -> None:
        self._length[ids] = [generator.integers(2, 9) for generator in generators]
        self._elapsed[ids] = 0

    def observe(self) -> np.ndarray:
        return self._elapsed[:, None].astype(float)

    def step(self, action: np.ndarray, ids: Ids | None = None) -> StepResult:
        self._elapsed[slice(None) if ids is None else ids] += 1
        ended = self._elapsed >= self._length
        return StepResult(self.observe(), np.ones(len(ended)), ended, np.zeros_like(ended))

    def info(self) -> dict[str, Any]:
        each = [
            info_of(step, length) for step, length in zip(self._elapsed, self._length, strict=True)
        ]
        columns: dict[str, Any] = {
            key: np.array([info[key] for info in each]) for key in each[0] if key != "rwd_dict"
        }
        columns["rwd_dict"] = {
            "bonus": self._elapsed.astype(np.float32)[:, None],
            "inner": {"x": -self._elapsed},
        }
        ones = np.ones(self.num_simulations)
        return columns | {
            "_near": ones,
            "episode": {"r": ones},
            "images": np.ones((self.num_simulations, 2)),
            "names": ones.astype(str),
            "text": "x",
            "bad\nname": ones,
        }


class Environment(gymnasium.Env[np.ndarray, np.ndarray]):
    """The same world, one by one; its infos are one dictionary that changes."""

    observation_space = Box(-np.inf, np.inf, (1,), np.float64)
    action_space = Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self) -> None:
        self._info: dict[Any, Any] = {}

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self._elapsed, self._length = 0, int(np.random.default_rng(seed).integers(2, 9))
        return np.zeros(1), {}

    def step(self, action: np.ndarray) -> Any:
        self._elapsed += 1
        self._info |= info_of(self._elapsed, self._length)
        self._info |= {"_near": 1, "episode": {"r": 1}, "images": np.ones(2), "text": "x"}
        self._info |= {"one": np.ones((1, 1)), "large": 10**400, "list": [1.0], "none": None}
        if self._elapsed == 2:
            self._info |= {"second_reward": 5, 7: 7}
        ended = self._elapsed >= self._length
        info = dict(self._info) if ended else self._info
        self._info = {}
        return np.full(1, self._elapsed, float), 1.0, ended, False, info


def table_of(
    task: Task, episodes: int, named: dict[str, Any] | None = None, size: int = 1
) -> tuple[Table, list[int], list[str]]:
    infos = EpisodeInfos(task, named)
    results = evaluate(Constant(size), task, resets(episodes), infos=infos)
    table = infos.table(results.infos)
    found: Table = {name: (each.aggregate, list(each.values)) for name, each in table.items()}
    return found, results.lengths.tolist(), infos.notes


@given(st.integers(1, 12), st.integers(1, 6))
def test_each_episode_has_its_own_values(episodes: int, simulations: int) -> None:
    table, taken, notes = table_of(Batch(simulations), episodes, NAMED)
    assert taken == lengths(episodes)
    assert list(table) == sorted(EXPECTED)
    for name, (aggregate, value) in EXPECTED.items():
        assert table[name] == (aggregate, [value(n) for n in taken]), name
    assert not notes


@given(st.integers(1, 12), st.integers(1, 6))
def test_adapted_environments_have_the_same(episodes: int, simulations: int) -> None:
    spec = EnvSpec("Lengths-v0", entry_point=Environment, max_episode_steps=20)
    table, taken, _ = table_of(GymnasiumTask(simulations, spec=spec), episodes, NAMED)
    for name, (aggregate, value) in EXPECTED.items():
        assert table.pop(name) == (aggregate, [value(n) for n in taken]), name
    # Only at their second step; of a number in an array; too large.
    second = [7.0 if n == 2 else None for n in taken]
    if any(second):
        assert table.pop("7") == ("last", second)
    assert table == {
        "second_reward": ("sum", [5.0] * episodes),
        "one": ("last", [1.0] * episodes),
        "large": ("last", [None] * episodes),
    }


def test_an_environment_may_declare_how() -> None:
    class Declaring(Environment):
        info_aggregates = {"step": "sum"}  # noqa: RUF012

    spec = EnvSpec("Lengths-v0", entry_point=Declaring, max_episode_steps=20)
    table, taken, _ = table_of(GymnasiumTask(2, spec=spec), 3)
    assert table["step"] == ("sum", [n * (n + 1) / 2 for n in taken])
    assert table_of(GymnasiumTask(2, spec=spec), 3, {"step": "max"})[0]["step"][0] == "max"


@pytest.mark.parametrize("simulations", [3, 7])
def test_a_native_task_has_the_values_of_its_info(simulations: int) -> None:
    class Same(Hopper):
        """A user's class, of which it is not known that ``info`` always has the same names."""

        def info(self) -> dict[str, Any]:
            return super().info()

    native, taken, _ = table_of(Hopper(simulations, max_episode_steps=100), 7, size=3)
    same, _, _ = table_of(Same(simulations, max_episode_steps=100), 7, size=3)
    assert len(set(taken)) > 1
    assert native.keys() == same.keys()
    for name, (aggregate, values) in same.items():
        assert native[name] == (aggregate, pytest.approx(values, rel=1e-12)), name
    assert {name for name, (how, _) in native.items() if how == "sum"} == {
        *("reward_forward", "reward_ctrl", "reward_survive"),
    }
    # Of other aggregates, every step's values are needed.
    most, _, _ = table_of(Hopper(simulations, max_episode_steps=100), 7, {"x_position": "max"}, 3)
    assert most["x_position"][0] == "max"
    pairs = zip(most.pop("x_position")[1], native.pop("x_position")[1], strict=True)
    assert all(a >= b for a, b in pairs if a is not None and b is not None)
    assert most == {k: (a, pytest.approx(v, rel=1e-12)) for k, (a, v) in native.items()}


@pytest.mark.parametrize("task_id", ["Hopper-v5", "InvertedDoublePendulum-v5", "Swimmer-v5"])
def test_terms_of_the_reward_sum_to_the_return(task_id: str) -> None:
    task = tasks.make(World(id=task_id, max_episode_steps=70), 2)
    infos = EpisodeInfos(task)
    size = task.action_space.shape[0]
    results = evaluate(Constant(size), task, resets(5), infos=infos)
    table = infos.table(results.infos)
    terms = [each.values for each in table.values() if each.aggregate == "sum"]
    assert np.sum(terms, axis=0) == pytest.approx(results.returns)


def test_repeated_actions_count_every_control_step() -> None:
    plain, _, _ = table_of(Batch(3), 8, NAMED)
    repeated, _, _ = table_of(ActionRepeat(Batch(3), 3), 8, NAMED)
    assert repeated == plain
    hopper, _, _ = table_of(Hopper(3, max_episode_steps=50), 4, size=3)
    repeated, _, _ = table_of(ActionRepeat(Hopper(3, max_episode_steps=50), 4), 4, size=3)
    assert repeated == {k: (a, pytest.approx(v, rel=1e-12)) for k, (a, v) in hopper.items()}


class Many(Batch):
    def info(self) -> dict[str, Any]:
        return {f"k{i:02d}": self._elapsed for i in range(40)}


def test_the_first_32_names_are_recorded_and_those_that_are_named() -> None:
    table, _, notes = table_of(Many(2), 3)
    assert list(table) == [f"k{i:02d}" for i in range(32)]
    assert len(notes) == 1
    assert "40 values, of which 32 are recorded; left out: k32, k33, " in notes[0]
    assert list(table_of(Many(2), 3, {"k39": "max"})[0])[-2:] == ["k30", "k39"]


def test_the_largest_evaluation_has_fewer_names() -> None:
    infos = EpisodeInfos(Many(2))
    table = infos.table([{f"k{i:02d}": 1.0 for i in range(40)}] * 100_000)
    assert list(table) == ["k00", "k01", "k02", "k03"]


def test_an_info_that_raises_costs_no_evaluation() -> None:
    class Broken(Batch):
        def info(self) -> dict[str, Any]:
            raise KeyError("x")

    table, taken, notes = table_of(Broken(2), 3)
    assert (table, taken) == ({}, lengths(3))
    assert notes == ["the task's info() raised KeyError: 'x'; no info is recorded"]


@pytest.mark.parametrize(
    ("declared", "reason"),
    [(["x"], r"must be a dictionary: \['x'\]"), ({"x": "first"}, r"\['x'\] must be one of last")],
)
def test_what_a_task_declares_is_checked(declared: Any, reason: str) -> None:
    task = Batch(1)
    task.info_aggregates = declared
    with pytest.raises(UsageError, match=reason):
        declared_aggregates(task)


@pytest.mark.parametrize(
    ("name", "aggregate"),
    [
        *(("reward_x", "sum"), ("rew_x", "sum"), ("a_reward", "sum"), ("a_cost", "sum")),
        *(("terms/reward_x", "sum"), ("rwd_dict/solved", "sum"), ("a/rwd_dict/x", "sum")),
        *(("reward", "last"), ("is_success", "last"), ("reward_x/y", "last")),
        *(("costs", "last"), ("rwd_dict", "last"), ("rwd_dict/a/b", "last"), ("preward_x", "last")),
    ],
)
def test_what_is_summed_without_a_declaration(name: str, aggregate: str) -> None:
    assert EpisodeInfos(Batch(1)).aggregate(name) == aggregate
