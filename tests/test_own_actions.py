"""Actions in an environment's own space, and what a header keeps of it."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
import numpy as np
import pytest
from gymnasium import spaces

from poolrl.own_actions import ActionConverter, OwnActions
from poolrl.tasks.gymnasium_task import action_space

LARGEST = float(np.finfo(np.float64).max)

OWN: list[spaces.Space[Any]] = [
    spaces.Discrete(3),
    spaces.Discrete(3, start=-7),
    spaces.Discrete(3, start=5, dtype=np.uint8),
    spaces.MultiDiscrete([3, 4], start=[5, -1]),
    spaces.MultiDiscrete([[3, 4], [2, 2]], start=[[1, 0], [0, -9]]),
    spaces.MultiDiscrete([3, 4], dtype=np.int8),
    spaces.MultiBinary(4),
    spaces.MultiBinary([2, 3]),
    spaces.Box(-1, 1, (), np.float32),
    spaces.Box(-1, 1, (2, 3), np.float32),
    spaces.Box(-0.1, 0.1, (3,), np.float64),
    spaces.Box(-2, 2, (3,), np.float16),
    spaces.Box(-65504, 65504, (2,), np.float16),
    spaces.Box(-np.inf, np.inf, (2, 1), np.float32),
    spaces.Box(-LARGEST, LARGEST, (2,), np.float64),
    spaces.Box(-LARGEST, 0.3, (1, 2), np.float64),
    spaces.Box(np.array([-np.inf, 0.1]), np.array([0.7, np.inf]), dtype=np.float64),
]
PLAIN: list[spaces.Space[Any]] = [
    spaces.Box(-1, 1, (3,), np.float32),
    spaces.Box(-np.inf, 1, (3,), np.float32),
    spaces.MultiDiscrete([3, 4]),
]


def corners(space: spaces.Space[Any]) -> np.ndarray:
    """Actions of a policy for a space: its first and its last values, clipped to ±1e30."""
    ours = action_space(space, "")
    if isinstance(ours, spaces.Discrete):
        return np.array([ours.start, ours.start + ours.n - 1])
    if isinstance(ours, spaces.MultiDiscrete):
        return np.stack([np.zeros_like(ours.nvec), ours.nvec - 1])
    return np.clip(np.stack([ours.low, ours.high]), np.float32(-1e30), np.float32(1e30))


def not_json(text: str) -> None:
    raise ValueError(text)


@pytest.mark.parametrize("space", OWN + PLAIN, ids=str)
def test_actions_are_of_the_space_after_a_header(space: spaces.Space[Any]) -> None:
    own = OwnActions.of(space)
    text = json.dumps(msgspec.to_builtins(own), allow_nan=False)
    restored = msgspec.convert(json.loads(text, parse_constant=not_json), OwnActions)
    assert restored == own
    given = corners(space)
    before = given.copy()
    actions = ActionConverter(restored)(given)
    assert not np.shares_memory(actions, given)
    assert np.array_equal(given, before)
    assert actions.shape == (2, *(space.shape or ()))
    assert actions.dtype == space.dtype
    for i in range(2):
        action = actions[i] if isinstance(space, spaces.Discrete) else actions[i, ...]
        assert action in space


@pytest.mark.parametrize("space", OWN, ids=str)
def test_what_is_another_space_is_kept(space: spaces.Space[Any]) -> None:
    assert OwnActions.unless_plain(space) == OwnActions.of(space)


@pytest.mark.parametrize("space", PLAIN, ids=str)
def test_what_policies_act_in_is_left_out(space: spaces.Space[Any]) -> None:
    assert OwnActions.unless_plain(space) is None


def test_several_choices_are_in_order() -> None:
    space = spaces.MultiDiscrete([[3, 4], [2, 2]], start=[[1, 0], [0, -9]])
    actions = ActionConverter(OwnActions.of(space))(np.array([[2, 3, 0, 1]]))
    assert actions.tolist() == [[[3, 3], [0, -8]]]


BOX = {"shape": [2], "dtype": "float64", "low": [-1.0, None], "high": [1.0, 2.0]}


@pytest.mark.parametrize(
    "change",
    [
        {"low": [-1.0]},
        {"low": [3.0, None]},
        {"start": [0, 0]},
        {"dtype": "int64"},
        {"dtype": "complex64"},
        {"dtype": "bool"},
        {"shape": [0]},
        {"shape": [2] * 40},
        {"start": [2**70, 0]},
        {"more": 1},
        {"low": ["x", None]},
        {"low": [math.nan, None]},
    ],
)
def test_damaged_headers_are_refused(change: dict[str, Any]) -> None:
    msgspec.convert(BOX, OwnActions)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(BOX | change, OwnActions)
