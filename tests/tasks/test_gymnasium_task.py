"""Environments of Gymnasium's, and of packages that register with it, as tasks."""

from __future__ import annotations

from copy import deepcopy
from importlib.util import find_spec
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from poolrl import tasks
from poolrl.config.schema import World
from poolrl.errors import UsageError
from poolrl.tasks import gymnasium_ids
from poolrl.tasks.check import check, check_task, sample_action
from poolrl.tasks.gymnasium_task import GymnasiumTask

needs_dm = pytest.mark.skipif(find_spec("dm_control") is None, reason="needs poolrl[dm]")
needs_box2d = pytest.mark.skipif(find_spec("Box2D") is None, reason="needs poolrl[box2d]")
needs_myo = pytest.mark.skipif(find_spec("myosuite") is None, reason="needs poolrl[myo]")


def generators(count: int) -> list[np.random.Generator]:
    return [np.random.default_rng(i) for i in range(count)]


@pytest.mark.parametrize(
    "task_id",
    [
        "CartPole-v1",
        "Pendulum-v1",
        "FrozenLake-v1",
        "Reacher-v4",
        pytest.param("LunarLanderContinuous-v3", marks=needs_box2d),
        pytest.param("BipedalWalker-v3", marks=needs_box2d),
        pytest.param("dm_control/quadruped-walk-v0", marks=needs_dm),
        pytest.param("dm_control/lqr-lqr_2_1-v0", marks=needs_dm),
        pytest.param("myoLegWalk-v0", marks=needs_myo),
        pytest.param("motorFingerReachFixed-v0", marks=needs_myo),
    ],
)
def test_environments_pass_the_check(task_id: str) -> None:
    check_task(World(id=task_id, max_episode_steps=100))


def test_an_episode_is_that_of_the_environment() -> None:
    task = tasks.make("CartPole-v1", 3, max_episode_steps=6)
    task.reset(np.arange(3), generators(3))
    environment = gymnasium.make("CartPole-v1", max_episode_steps=6)
    seed = int(np.random.default_rng(1).integers(2**31))
    expected, _ = environment.reset(seed=seed)
    assert task.observe()[1].tolist() == expected.astype(float).tolist()
    for k in range(6):
        result = task.step(np.array([0, k % 2, 1]))
        expected, reward, terminated, truncated, _ = environment.step(k % 2)
        assert result.observation[1].tolist() == expected.astype(float).tolist()
        assert result.reward[1] == reward
        assert (result.terminated[1], result.truncated[1]) == (terminated, truncated)
    assert truncated


def test_time_limits() -> None:
    assert tasks.make("CartPole-v1", 1).max_episode_steps == 500
    assert tasks.make("CartPole-v1", 1, max_episode_steps=900).max_episode_steps == 900
    with pytest.raises(UsageError, match=r"task\.max_episode_steps: Blackjack-v1 has no time"):
        tasks.make("Blackjack-v1", 1)
    assert tasks.make("Blackjack-v1", 1, max_episode_steps=9).max_episode_steps == 9


@needs_dm
def test_dm_control_knows_its_time_limit_and_obeys_ours() -> None:
    assert tasks.make("dm_control/cheetah-run-v0", 1).max_episode_steps == 1000
    task = tasks.make("dm_control/cartpole-balance-v0", 1, max_episode_steps=1010)
    task.reset(np.arange(1), generators(1))
    results = [task.step(np.zeros((1, 1), np.float32)) for _ in range(1010)]
    assert [bool(r.truncated[0]) for r in results[-11:]] == [False] * 10 + [True]
    assert not any(r.terminated[0] for r in results)


