"""Structures of the sections `[evaluation]` and `[selection]`: how agents are scored and chosen."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from poolrl.config.types import Aggregate, Natural, Section, Text, is_info_key
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
    score: Text = "return"
    """What units are selected by: `return`, the mean return of the evaluation's episodes, or
    `info.<name>`, the mean of a value of the task's info, as in `info.success`, by its aggregate
    (see `evaluation.info`). Of equal scores the higher return wins, then the lower index. A branch
    in which the value is missing or not finite in an episode has failed. A `pool.toml` with this
    or `direction` is of schema 2, which earlier versions refuse."""
    direction: Literal["max", "min"] = "max"
    """Whether the highest or the lowest score is the best."""

    def __post_init__(self) -> None:
        if self.score != "return" and not is_info_key(self.info_name or ""):
            raise UsageError(
                f"selection.score: expected return, or info.<name> as in info.success, got "
                f"{self.score!r}"
            )

    @property
    def info_name(self) -> str | None:
        """Name of the value of the task's info that units are selected by; ``None`` for return."""
        return self.score.removeprefix("info.") if self.score.startswith("info.") else None

    @property
    def sign(self) -> int:
        """1 if the highest score is the best, -1 if the lowest one is."""
        return 1 if self.direction == "max" else -1
