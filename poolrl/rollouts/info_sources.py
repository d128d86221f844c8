"""Values of a task's ``info`` step by step, and what they come to at the end of an episode."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from poolrl.config.types import Aggregate, is_info_key
from poolrl.tasks.base import Ids, Task, call_optional
from poolrl.tasks.gymnasium_task import GymnasiumTask

F64 = NDArray[np.float64]

MAX_DEPTH = 8
"""Tables of a task's ``info`` that are nested deeper are left out."""

CHUNK = 64
"""Steps whose values are added at once, which takes a tenth of the time."""


class InfoSource(Protocol):
    """Where the values of a task's ``info`` come from."""

    def start(self, ids: Ids) -> None:
        """Start new episodes in these simulations."""
        ...

    def add(self, ids: Ids | None, last: Ids) -> list[dict[str, float]]:
        """Add the values of a step.

        Args:
            ids: the simulations that made it; ``None`` for all.
            last: those of them in which the episode has ended.

        Returns:
            The values by name of each episode that has ended, in the order of ``last``; filled at
            the latest by ``finish``.
        """
        ...

    def finish(self) -> None:
        """Called after the last step."""
        ...


AggregateOf = Callable[[str], Aggregate]
"""How an episode's value of a name comes from its steps."""


class BatchInfos:
    """Values of a task that returns arrays over its simulations."""

    def __init__(self, task: Task, aggregate: AggregateOf) -> None:
        self._task = task
        self._aggregate = aggregate
        self._names: dict[str, Aggregate] = {}
        self._totals: dict[str, F64] = {}
        self._counts: dict[str, NDArray[np.int64]] = {}

    def cheaper(self) -> InfoSource:
        """A cheaper source of the same values, after a step; itself if there is none.

        There is one if the values that are aggregated over steps are sums that ``reward_terms``
        has, in poolrl's own classes: only of them is it known that ``info`` returns the same names
        after each step.
        """
        own = str(getattr(type(self._task).info, "__module__", "")).startswith("poolrl.")
        over_steps = {name for name, aggregate in self._names.items() if aggregate != "last"}
        sums = all(self._names[name] == "sum" for name in over_steps)
        if own and sums and over_steps <= self._task.reward_terms().keys():
            return CheapInfos(self._task, self._names, self._totals)
        return self

    def start(self, ids: Ids) -> None:
        for name, total in self._totals.items():
            total[ids] = 0
            self._counts[name][ids] = 0

    def add(self, ids: Ids | None, last: Ids) -> list[dict[str, float]]:
        rows = slice(None) if ids is None else ids
        episodes: list[dict[str, float]] = [{} for _ in last]
        for name, values in self._arrays(call_optional(self._task, "info"), ""):
            if self._names[name] != "last":
                self._accumulate(name, values, rows)
            elif episodes:
                for episode, value in zip(episodes, values[last].tolist(), strict=True):
                    episode[name] = float(value)
        for name, total in self._totals.items() if episodes else ():
            counts = self._counts[name][last].tolist()
            for episode, value, count in zip(episodes, total[last].tolist(), counts, strict=True):
                if count:
                    episode[name] = value / count if self._names[name] == "mean" else value
        return episodes

    def finish(self) -> None:
        pass

    def _accumulate(self, name: str, values: NDArray[Any], rows: Ids | slice) -> None:
        """Add the values of a step, (num_simulations,), in some simulations."""
        if name not in self._totals:
            self._totals[name] = np.zeros(self._task.num_simulations)
            self._counts[name] = np.zeros(self._task.num_simulations, np.int64)
        total, count, new = self._totals[name], self._counts[name], values[rows]
        if self._names[name] == "max":
            total[rows] = np.where(count[rows] > 0, np.maximum(total[rows], new), new)
        else:
            total[rows] += new
        count[rows] += 1

    def _arrays(self, info: Any, prefix: str, depth: int = 1) -> Iterator[tuple[str, NDArray[Any]]]:
        """Names and numbers, (num_simulations,), of what ``info`` returned."""
        n = self._task.num_simulations
        for key, value in info.items() if isinstance(info, Mapping) else ():
            name = _joined(prefix, key)
            if name is None:
                continue
            if isinstance(value, Mapping):
                if depth < MAX_DEPTH:
                    yield from self._arrays(value, f"{name}/", depth + 1)
                continue
            array = np.asarray(value)
            if array.shape[:1] == (n,) and array.size == n and array.dtype.kind in "biuf":
                if name not in self._names:
                    self._names[name] = self._aggregate(name)
                yield name, array.reshape(n)


