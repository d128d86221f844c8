"""Check of what the methods of an adapted environment return: shapes, types and structure.

Nothing is spread over an array, cut or converted with a loss. Bounds of observations are not
checked, nor whether numbers are finite, which is for the caller.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from poolrl.errors import UsageError

Flat = NDArray[Any]


class StepValues(NamedTuple):
    """What ``step`` returned, checked.

    Attributes:
        observation: (flat size,).
        reward: a number.
        terminated, truncated: flags.
        info: as returned.
    """

    observation: Flat
    reward: float
    terminated: bool
    truncated: bool
    info: Mapping[Any, Any]


class ExactValues:
    """Checks and flattens what an environment's ``reset`` and ``step`` return.

    Args:
        environment: name of its class, for errors.
        space: of its observations.
    """

    def __init__(self, environment: str, space: spaces.Space[Any]) -> None:
        self._environment = environment
        self._space = space
        # Values as they should be pass by a few comparisons.
        is_box = isinstance(space, spaces.Box)
        self._shape, self._dtype = (space.shape, space.dtype) if is_box else (None, None)
        self._start, self._count = 0, 0
        if isinstance(space, spaces.Discrete):
            self._start, self._count = int(space.start), int(space.n)

    def of_reset(self, returned: Any) -> Flat:
        """Check what ``reset`` returned, and flatten the observation.

        Raises:
            UsageError: it is not (observation, info); names the class, the method, what was
                expected and what was returned.
        """
        if type(returned) is not tuple or len(returned) != 2 or not _is_info(returned[1]):
            self._refuse(
                "reset()", "must return (observation, info), with a dictionary info", returned
            )
        return self._flat(returned[0], "reset()")

    def of_step(self, returned: Any) -> StepValues:
        """Check what ``step`` returned, and flatten the observation.

        Raises:
            UsageError: as for ``of_reset``.
        """
        if type(returned) is not tuple or len(returned) != 5:
            self.refuse_step(_described(returned))
        observation, reward, terminated, truncated, info = returned
        if type(reward) is not float:
            reward = self._number(reward)
        if type(terminated) is not bool:
            terminated = self._flag(terminated, "terminated")
        if type(truncated) is not bool:
            truncated = self._flag(truncated, "truncated")
        if type(info) is not dict and not _is_info(info):
            self._refuse("step().info", "must be a dictionary", info)
        return StepValues(self._flat(observation, "step()"), reward, terminated, truncated, info)

    def refuse_step(self, got: str) -> NoReturn:
        """Refuse a result of ``step`` that has not five values.

        Args:
            got: what it was instead.

        Raises:
            UsageError: always.
        """
        raise UsageError(
            f"task: {self._environment}: step() must return (observation, reward, terminated, "
            f"truncated, info): {got}"
        )

    def _flat(self, value: Any, method: str) -> Flat:
        if type(value) is np.ndarray and value.shape == self._shape and value.dtype == self._dtype:
            return value.ravel()
        if isinstance(self._space, spaces.Discrete) and type(value) in (int, np.int64):
            index = int(value) - self._start
            if 0 <= index < self._count:
                one_hot = np.zeros(self._count)
                one_hot[index] = 1
                return one_hot
        self._check(self._space, value, f"{method}.observation")
        flat: Any = spaces.flatten(self._space, value)
        return np.asarray(flat)

    def _check(self, space: spaces.Space[Any], value: Any, where: str) -> None:
        if isinstance(space, spaces.Dict):
            if not isinstance(value, Mapping) or set(value) != set(space.spaces):
                names = ", ".join(map(repr, space.spaces))
                self._refuse(where, f"must be a dictionary of {names}", value)
            for name, inner in space.spaces.items():
                self._check(inner, value[name], f"{where}[{name!r}]")
        elif isinstance(space, spaces.Tuple):
            count = len(space.spaces)
            has_parts = isinstance(value, np.ndarray) and value.ndim > 0
            if not (has_parts or isinstance(value, (tuple, list))) or len(value) != count:
                self._refuse(where, f"must be a tuple of {count}", value)
            for i, inner in enumerate(space.spaces):
                self._check(inner, value[i], f"{where}[{i}]")
        elif isinstance(space, spaces.Discrete):
            if not _is_choice(value, space):
                first, last = int(space.start), int(space.start) + int(space.n) - 1
                self._refuse(where, f"must be an integer from {first} to {last}", value)
        else:
            self._check_array(space, value, where)

    def _check_array(self, space: spaces.Space[Any], value: Any, where: str) -> None:
        """Check an element of a Box, MultiDiscrete or MultiBinary."""
        as_expected = type(value) is np.ndarray and value.shape == space.shape
        if as_expected and value.dtype == space.dtype and isinstance(space, spaces.Box):
            return
        expected = f"must be {_array_of(space)}"
        try:
            array = np.asarray(value)
        except ValueError:  # lists of several lengths
            self._refuse(where, expected, value)
        kinds = "biu" if isinstance(space, spaces.MultiDiscrete) else "biuf"
        if array.shape != space.shape or array.dtype.kind not in kinds:
            self._refuse(where, expected, value)
        assert space.dtype is not None
        if space.dtype.kind in "biu":
            with np.errstate(invalid="ignore"):
                exact = np.array_equal(array.astype(space.dtype), array)
            if not exact:
                self._refuse(where, f"{expected}, which cannot hold its values", value)
        if isinstance(space, spaces.Box):
            return
        if isinstance(space, spaces.MultiDiscrete):
            index = array.astype(np.int64) - space.start.astype(np.int64)
            inside = ((index >= 0) & (index < space.nvec)).all()
        else:
            inside = ((array == 0) | (array == 1)).all()
        if not inside:
            self._refuse(where, f"must be of {_one_line(space)}", value)

    def _number(self, value: Any) -> float:
        if not _is_scalar(value, "biuf"):
            self._refuse("step().reward", "must be a number", value)
        try:
            return float(value)
        except OverflowError:
            self._refuse("step().reward", "must fit into a float64", value)

    def _flag(self, value: Any, name: str) -> bool:
        if _is_scalar(value, "biuf") and value in (0, 1):
            return bool(value)
        self._refuse(f"step().{name}", "must be True or False", value)

    def _refuse(self, where: str, expected: str, value: Any) -> NoReturn:
        raise UsageError(f"task: {self._environment}: {where} {expected}: {_described(value)}")


class LenientValues(ExactValues):
    """Takes what was taken before there was a check, for pools of earlier versions: NumPy spreads
    observations over the row, and converts rewards and flags, where they are stored."""

    def of_reset(self, returned: Any) -> Flat:
        return self._flat(returned[0], "reset()")

    def of_step(self, returned: Any) -> StepValues:
        observation, reward, terminated, truncated, info = returned
        info = info if _is_info(info) else {}
        return StepValues(self._flat(observation, "step()"), reward, terminated, truncated, info)

    def _flat(self, value: Any, method: str) -> Flat:
        flat: Any = spaces.flatten(self._space, value)
        return np.asarray(flat)


def _is_info(value: Any) -> bool:
    return isinstance(value, Mapping)


def _is_scalar(value: Any, kinds: str) -> bool:
    """Whether a value is a number without dimensions, of one of NumPy's kinds of types."""
    if isinstance(value, (int, float)):
        return True
    dtype = getattr(value, "dtype", None)
    if not isinstance(dtype, np.dtype):  # of another library, such as torch
        if isinstance(value, (str, bytes)) or not hasattr(value, "__array__"):
            return False
        value = np.asarray(value)
        dtype = value.dtype
    return np.shape(value) == () and dtype.kind in kinds


def _is_choice(value: Any, space: spaces.Discrete[Any]) -> bool:
    if not _is_scalar(value, "biu") or isinstance(value, float):
        return False
    return bool(0 <= int(value) - int(space.start) < int(space.n))


def _array_of(space: spaces.Space[Any]) -> str:
    kind = "numbers" if space.dtype is not None and space.dtype.kind == "f" else str(space.dtype)
    return f"an array {space.shape} of {kind}"


def _described(value: Any) -> str:
    """A value in a line: the shape and type of an array, the keys or the types of the parts."""
    if isinstance(value, np.ndarray) and value.ndim:
        return f"{value.shape} of {value.dtype}{_few(value)}"
    if isinstance(value, Mapping):
        return f"{type(value).__name__} of {', '.join(map(repr, value)) or 'nothing'}"
    if isinstance(value, tuple):
        parts = ", ".join(type(part).__name__ for part in value)
        return f"tuple of {len(value)} ({parts})"
    return f"{type(value).__name__} {_one_line(value)}"


def _few(value: NDArray[Any]) -> str:
    return f", {_one_line(value.tolist())}" if value.size <= 8 else ""


def _one_line(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 100 else f"{text[:99]}…"