class Odd(gymnasium.Env[Any, Any]):
    """An environment of given spaces, which keeps the actions that it is given."""

    def __init__(self, observation: spaces.Space[Any], action: spaces.Space[Any]) -> None:
        self.observation_space, self.action_space = deepcopy(observation), action
        self.got: list[Any] = []

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        self.observation_space.seed(seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert action in self.action_space
        self.got.append(action)
        return self.observation_space.sample(), 1.0, False, False, {}


UNIT = spaces.Box(0, 1, (2,), np.float32)
LARGEST = float(np.finfo(np.float32).max)


def odd(
    observation: spaces.Space[Any] = UNIT,
    action: spaces.Space[Any] = UNIT,
    n: int = 3,
    limit: int = 8,
) -> GymnasiumTask:
    spec = gymnasium.envs.registration.EnvSpec("Odd-v0", entry_point=Odd)
    kwargs = {"observation": observation, "action": action}
    return GymnasiumTask(n, spec=spec, max_episode_steps=limit, kwargs=kwargs)


@pytest.mark.parametrize(
    ("space", "size"),
    [
        (spaces.Box(0, 255, (5,), np.uint8), 5),
        (spaces.Box(-1, 1, (2, 3), np.float32), 6),
        (spaces.Box(-1, 1, (), np.float64), 1),
        (spaces.Discrete(4, start=2), 4),
        (spaces.MultiBinary(3), 3),
        (spaces.Dict({"b": spaces.Discrete(3), "a": UNIT}), 5),
        (spaces.Tuple((UNIT, spaces.Dict({"x": spaces.MultiDiscrete([2, 3])}))), 7),
    ],
)
def test_observations_are_flattened(space: spaces.Space[Any], size: int) -> None:
    check(lambda n, limit: odd(observation=space, n=n, limit=limit), "Odd")
    task = odd(observation=space)
    assert task.observation_space.shape == (size,)
    task.reset(np.arange(3), generators(3))
    assert all(row in task.observation_space for row in task.observe())


@pytest.mark.parametrize(
    ("space", "ours"),
    [
        (spaces.Box(-2, 1, (2, 3), np.float64), "Box(-2.0, 1.0, (6,), float32)"),
        (spaces.Box(-0.1, 0.1, (2,), np.float64), None),
        (spaces.Box(-np.inf, np.inf, (2,), np.float32), None),
        (spaces.Box(-LARGEST, LARGEST, (2,), np.float32), "Box(-inf, inf, (2,), float32)"),
        (spaces.Box(-3e38, LARGEST, (2,), np.float64), "Box(-inf, inf, (2,), float32)"),
        (spaces.Box(-1e300, 0, (2, 1), np.float64), "Box(-inf, 0.0, (2,), float32)"),
        (spaces.Box(-65504, 65504, (1,), np.float16), "Box(-inf, inf, (1,), float32)"),
        (spaces.Discrete(3, start=-1), "Discrete(3, start=-1)"),
        (spaces.MultiDiscrete([2, 3], start=[5, -5]), "MultiDiscrete([2 3])"),
        (spaces.MultiDiscrete([[2, 3], [4, 5]]), "MultiDiscrete([2 3 4 5])"),
        (spaces.MultiBinary([2, 2]), "MultiDiscrete([2 2 2 2])"),
    ],
)
@pytest.mark.filterwarnings("error:.*overflow.*")
def test_actions_become_the_environments(space: spaces.Space[Any], ours: str | None) -> None:
    check(lambda n, limit: odd(action=space, n=n, limit=limit), "Odd")
    task = odd(action=space)
    assert ours is None or str(task.action_space) == ours
    task.reset(np.arange(3), generators(3))
    for _ in range(20):
        task.step(sample_action(task, np.random.default_rng()))
    if isinstance(task.action_space, spaces.Box):  # the bounds themselves, rounded to float32
        bounds = np.clip(np.array([task.action_space.low, task.action_space.high]), -9, 9)
        for row in bounds:
            task.step(np.tile(row, (3, 1)))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"observation": spaces.Box(0, 255, (8, 8, 3), np.uint8)}, "observes images (8, 8, 3)"),
        (
            {"observation": spaces.Dict({"eye": spaces.Box(0, 255, (8, 8, 1), np.uint8)})},
            "observes images (8, 8, 1)",
        ),
        ({"observation": spaces.Text(5)}, "observes Text"),
        ({"observation": spaces.Sequence(UNIT)}, "observes Sequence, which is neither"),
        ({"action": spaces.Dict({"a": UNIT})}, "acts in Dict("),
        ({"action": spaces.Text(5)}, "acts in Text("),
        ({"action": spaces.Box(0, 3, (2,), np.int64)}, "known are boxes of real numbers"),
    ],
)
def test_spaces_that_are_of_no_use_are_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=r"task\.id: Odd-v0: ") as error:
        odd(**given)
    assert words in str(error.value)


def test_what_is_not_finite_has_diverged() -> None:
    task = odd()
    task.reset(np.arange(3), generators(3))
    broken = task._environments[1].unwrapped
    broken.step = lambda action: (np.array([np.nan, 0.0]), 0.0, False, False, {})  # type: ignore[method-assign]
    task.step(np.zeros((3, 2), np.float32))
    assert task.diverged().tolist() == [False, True, False]
    task.reset(np.array([1]), generators(1))
    assert not task.diverged().any()


@pytest.mark.parametrize(
    ("task_id", "kwargs", "words"),
    [
        ("CartPol-v1", {}, "unknown task 'CartPol-v1'; did you mean CartPole-v1?"),
        ("no/such/id", {}, "unknown task 'no/such/id'; known ids: "),
        ("Ant-v3", {}, "task: Ant-v3 with these arguments: "),
        ("CartPole-v1", {"x": 1}, "task.kwargs.x: unknown argument of CartPole-v1; known: sutton_"),
        ("Ant-v4", {"x": 1}, "task: Ant-v4 with these arguments: TypeError: "),
        ("GymV21Environment-v0", {"env_id": "X-v0"}, "makes what its arguments name"),
        ("dm_control/compatibility-env-v0", {}, "makes what its arguments name"),
    ],
)
def test_what_is_wrong_is_one_line(task_id: str, kwargs: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as error:
        tasks.make(task_id, 1, kwargs=kwargs)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("task_id", "extra"),
    [("LunarLander-v3", "box2d"), ("dm_control/cheetah-run-v0", "dm"), ("myoLegWalk-v0", "myo")],
)
def test_a_missing_package_is_named(
    task_id: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gymnasium_ids, "find_spec", lambda name: None)
    with pytest.raises(UsageError) as error:
        tasks.make(task_id, 1)
    assert str(error.value).startswith(f"task.id: {task_id} needs a package that is not installed")
    assert f"pip install 'poolrl[{extra}]'" in str(error.value)


def test_what_may_be_a_file_needs_to_be_named() -> None:
    """Some packages load Python objects from the files that their arguments name."""
    for value in ("maps/mine.npz", "a.b", "~x", ["x/y"], {"deep": "module:thing"}):
        world = World(id="FrozenLake-v1", kwargs={"map_name": value})
        with pytest.raises(UsageError, match="is given a file to load, and so must be named"):
            tasks.make(world, 1)
    tasks.make("FrozenLake-v1", 1, kwargs={"map_name": "8x8"})
