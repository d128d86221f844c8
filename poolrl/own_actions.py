"""Actions of an environment's own action space, from those of a policy.

Policies act in a float32 box of one dimension or in choices that start at 0. An environment's own
space may have another shape or type, bounds that float32 cannot hold, or choices that start
elsewhere. ``OwnActions`` is what an agent's header keeps of it, so that ``Agent.act`` needs no
environment.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import numpy as np
from gymnasium import spaces
from msgspec import Meta, Struct
from numpy.typing import NDArray

from poolrl.spaces import Size

Whole = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Float = Literal["float16", "float32", "float64", "float128"]
Integer = Literal["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
Type = Literal[Float, Integer]
Bounds = tuple[float | None, ...]


class OwnActions(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Serialisable form of an environment's own action space.

    Attributes:
        shape: of one action; ``()`` for a single choice or number.
        dtype: of its elements; floats are a box, integers are choices.
        start: of several choices: the smallest value of each, in C order; ``None`` if all are 0.
        low, high: of a box: the bounds in C order, with ``None`` for an infinite one, since JSON
            has no infinity; ``None`` if all are infinite.
    """

    shape: Annotated[tuple[Size, ...], Meta(max_length=32)]
    dtype: Type
    start: tuple[Whole, ...] | None = None
    low: Bounds | None = None
    high: Bounds | None = None

    def __post_init__(self) -> None:
        for values in (self.start, self.low, self.high):
            if values is not None and len(values) != self.size:
                raise ValueError("own actions have bounds of another size")
        if self.is_box and self.start is not None:
            raise ValueError("own actions of a box have no start")
        if not self.is_box and (self.low is not None or self.high is not None):
            raise ValueError("own actions of choices have no bounds")
        infinite = (None,) * self.size
        for low, high in zip(self.low or infinite, self.high or infinite, strict=True):
            if not (-math.inf if low is None else low) <= (math.inf if high is None else high):
                raise ValueError("own actions have bounds that are not in order")

    @classmethod
    def of(cls, space: spaces.Space[Any]) -> OwnActions:
        """The form of a Box (of floats), Discrete, MultiDiscrete or MultiBinary.

        Args:
            space: of the environment.
        """
        shape, dtype = tuple(space.shape or ()), np.dtype(space.dtype).name
        if isinstance(space, spaces.Box):
            return cls(shape, dtype, low=_bounds(space.low), high=_bounds(space.high))  # type: ignore[arg-type]
        start = None
        if isinstance(space, spaces.MultiDiscrete) and space.start.any():
            start = tuple(space.start.ravel().tolist())
        return cls(shape, dtype, start)  # type: ignore[arg-type]

    @classmethod
    def unless_plain(cls, space: spaces.Space[Any]) -> OwnActions | None:
        """As ``of``; ``None`` where a policy's actions are of the space as they are.

        A single choice is never plain: without this, an environment is given it as an ``int``.
        """
        own = cls.of(space)
        is_plain = own.dtype == ("float32" if own.is_box else "int64") and len(own.shape) == 1
        return None if is_plain and own.start is None else own

    @property
    def is_box(self) -> bool:
        """Whether the space is a box of floats, instead of choices."""
        return self.dtype.startswith("float")

    @property
    def size(self) -> int:
        """Number of elements of one action."""
        return math.prod(self.shape)


class ActionConverter:
    """Converts a policy's actions to those of the environment's own space.

    Args:
        own: the environment's space.
    """

    def __init__(self, own: OwnActions) -> None:
        self._shape, self._dtype = own.shape, np.dtype(own.dtype)
        self._start: NDArray[np.int64] | None = None
        self._bounds: tuple[NDArray[Any], NDArray[Any]] | None = None
        if own.is_box:
            self._bounds = (
                self._array(own.low, own.size, -math.inf),
                self._array(own.high, own.size, math.inf),
            )
        elif own.start is not None:
            self._start = np.array(own.start, np.int64).reshape(self._shape)

    def __call__(self, actions: NDArray[Any]) -> NDArray[Any]:
        """Convert a batch.

        Args:
            actions: (n, action size), or (n,) for a single choice, which contains its start.

        Returns:
            A new array of shape (n, *own shape) and of the space's type.
        """
        shaped = actions.reshape(len(actions), *self._shape)
        if self._bounds is not None:
            with np.errstate(over="ignore"):  # float16: clipped next
                # A bound that is rounded to float32 may be outside the environment's own.
                clipped: NDArray[Any] = np.clip(shaped.astype(self._dtype), *self._bounds)
            return clipped
        if self._start is not None:
            shaped = shaped + self._start
        return shaped.astype(self._dtype)

    def _array(self, values: Bounds | None, size: int, infinity: float) -> NDArray[Any]:
        filled = [infinity if v is None else v for v in values or (None,) * size]
        return np.array(filled, self._dtype).reshape(self._shape)


def _bounds(values: NDArray[Any]) -> Bounds | None:
    flat: list[float] = values.astype(np.float64).ravel().tolist()
    bounds = tuple(value if math.isfinite(value) else None for value in flat)
    return None if bounds.count(None) == len(bounds) else bounds
