"""What an evaluation records of a task's ``info``: for each name, one value an episode."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from poolrl.config.types import Aggregate
from poolrl.errors import UsageError, did_you_mean, one_line
from poolrl.rollouts.info_sources import BatchInfos, EnvironmentInfos, InfoSource
from poolrl.tasks.base import Ids, Task
from poolrl.tasks.check import sample_action
from poolrl.tasks.gymnasium_task import GymnasiumTask
from poolrl.tasks.variants import watched, without_variants

MAX_KEYS = 32
"""Most names that an evaluation records."""

MAX_VALUES = 400_000
"""Most values of all names and episodes, so that the largest record can be read."""

LARGEST = 1e300
"""Values beyond it, either way, count as not finite."""

_SUMMED = re.compile(r"(.*/)?(reward_|rew_)[^/]*|.*(_reward|_cost)|(.*/)?rwd_dict/[^/]+", re.S)


class InfoValues(NamedTuple):
    """The values of one name.

    Attributes:
        aggregate: how an episode's value comes from its steps.
        values: of each episode; ``None`` where it has none, or none that is finite.
    """

    aggregate: Aggregate
    values: tuple[float | None, ...]


def declared_aggregates(task: Task) -> dict[str, Aggregate]:
    """Return what a task declares by ``info_aggregates``.

    Raises:
        UsageError: it is not a table of names and aggregates; names the key.
    """
    declared = without_variants(task).info_aggregates
    if not isinstance(declared, Mapping):
        raise UsageError(f"task: info_aggregates must be a dictionary: {declared!r}")
    for name, aggregate in declared.items():
        if not isinstance(name, str) or aggregate not in get_args(Aggregate):
            known = ", ".join(get_args(Aggregate))
            raise UsageError(f"task: info_aggregates[{name!r}] must be one of {known}")
    return dict(declared)


class EpisodeInfos:
    """Collects the values of the episodes that a sampler runs.

    Args:
        task: without and with variants; with repeated actions, every control step counts.
        named: name -> aggregate, before those that the task declares.
        first: name that is recorded before all others.

    Attributes:
        notes: what a user should hear of, such as names that were left out.
    """

    def __init__(
        self,
        task: Task,
        named: Mapping[str, Aggregate] | None = None,
        *,
        first: str | None = None,
    ) -> None:
        self._task = task
        self._first = first
        self._named = dict(named or {})
        self._aggregates = declared_aggregates(task) | self._named
        plain = without_variants(task)
        self._source: InfoSource | None
        if isinstance(plain, GymnasiumTask):
            self._source = EnvironmentInfos(plain, self.aggregate)
        elif getattr(type(plain), "info", None) is Task.info:
            self._source = None  # which has none
        else:
            self._source = BatchInfos(plain, self.aggregate)
        self._repeats = False
        self._is_first_step = True
        self._ended: dict[int, dict[str, float]] = {}
        self.notes: list[str] = []

    def aggregate(self, name: str) -> Aggregate:
        """How an episode's value of this name comes from its steps."""
        if name in self._aggregates:
            return self._aggregates[name]
        return "sum" if _SUMMED.fullmatch(name) else "last"

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Collect within, also the steps of actions that the task repeats."""
        with watched(self._task, self._after_repeated) as self._repeats:
            yield
        self._repeats = False
        if self._source is not None:
            self._source.finish()

    def start(self, ids: Ids) -> None:
        """Start new episodes in these simulations."""
        if self._source is not None:
            self._source.start(ids)

    def after_step(self, ids: Ids | None, last: Ids) -> None:
        """Collect the values of a step.

        Args:
            ids: the simulations that made it; ``None`` for all.
            last: those of them in which the episode has ended.
        """
        if not self._repeats:
            self._add(ids, last)

    def _after_repeated(self, ids: Ids | None, ended: NDArray[np.bool_]) -> None:
        self._add(ids, np.flatnonzero(ended) if ids is None else ids[ended[ids]])

    def _add(self, ids: Ids | None, last: Ids) -> None:
        source = self._source
        if source is None:
            return
        try:
            episodes = source.add(ids, last)
            if self._is_first_step:
                self._is_first_step = False
                if isinstance(source, BatchInfos) and not self._repeats:
                    self._source = source.cheaper()
        except Exception as error:  # of a user's code, which evaluations did not need before
            self._source = None
            self._note(f"the task's info() raised {one_line(error)}; no info is recorded")
            return
        if episodes:
            self._ended.update(zip(last.tolist(), episodes, strict=True))

    def take(self, simulation: int) -> dict[str, float]:
        """Return the values of the episode that has ended in a simulation, by name; complete once
        ``watching`` is left."""
        return self._ended.pop(simulation, {})

    def table(self, episodes: Sequence[Mapping[str, float]]) -> dict[str, InfoValues]:
        """Bring the values of episodes together.

        Args:
            episodes: the values of each, as ``take`` returned them.

        Returns:
            Name -> values, in alphabetical order: of the names that were given to the constructor,
            and as many others as there may be.
        """
        if self._source is None:
            return {}
        names = sorted({name for values in episodes for name in values})
        most = min(MAX_KEYS, MAX_VALUES // max(1, len(episodes)))
        kept = sorted(names, key=lambda name: (name != self._first, name not in self._named, name))
        kept = kept[:most]
        if left_out := [name for name in names if name not in kept]:
            self._note(
                f"the task's info has {len(names)} values, of which {most} are recorded; left "
                f"out: {', '.join(left_out)}; name those that you want in [evaluation.info]"
            )
        return {
            name: InfoValues(
                self.aggregate(name), tuple(_finite(values.get(name)) for values in episodes)
            )
            for name in sorted(kept)
        }

    def names_after_a_step(self) -> list[str]:
        """Names of the values that the task has after one step of its first simulation, which must
        be reset afterwards, in alphabetical order."""
        plain = without_variants(self._task)
        generator, ids = np.random.default_rng(0), np.arange(1)
        plain.reset(ids, [generator])
        self.start(ids)
        plain.step(sample_action(plain, generator), ids)
        self._add(ids, ids)
        return sorted(self.take(0))

    def check_names(self, known: Sequence[str], score: str | None, task_id: str) -> None:
        """Check that the task has what units are selected by, and that no name given to the
        constructor misspells one that it has. Others there may come later in an episode.

        Args:
            known: what ``names_after_a_step`` returned.
            score: that units are selected by; ``None`` for the return.
            task_id: for errors.

        Raises:
            UsageError: it has no such value; names the key.
        """
        missing = f"in the info of {task_id} after a step"
        if score is not None and score not in known:
            has = f"has {', '.join(known)}" if known else "has none"
            reason = "; ".join([has, *self.notes])
            raise UsageError(f"selection.score: no value {score!r} {missing}, which {reason}")
        for name in sorted(self._named.keys() - set(known)):
            if hint := did_you_mean(name, known, cutoff=0.8):
                raise UsageError(f"evaluation.info: no value {name!r} {missing}; {hint}")

    def _note(self, text: str) -> None:
        self.notes.append(text if len(text) <= 500 else f"{text[:499]}…")


def _finite(value: float | None) -> float | None:
    return value if value is not None and abs(value) <= LARGEST else None
