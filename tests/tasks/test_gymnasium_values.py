"""What adapted environments return: nothing is spread, cut or guessed."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from gymnasium.wrappers import RecordEpisodeStatistics

from poolrl.errors import UsageError
from poolrl.tasks.gymnasium_task import GymnasiumTask

F32 = np.float32
BOX = spaces.Box(-1, 1, (2, 3), F32)
OCTETS = spaces.Box(0, 255, (2,), np.uint8)
CHOICE = spaces.Discrete(3, start=2)
CHOICES = spaces.MultiDiscrete([2, 3], start=[1, -1])
BITS = spaces.MultiBinary(3)
PARTS = spaces.Tuple((spaces.Box(-1, 1, (1,), F32), spaces.Discrete(2)))
NAMED = spaces.Dict({"eye": spaces.Box(-1, 1, (2,), F32), "leg": PARTS})

NAMED_VALUE = {"eye": np.zeros(2, F32), "leg": (np.zeros(1, F32), 1)}


class Returning(gymnasium.Env[Any, Any]):
    """An environment whose methods return what it is given."""

    action_space = spaces.Discrete(2)

    def __init__(self, space: spaces.Space[Any], reset: Any, step: Any) -> None:
        self.observation_space, self._reset, self._step = space, reset, step

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return self._reset

    def step(self, action: Any) -> Any:
        return self._step


def play(space: spaces.Space[Any], reset: Any, step: Any) -> tuple[np.ndarray, GymnasiumTask, Any]:
    kwargs = {"space": space, "reset": reset, "step": step}
    spec = EnvSpec("Returning-v0", entry_point=Returning)
    task = GymnasiumTask(1, spec=spec, max_episode_steps=5, kwargs=kwargs)
    task.reset(np.arange(1), [np.random.default_rng(0)])
    first = task.observe()[0]
    return first, task, task.step(np.zeros(1, np.int64))


def refusal(space: spaces.Space[Any], reset: Any, step: Any) -> str:
    with pytest.raises(UsageError) as error:
        play(space, reset, step)
    text = str(error.value)
    assert text.startswith("task: Returning: ")
    assert "\n" not in text
    return text


GOOD = [
    (BOX, np.arange(6, dtype=F32).reshape(2, 3), [0, 1, 2, 3, 4, 5]),
    (BOX, np.arange(6.0).reshape(2, 3), [0, 1, 2, 3, 4, 5]),  # float64
    (BOX, np.arange(6).reshape(2, 3), [0, 1, 2, 3, 4, 5]),  # integers, out of bounds
    (BOX, np.ones((2, 3), np.float16), [1] * 6),
    (BOX, np.ones((3, 2), F32).T, [1] * 6),  # not contiguous
    (BOX, [[1, 2, 3], [4, 5, 6]], [1, 2, 3, 4, 5, 6]),
    (spaces.Box(-1, 1, (1,), F32), np.array([0.5]), [0.5]),
    (spaces.Box(-1, 1, (), F32), 0.5, [0.5]),
    (spaces.Box(-1, 1, (), F32), np.float64(0.5), [0.5]),
    (OCTETS, np.array([0, 255], np.uint8), [0, 255]),
    (OCTETS, np.array([0.0, 255.0]), [0, 255]),
    (CHOICE, 2, [1, 0, 0]),
    (CHOICE, np.int64(4), [0, 0, 1]),
    (CHOICE, np.array(3, np.int32), [0, 1, 0]),
    (CHOICES, np.array([2, -1]), [0, 1, 1, 0, 0]),
    (BITS, np.array([1, 0, 1], np.int8), [1, 0, 1]),
    (BITS, [True, False, True], [1, 0, 1]),
    (PARTS, (np.ones(1, F32), 1), [1, 0, 1]),
    (PARTS, [np.ones(1, F32), np.int8(0)], [1, 1, 0]),
    (NAMED, NAMED_VALUE, [0, 0, 0, 0, 1]),
]


@pytest.mark.parametrize(("space", "value", "flat"), GOOD)
def test_observations_of_the_space_are_flattened(
    space: spaces.Space[Any], value: Any, flat: list[float]
) -> None:
    first, _, result = play(space, (value, {}), (value, 1.0, False, False, {}))
    assert first.tolist() == flat
    assert result.observation[0].tolist() == flat


BAD = [
    (BOX, np.ones(1, F32), "must be an array (2, 3) of numbers: (1,) of float32, [1.0]"),
    (BOX, 0.5, "must be an array (2, 3) of numbers: float 0.5"),
    (BOX, np.ones((1, 3), F32), "(1, 3) of float32"),
    (BOX, np.ones(6, F32), "(6,) of float32"),
    (BOX, np.ones((3, 2), F32), "(3, 2) of float32"),
    (BOX, None, "NoneType None"),
    (BOX, [[1, 2, 3], [4, 5]], "list [[1, 2, 3], [4, 5]]"),
    (BOX, np.full((2, 3), None), "of object"),
    (BOX, np.ones((2, 3), np.complex64), "of complex64"),
    (spaces.Box(-1, 1, (1,), F32), 0.5, "must be an array (1,) of numbers: float 0.5"),
    (spaces.Box(-1, 1, (), F32), np.ones(1, F32), "must be an array () of numbers: (1,)"),
    (OCTETS, np.array([-1, 0]), "must be an array (2,) of uint8, which cannot hold its values"),
    (OCTETS, np.array([0.5, 1]), "cannot hold its values: (2,) of float64, [0.5, 1.0]"),
    (OCTETS, np.array([np.nan, 1]), "cannot hold its values"),
    (CHOICE, 1, "must be an integer from 2 to 4: int 1"),
    (CHOICE, 5, "must be an integer from 2 to 4: int 5"),
    (CHOICE, 3.0, "must be an integer from 2 to 4: float 3.0"),
    (CHOICE, np.array([3]), "must be an integer from 2 to 4: (1,) of int64, [3]"),
    (CHOICE, None, "NoneType None"),
    (CHOICES, np.array([0, 0]), "must be of MultiDiscrete([2 3], start=[ 1 -1]): (2,) of int64"),
    (CHOICES, np.array([1, 2]), "must be of MultiDiscrete("),
    (CHOICES, np.array([1.0, 1.0]), "must be an array (2,) of int64: (2,) of float64"),
    (BITS, np.array([1, 0, 2]), "must be of MultiBinary(3)"),
    (BITS, np.array([1, 0]), "must be an array (3,) of int8"),
    (PARTS, (np.ones(1, F32),), "must be a tuple of 2: tuple of 1 (ndarray)"),
    (PARTS, (np.ones(1, F32), 1, 1), "must be a tuple of 2"),
    (PARTS, (np.ones(1, F32), 2), "observation[1] must be an integer from 0 to 1: int 2"),
    (NAMED, {"eye": np.zeros(2, F32)}, "must be a dictionary of 'eye', 'leg': dict of 'eye'"),
    (
        NAMED,
        NAMED_VALUE | {"tail": 1},
        "must be a dictionary of 'eye', 'leg': dict of 'eye', 'leg'",
    ),
    (NAMED, NAMED_VALUE | {"eye": np.zeros(1, F32)}, "observation['eye'] must be an array (2,)"),
    (NAMED, np.zeros(5), "must be a dictionary of 'eye', 'leg': (5,) of float64"),
]


@pytest.mark.parametrize(("space", "value", "words"), BAD)
def test_other_observations_are_refused(space: spaces.Space[Any], value: Any, words: str) -> None:
    good = next(given for other, given, _ in GOOD if other == space)
    text = refusal(space, (value, {}), None)
    assert "reset().observation" in text
    assert words in text
    text = refusal(space, (good, {}), (value, 1.0, False, False, {}))
    assert "step().observation" in text
    assert words in text


ONE = spaces.Box(-1, 1, (2,), F32)
ZEROS = np.zeros(2, F32)


@pytest.mark.parametrize(
    ("space", "returned", "words"),
    [
        (ONE, ZEROS, "(2,) of float32, [0.0, 0.0]"),
        (ONE, None, "NoneType None"),
        (ONE, [ZEROS, {}], "list ["),
        (ONE, (ZEROS,), "tuple of 1 (ndarray)"),
        (ONE, (ZEROS, None), "tuple of 2 (ndarray, NoneType)"),
        (ONE, (ZEROS, {}, {}), "tuple of 3 (ndarray, dict, dict)"),
        (PARTS, (np.ones(1, F32), 1), "tuple of 2 (ndarray, int)"),  # an observation alone
        (NAMED, NAMED_VALUE, "dict of 'eye', 'leg'"),
    ],
)
def test_a_reset_without_its_info_is_refused(
    space: spaces.Space[Any], returned: Any, words: str
) -> None:
    text = refusal(space, returned, None)
    assert "reset() must return (observation, info)" in text
    assert words in text


@pytest.mark.parametrize(
    "returned",
    [
        None,
        ZEROS,
        (ZEROS, 1.0, False, {}),
        (ZEROS, 1.0, False, False, {}, {}),
    ],
)
def test_a_step_of_other_than_five_values_is_refused(returned: Any) -> None:
    text = refusal(ONE, (ZEROS, {}), returned)
    assert "step() must return (observation, reward, terminated, truncated, info): " in text
    assert "unpack" in text


class Short(Returning):
    def step(self) -> Any:  # type: ignore[override]
        return None


@pytest.mark.parametrize(
    ("entry", "wrappers"), [(Short, ()), (Returning, (RecordEpisodeStatistics.wrapper_spec(),))]
)
def test_other_errors_of_a_step_are_its_own(entry: Any, wrappers: Any) -> None:
    kwargs = {"space": ONE, "reset": (ZEROS, {}), "step": (ZEROS, None, False, False, {})}
    spec = EnvSpec("Other-v0", entry_point=entry, additional_wrappers=wrappers)
    task = GymnasiumTask(1, spec=spec, max_episode_steps=5, kwargs=kwargs)
    task.reset(np.arange(1), [np.random.default_rng(0)])
    with pytest.raises(TypeError, match=r"positional argument|NoneType"):
        task.step(np.zeros(1, np.int64))


@pytest.mark.parametrize(
    ("reward", "expected"),
    [
        (1, 1),
        (True, 1),
        (F32(0.5), 0.5),
        (np.int8(-3), -3),
        (np.array(2.5), 2.5),
        (-np.inf, -np.inf),
    ],
)
def test_rewards_are_numbers(reward: Any, expected: float) -> None:
    _, _, result = play(ONE, (ZEROS, {}), (ZEROS, reward, False, False, {}))
    assert result.reward.tolist() == [expected]


@pytest.mark.parametrize("reward", [None, "1", np.ones(1), np.ones((1, 1)), [1.0], 1j, {}, 10**400])
def test_other_rewards_are_refused(reward: Any) -> None:
    text = refusal(ONE, (ZEROS, {}), (ZEROS, reward, False, False, {}))
    assert "step().reward must" in text


@pytest.mark.parametrize("flag", [True, np.True_, 1, np.array(True), 1.0])
def test_flags_are_true_or_false(flag: Any) -> None:
    _, _, result = play(ONE, (ZEROS, {}), (ZEROS, 0.0, flag, not flag, {}))
    assert (result.terminated[0], result.truncated[0]) == (True, False)


@pytest.mark.parametrize("flag", [None, "False", 2, 0.5, np.nan, np.array([False]), [], {}])
@pytest.mark.parametrize("name", ["terminated", "truncated"])
def test_other_flags_are_refused(flag: Any, name: str) -> None:
    flags = (flag, False) if name == "terminated" else (False, flag)
    text = refusal(ONE, (ZEROS, {}), (ZEROS, 0.0, *flags, {}))
    assert f"step().{name} must be True or False: " in text


@pytest.mark.parametrize("info", [None, [], "x"])
def test_an_info_is_a_dictionary(info: Any) -> None:
    text = refusal(ONE, (ZEROS, {}), (ZEROS, 0.0, False, False, info))
    assert "step().info must be a dictionary: " in text


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_what_is_not_finite_diverges(value: float) -> None:
    bad = np.array([value, 0.0])
    with np.errstate(over="ignore"):
        _, task, _ = play(ONE, (ZEROS, {}), (bad, 0.0, False, False, {}))
    assert task.diverged().all()


def test_pools_of_earlier_versions_take_what_they_took() -> None:
    returned = (0.5, np.array(2.0), None, "x", None)
    kwargs = {"space": ONE, "reset": (0.25, None), "step": returned}
    spec = EnvSpec("Returning-v0", entry_point=Returning)
    task = GymnasiumTask(1, spec=spec, max_episode_steps=5, kwargs=kwargs, exact_spaces=False)
    task.reset(np.arange(1), [np.random.default_rng(0)])
    assert task.observe().tolist() == [[0.25, 0.25]]
    observation, *rest = task.step(np.zeros(1, np.int64))
    assert observation.tolist() == [[0.5, 0.5]]
    assert [value.tolist() for value in rest] == [[2.0], [False], [True]]