class CheapInfos:
    """Values of a task of poolrl's own, whose ``info`` is needed where an episode ends alone.

    What is added up is kept for up to ``CHUNK`` steps: the tables that ``add`` returns are filled
    then, or by ``finish``.

    Args:
        task: its ``reward_terms`` are summed.
        names: of all values of ``info``, with their aggregates.
        totals: sums so far, (num_simulations,), by name.
    """

    def __init__(
        self, task: Task, names: Mapping[str, Aggregate], totals: Mapping[str, F64]
    ) -> None:
        self._task = task
        self._summed = list(totals)
        self._lasts = [name for name, aggregate in names.items() if aggregate == "last"]
        self._totals = np.zeros((len(totals), task.num_simulations))
        for row, total in zip(self._totals, totals.values(), strict=True):
            row[...] = total
        self._terms: list[NDArray[Any]] = []  # those of a step, one after another
        self._steps = 0
        self._events: list[tuple[int, Ids, list[dict[str, float]] | None]] = []

    def start(self, ids: Ids) -> None:
        if self._summed:
            self._events.append((self._steps, ids, None))

    def add(self, ids: Ids | None, last: Ids) -> list[dict[str, float]]:
        # Simulations without an episode are never read: all rows may be added.
        episodes = self._final_values(last) if len(last) else []
        if not self._summed:
            return episodes
        terms = self._task.reward_terms()
        self._terms.extend([terms[name] for name in self._summed])
        self._steps += 1
        if episodes:
            self._events.append((self._steps, last, episodes))
        if self._steps == CHUNK:
            self.finish()
        return episodes

    def _final_values(self, last: Ids) -> list[dict[str, float]]:
        if not self._lasts:
            return [{} for _ in last]
        info = self._task.info()
        columns = [info[name][last].tolist() for name in self._lasts]
        return [
            dict(zip(self._lasts, map(float, row), strict=True))
            for row in zip(*columns, strict=True)
        ]

    def finish(self) -> None:
        """Fill the tables of all episodes that have ended."""
        if not self._terms:
            for _, ids, _ in self._events:
                self._totals[:, ids] = 0
            self._events.clear()
            return
        steps = np.concatenate(self._terms).reshape(self._steps, *self._totals.shape)
        done = 0
        for position, ids, episodes in self._events:
            if position > done:
                self._totals += np.add.reduce(steps[done:position], axis=0)
                done = position
            if episodes is None:
                self._totals[:, ids] = 0
                continue
            for episode, sums in zip(episodes, self._totals[:, ids].T.tolist(), strict=True):
                episode.update(zip(self._summed, sums, strict=True))
        if done < self._steps:
            self._totals += np.add.reduce(steps[done:], axis=0)
        self._steps = 0
        self._terms.clear()
        self._events.clear()


class EnvironmentInfos:
    """Values of adapted environments, each of which returns a table of its own."""

    def __init__(self, task: GymnasiumTask, aggregate: AggregateOf) -> None:
        self._task = task
        self._aggregate = aggregate
        self._totals: list[dict[str, list[float]]] = [{} for _ in range(task.num_simulations)]
        # Prefix -> key -> its name and aggregate; nothing for what is left out.
        self._known: dict[str, dict[Any, tuple[str, Aggregate] | None]] = {}

    def start(self, ids: Ids) -> None:
        for i in ids.tolist():
            self._totals[i] = {}

    def add(self, ids: Ids | None, last: Ids) -> list[dict[str, float]]:
        infos = self._task.step_infos
        finals: dict[int, dict[str, float]] = {i: {} for i in last.tolist()}
        for i in range(len(infos)) if ids is None else ids.tolist():
            if infos[i]:
                self._one(infos[i], self._totals[i], finals.get(i), "")
        for i, final in finals.items():
            for name, (total, count) in self._totals[i].items():
                final[name] = total / count if self._aggregate(name) == "mean" else total
        return list(finals.values())

    def finish(self) -> None:
        pass

    def _one(
        self,
        info: Mapping[Any, Any],
        totals: dict[str, list[float]],
        final: dict[str, float] | None,
        prefix: str,
        depth: int = 1,
    ) -> None:
        """Add a table of a simulation.

        Args:
            info: the table.
            totals: name -> [total, number of steps], changed in place.
            final: values of the episode, if this is its last step.
            prefix: of the names.
            depth: of the table.
        """
        known = self._known.setdefault(prefix, {})
        for key, value in info.items():
            try:
                entry = known[key]
            except KeyError:
                name = _joined(prefix, key)
                entry = known[key] = None if name is None else (name, self._aggregate(name))
            if entry is None:
                continue
            name, aggregate = entry
            if isinstance(value, Mapping):
                if depth < MAX_DEPTH:
                    self._one(value, totals, final, f"{name}/", depth + 1)
                continue
            if aggregate == "last" and final is None:
                continue
            number = _number(value)
            if number is None:
                continue
            if aggregate == "last":
                assert final is not None
                final[name] = number
            elif name not in totals:
                totals[name] = [number, 1]
            else:
                total = totals[name]
                if aggregate != "max":
                    total[0] += number
                elif number > total[0] or math.isnan(number):
                    total[0] = number
                total[1] += 1


def _joined(prefix: str, key: Any) -> str | None:
    """The name of a key in a table; ``None`` for what is left out."""
    key = str(key)
    if key.startswith("_") or (key == "episode" and not prefix):
        return None
    return f"{prefix}{key}" if is_info_key(f"{prefix}{key}") else None


def _number(value: Any) -> float | None:
    """A number or a flag as it is, or from an array of one; ``None`` for anything else."""
    if type(value) is float:
        return value
    if isinstance(value, (int, float)):
        try:
            return float(value)
        except OverflowError:
            return math.inf
    if not hasattr(value, "__array__"):
        return None
    try:
        array = np.asarray(value)
    except Exception:  # of another library, such as torch
        return None
    return float(array.item()) if array.size == 1 and array.dtype.kind in "biuf" else None
