"""Gymnasium's spaces that policies support, and their form in an agent's header."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import numpy as np
from gymnasium.spaces import Box, Discrete, MultiDiscrete
from msgspec import Meta, Struct

ActionSpace = Box | Discrete | MultiDiscrete
"""A box must have one dimension, and so must several choices."""

Size = Annotated[int, Meta(ge=1, le=100_000)]
MAX_CHOICES = 100_000


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
        largest = 3.4e38 if self.dtype == "float32" else math.inf
        for low, high in zip(self.low or (), self.high or (), strict=True):
            if not low <= high or any(largest < abs(b) < math.inf for b in (low, high)):
                raise ValueError("a box's bounds are not in order")

    @classmethod
    def of(cls, space: ActionSpace) -> SpaceSpec:
        """The form of one of Gymnasium's spaces."""
        if isinstance(space, Discrete):
            return cls((), "int64", choices=(int(space.n),), start=int(space.start))
        if isinstance(space, MultiDiscrete):
            return cls((len(space.nvec),), "int64", choices=tuple(space.nvec.tolist()))
        bounds: tuple[Any, Any] = (None, None)
        if space.bounded_below.any() or space.bounded_above.any():
            bounds = tuple(space.low.ravel().tolist()), tuple(space.high.ravel().tolist())
        return cls(space.shape, str(space.dtype), *bounds)  # type: ignore[arg-type]

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
