"""Gymnasium's spaces that policies support, and their form in an agent's header."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import numpy as np
from gymnasium.spaces import Box, Discrete, MultiDiscrete
from msgspec import Meta, Struct
from numpy.typing import NDArray

ActionSpace = Box | Discrete | MultiDiscrete
"""A box must have one dimension, and so must several choices."""

Size = Annotated[int, Meta(ge=1, le=100_000)]
MAX_CHOICES = 100_000

VAST = 1e38
"""Bounds of actions of this size or more count as none. The largest number of a type is a common
way to say "unbounded", and the range between two such bounds overflows float32."""

LARGEST_FLOAT32 = 3.4e38
"""Largest finite bound of a float32 box in an agent's header."""


class SpaceSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """Serialisable form of a space: a box of one dimension, or one or several discrete choices.

    Attributes:
        shape: of one element; ``()`` for a single choice.
        dtype: of an element; ``int64`` for choices.
        low, high: bounds of a box; ``None`` for an unbounded one.
        choices: number of values of each choice; ``None`` for a box.
        start: the smallest value of a choice.
    """

    shape: Annotated[tuple[Size, ...], Meta(max_length=1)]
    dtype: Literal["float32", "float64", "int64"]
    low: tuple[float, ...] | None = None
    high: tuple[float, ...] | None = None
    choices: tuple[Size, ...] | None = None
    start: Annotated[int, Meta(ge=-(2**53), le=2**53)] = 0

    def __post_init__(self) -> None:
        size = math.prod(self.shape)
        for values in (self.low, self.high, self.choices):
            if values is not None and len(values) != size:
                raise ValueError("a space's bounds have another size than the space")
        if (self.choices is None) == (self.dtype == "int64") or not (self.shape or self.choices):
            raise ValueError("a space is either a box of one dimension or choices")
        if self.choices is not None and sum(self.choices) > MAX_CHOICES:
            raise ValueError(f"more than {MAX_CHOICES:,} choices")
        if (self.low is None) != (self.high is None):
            raise ValueError("a box has both bounds or none")
        largest = LARGEST_FLOAT32 if self.dtype == "float32" else math.inf
        for low, high in zip(self.low or (), self.high or (), strict=True):
            if not low <= high or any(largest < abs(b) < math.inf for b in (low, high)):
                raise ValueError("a box's bounds are not in order")

    @classmethod
    def of(cls, space: ActionSpace) -> SpaceSpec:
        """The form of one of Gymnasium's spaces. Of a box of float32, bounds that are the largest
        number of the type are infinite."""
        if isinstance(space, Discrete):
            return cls((), "int64", choices=(int(space.n),), start=int(space.start))
        if isinstance(space, MultiDiscrete):
            return cls((len(space.nvec),), "int64", choices=tuple(space.nvec.tolist()))
        low, high = space.low.ravel(), space.high.ravel()
        if space.dtype == np.float32:
            low, high = without_vast(low, high, LARGEST_FLOAT32)
        bounds: tuple[Any, Any] = (None, None)
        if np.isfinite(low).any() or np.isfinite(high).any():
            bounds = tuple(low.tolist()), tuple(high.tolist())
        return cls(space.shape, str(space.dtype), *bounds)  # type: ignore[arg-type]

    @classmethod
    def of_actions(cls, space: ActionSpace) -> SpaceSpec:
        """The form of an action space, in which bounds of ``VAST`` or more are infinite."""
        if isinstance(space, Box):
            low, high = without_vast(space.low, space.high)
            with np.errstate(over="ignore"):
                space = Box(low, high, dtype=space.dtype.type)
        return cls.of(space)

    def is_earlier_form_of(self, space: SpaceSpec) -> bool:
        """Whether an earlier version recorded this for actions in what is now another space.

        Earlier versions recorded vast bounds as they were, and for an actuator without a control
        range the bounds 0 and 0.
        """
        if self == space or self.choices is not None or space.choices is not None:
            return self == space
        if (self.shape, self.dtype) != (space.shape, space.dtype):
            return False
        return all(
            (low == high and (new_low, new_high) == (-math.inf, math.inf))
            or (
                (low == new_low or (low <= -VAST and new_low == -math.inf))
                and (high == new_high or (high >= VAST and new_high == math.inf))
            )
            for (low, high), (new_low, new_high) in zip(
                self._bounds(), space._bounds(), strict=True
            )
        )

    def _bounds(self) -> list[tuple[float, float]]:
        """The bounds of every dimension of a box."""
        if self.low is None or self.high is None:
            return [(-math.inf, math.inf)] * math.prod(self.shape)
        return list(zip(self.low, self.high, strict=True))

    def space(self) -> ActionSpace:
        """The Gymnasium space."""
        if self.choices is not None:
            if self.shape == ():
                return Discrete(self.choices[0], start=self.start)
            return MultiDiscrete(list(self.choices))
        dtype = np.dtype(self.dtype).type
        if self.low is None or self.high is None:
            return Box(-np.inf, np.inf, self.shape, dtype)
        low, high = np.array(self.low, dtype), np.array(self.high, dtype)
        return Box(low.reshape(self.shape), high.reshape(self.shape), dtype=dtype)


def without_vast(
    low: NDArray[Any], high: NDArray[Any], vast: float = VAST
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Replace vast bounds, and those that are the largest number of their type, by infinities.

    Args:
        low, high: (size,), floats of any type.
        vast: the smallest size of bounds that are replaced.

    Returns:
        The bounds in the same type; for the default ``vast``, all that are finite fit into float32.
    """
    vast = min(vast, float(np.finfo(low.dtype).max))
    return np.where(low <= -vast, -np.inf, low), np.where(high >= vast, np.inf, high)
