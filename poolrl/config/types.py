"""Types of the values of a configuration."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from msgspec import Meta, Struct

# The upper bounds refuse infinity.
Positive = Annotated[float, Meta(gt=0, le=1e9)]
NonNegative = Annotated[float, Meta(ge=0, le=1e9)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Std = Annotated[float, Meta(ge=1e-6, le=1e6)]
"""A standard deviation whose square, and its inverse, are far from the limits of float32."""
Count = Annotated[int, Meta(ge=1, le=10**9)]
Natural = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Episodes = Annotated[int, Meta(ge=1, le=100_000)]
"""The bound limits memory: each episode has a random stream, and its return is in a record."""
Sizes = Annotated[
    tuple[Annotated[int, Meta(ge=1, le=100_000)], ...],
    Meta(max_length=16),
]
Text = Annotated[str, Meta(max_length=4000, pattern=r"\A[^\x00-\x1f\x7f-\x9f\ud800-\udfff]*\Z")]
"""A single line without control characters or surrogates, so that it can be printed and encoded."""


_INFO_KEY = r"\A[^\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029]{1,200}\Z"
InfoKey = Annotated[str, Meta(pattern=_INFO_KEY)]
"""Name of a value of a task's `info`; those of nested tables are joined by `/`."""
Aggregate = Literal["last", "sum", "mean", "max"]
"""How the values of an episode's steps become one value of the episode."""


QUANTILES = {"min": 0.0, "q25": 0.25, "median": 0.5, "q75": 0.75, "max": 1.0}
"""End of a metric's name -> the quantile that it is."""


def is_info_key(name: str) -> bool:
    """Whether a text may be an ``InfoKey``."""
    return re.fullmatch(_INFO_KEY, name) is not None


class Section(Struct, frozen=True, forbid_unknown_fields=True):
    """Base class of the tables of the configuration; unknown keys are errors."""
