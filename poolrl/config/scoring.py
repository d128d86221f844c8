"""Structures of the sections `[evaluation]` and `[selection]`: how agents are scored and chosen."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from poolrl.config.types import Aggregate, Natural, Section, is_info_key
from poolrl.errors import UsageError


class EvaluationSpec(Section, frozen=True):
    """How units are scored."""

    deterministic: bool = True
    """Evaluate deterministic actions instead of samples."""
    info: Annotated[dict[str, Aggregate], Meta(max_length=32)] = {}
    """Name of a value of the task's `info` -> how the value of an episode comes from its steps, as
    in `success = "max"`: `last`, the final step's, or `sum`, `mean` or `max` over the steps that
    have one. Names of nested tables are joined by `/`. Values that are not named here are recorded
    too, as the task declares it, else `reward_…`, `rew_…`, `…_reward`, `…_cost` and members of
    `rwd_dict` by their sum, all others by the last; see docs/records.md. A `pool.toml` with it is
    of schema 2, which earlier versions refuse."""

    def __post_init__(self) -> None:
        for name in self.info:
            if not is_info_key(name):
                raise UsageError(
                    f"evaluation.info: {name!r} is no name of a value: 1 to 200 characters, none a "
                    "control character"
                )


class SelectionSpec(Section, frozen=True):
    """How a merge names the champion."""

    keep_parent: bool = False
    """Keep the champion if no branch scores higher on the same evaluation seeds. Off by default: on
    the swimmer, a champion with a lucky score stalled the pool until ``patience`` ran out."""
    patience: Natural = 3
    """Consecutive iterations that the parent may be kept before the best branch is taken anyway."""
