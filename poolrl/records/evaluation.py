"""Structures of evaluations: returns, values of the task's ``info``, and differences of them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from msgspec import UNSET, UnsetType

from poolrl.config.types import Aggregate, InfoKey
from poolrl.records.types import Natural, Number, Record, Word


class InfoRecord(Record, frozen=True):
    """The values of one name in a task's ``info``.

    Attributes:
        aggregate: how an episode's value comes from its steps: the ``last`` one's, or ``sum``,
            ``mean`` or ``max`` over those that have one.
        values: of each episode, in the order of the returns; ``None`` where it has none, or none
            that is finite.
    """

    aggregate: Aggregate
    values: tuple[Number | None, ...]


class SelectionScore(Record, frozen=True):
    """A score other than the mean return that units are selected by.

    Attributes:
        by: ``info.`` and a name in the task's ``info``.
        score: mean of its values; ``None`` if an episode has none.
        standard_error: of the mean; 0 for a single episode, or without a score.
    """

    by: Word
    score: Number | None
    standard_error: float

    @classmethod
    def of(cls, by: str, infos: Mapping[str, InfoRecord]) -> SelectionScore:
        """Compute it from the values of ``info``."""
        info = infos.get(by.removeprefix("info."))
        values = [value for value in info.values if value is not None] if info else []
        if info is None or len(values) < len(info.values):
            return cls(by, None, 0.0)
        return cls(by, statistics.fmean(values), standard_error(values))


class Evaluation(Record, frozen=True):
    """Undiscounted returns of episodes without updates.

    Attributes:
        deterministic: whether actions were the mode of their distribution, or samples.
        returns: of each episode, in the order of the seeds, so that differences are paired.
        lengths: control steps of each episode.
        score: mean return.
        standard_error: of the mean; 0 for a single episode.
        info: values of the task's ``info`` by name, in alphabetical order; left out where there are
            none, as in records of schema 1.
        selection: score that units are selected by; left out where it is the mean return.
    """

    deterministic: bool
    returns: tuple[Number, ...]
    lengths: tuple[Natural, ...]
    score: float
    standard_error: float
    info: dict[InfoKey, InfoRecord] | UnsetType = UNSET
    selection: SelectionScore | UnsetType = UNSET

    def __post_init__(self) -> None:
        if not self.returns or len(self.returns) != len(self.lengths):
            raise ValueError("an evaluation has a return and a length of each of its episodes")
        if any(len(info.values) != len(self.returns) for info in self.infos.values()):
            raise ValueError("an evaluation's info has a value, or null, of each of its episodes")

    @property
    def selection_score(self) -> float | None:
        """The score that units are selected by; ``None`` if an episode has no value."""
        return self.score if self.selection is UNSET else self.selection.score

    @property
    def selection_values(self) -> Sequence[float | None]:
        """What that score is the mean of, by episode."""
        if self.selection is UNSET:
            return self.returns
        info = self.infos.get(self.selection.by.removeprefix("info."))
        return info.values if info is not None else [None] * len(self.returns)

    @property
    def infos(self) -> Mapping[str, InfoRecord]:
        """The values of the task's ``info``, none where they are left out."""
        return {} if self.info is UNSET else self.info

    @classmethod
    def of(
        cls,
        returns: Sequence[float],
        lengths: Sequence[int],
        *,
        deterministic: bool,
        info: Mapping[str, InfoRecord] | None = None,
        by: str = "return",
    ) -> Evaluation:
        """Compute scores and standard errors from the returns and values.

        Args:
            returns: of each episode.
            lengths: control steps of each episode.
            deterministic: as the attribute.
            info: as the attribute.
            by: what units are selected by, ``return`` or ``info.<name>``.
        """
        return cls(
            deterministic=deterministic,
            returns=tuple(returns),
            lengths=tuple(lengths),
            score=statistics.fmean(returns),
            standard_error=standard_error(returns),
            info=dict(info) if info else UNSET,
            selection=UNSET if by == "return" else SelectionScore.of(by, info or {}),
        )


class Difference(Record, frozen=True):
    """Mean of paired differences on the same seeds, of returns or what else units are selected by,
    with its standard error."""

    mean: float
    standard_error: float


def paired_difference(a: Evaluation, b: Evaluation) -> Difference | None:
    """The difference a − b over episodes on the same seeds, of what units are selected by; ``None``
    if an episode has no value."""
    pairs = zip(a.selection_values, b.selection_values, strict=True)
    differences = [x - y for x, y in pairs if x is not None and y is not None]
    if len(differences) < len(a.returns):
        return None
    return Difference(
        mean=statistics.fmean(differences), standard_error=standard_error(differences)
    )


def standard_error(values: Sequence[float]) -> float:
    """Standard error of the mean; 0 for a single value."""
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0
