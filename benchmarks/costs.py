"""Time that the iterations of runs take on a number of cores, by units whose cost was timed.

- One process (an arm with one branch) is charged for its training alone: neither for evaluation nor
  for the pool's overhead. On C cores it steps its simulations by C threads.
- A pool on C cores has as many workers as branches and cores allow, and what is left as threads of
  each: the layout of ``poolrl run``. No pool gets another core for its parent, whose evaluation
  waits for a free worker; both stages of an iteration with candidates count.
- The time of a unit is that of its control steps, at the seconds a step that the timed runs took
  with as many threads, and the overhead of a unit; the overhead of the merge comes after all units.
- With more threads than were timed, each phase is taken apart by Amdahl's law: of T1 and T2 seconds
  with one and two threads, 2·T2 - T1 is serial (Amdahl, AFIPS 1967), at least 0 and at most T1.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from run_data import SERIAL, RunData, Units
from timing import Layout, Timing

F64 = NDArray[np.float64]

WORK = ("training", "evaluation")
FIRST_STAGE = ("initial", "branch", "parent")
"""Kinds of units of the first stage of an iteration, in the order in which workers take them."""

Kinds = Mapping[str, Units]


# How long a unit takes


class Rates(NamedTuple):
    """What units of an arm cost, by kind.

    Attributes:
        step: (kind, phase) -> seconds of a control step, of the phases training and evaluation.
        unit: kind -> seconds of the pool's overhead for each unit.
        merge: seconds of the pool's overhead for each iteration, after its units.
    """

    step: dict[tuple[str, str], float]
    unit: dict[str, float]
    merge: float


def rates_of(kinds: Kinds, iterations: int, *, cpu: bool = False) -> Rates:
    """What units cost, by their seconds.

    Args:
        kinds: units of some iterations together.
        iterations: their number.
        cpu: use CPU seconds, not wall-clock seconds.
    """

    def seconds(units: Units, phase: str) -> float:
        return units.cpu(phase) if cpu else units.wall(phase)

    step, unit, merge = {}, {}, 0.0
    for kind, units in kinds.items():
        for phase, steps in zip(WORK, (units.training_steps, units.evaluation_steps), strict=True):
            step[kind, phase] = seconds(units, phase) / max(1, sum(steps))
        own = seconds(units, "pool")
        if kind == "candidate":  # makes its agent in that phase
            own += seconds(units, SERIAL)
        else:
            merge += seconds(units, SERIAL)
        unit[kind] = own / units.count
    return Rates(step, unit, merge / iterations)


def median_rates(repeats: Sequence[Rates]) -> Rates:
    """The median of repeats, number by number."""

    def median(values: Sequence[float]) -> float:
        return float(np.median(values))

    first = repeats[0]
    return Rates(
        {key: median([rates.step[key] for rates in repeats]) for key in first.step},
        {key: median([rates.unit[key] for rates in repeats]) for key in first.unit},
        median([rates.merge for rates in repeats]),
    )


def amdahl(one: float, two: float, threads: int) -> float:
    """Seconds with a number of threads, from those with one and with two."""
    serial = min(max(0.0, 2 * two - one), one)
    return serial + (one - serial) / threads


def with_threads(one: Rates, two: Rates, threads: int) -> Rates:
    """What units cost with a number of threads, phase by phase.

    Args:
        one: with one thread; also of the pool's overhead, which has no threads.
        two: with two threads.
        threads: number of threads.
    """
    return one._replace(
        step={key: amdahl(t, two.step[key], threads) for key, t in one.step.items()}
    )


def of_run(run: RunData) -> Rates:
    """What units of a learning run cost with one thread, by its CPU seconds: where no timed run is
    there."""
    kinds: dict[str, list[Units]] = {}
    for iteration in run.iterations:
        for kind, units in iteration.units.items():
            kinds.setdefault(kind, []).append(units)
    together = {kind: _together(units) for kind, units in kinds.items()}
    return rates_of(together, len(run.iterations), cpu=True)


def _together(several: Sequence[Units]) -> Units:
    phases = {phase for units in several for phase in units.seconds}
    return Units(
        sum(units.count for units in several),
        tuple(steps for units in several for steps in units.training_steps),
        tuple(steps for units in several for steps in units.evaluation_steps),
        {
            phase: (sum(u.wall(phase) for u in several), sum(u.cpu(phase) for u in several))
            for phase in phases
        },
    )


def _gaining(rates: Rates, one: Rates, two: Rates) -> Rates:
    """Rates with two threads, from those with one and the gain of another arm: of its training that
    of its branches. Evaluations are taken to gain nothing, since their episodes may be another
    number."""
    gain = two.step["branch", "training"] / one.step["branch", "training"]
    return rates._replace(
        step={
            (kind, phase): seconds * (gain if phase == "training" else 1)
            for (kind, phase), seconds in rates.step.items()
        }
    )


# How long an iteration takes


def layout_of(cores: int, branches: int, simulations: int) -> Layout:
    """Workers and threads that ``poolrl run`` starts.

    Args:
        cores: that may be used.
        branches: of an iteration.
        simulations: that a branch steps side by side at most.
    """
    workers = min(cores, branches)
    return Layout(workers, max(1, min(cores // workers, simulations)))


def threads_of(kinds: Kinds, layout: Layout, simulations: int) -> int:
    """Threads that each worker has in an iteration: those of the layout, more where branches are
    fewer than workers.

    Args:
        kinds: units of the iteration.
        layout: workers and threads of the iterations with the most branches.
        simulations: that a branch steps side by side at most.
    """
    branches = kinds["branch"].count if "branch" in kinds else layout.workers
    cores = layout.workers * layout.threads
    return layout_of(cores, min(branches, layout.workers), simulations).threads


def durations(kind: str, units: Units, rates: Rates) -> list[float]:
    """Seconds of each unit of a kind."""
    training, evaluation = (rates.step.get((kind, phase), 0.0) for phase in WORK)
    return [
        training * trained + evaluation * evaluated + rates.unit.get(kind, 0.0)
        for trained, evaluated in zip(units.training_steps, units.evaluation_steps, strict=True)
    ]


def makespan(
    branches: Sequence[float],
    parent: Sequence[float],
    second: Sequence[float],
    workers: int,
    *,
    overlaps: bool = False,
) -> float:
    """Seconds from the start of an iteration to the end of its last unit, with list scheduling: a
    worker that is free takes the next unit, branches first, then the parent, then the second stage.

    Args:
        branches: seconds of each.
        parent: seconds of its evaluation; none if there is none.
        second: seconds of each unit of the second stage.
        workers: number of workers.
        overlaps: whether the second stage waits for the branches alone, not for the parent.
    """
    free = [0.0] * workers
    ends = [0.0]
    ready = 0.0
    for seconds in branches:
        ends.append(heapq.heappop(free) + seconds)
        heapq.heappush(free, ends[-1])
    if overlaps:
        ready = max(ends)
    for seconds in parent:
        ends.append(heapq.heappop(free) + seconds)
        heapq.heappush(free, ends[-1])
    if not overlaps:
        ready = max(ends)
    for seconds in second:
        ends.append(max(ready, heapq.heappop(free)) + seconds)
        heapq.heappush(free, ends[-1])
    return max(ends)


def iteration_seconds(kinds: Kinds, rates: Rates, workers: int, *, overlaps: bool) -> float:
    """Seconds of an iteration of a pool.

    Args:
        kinds: its units.
        rates: what units cost, with the threads of each worker.
        workers: number of workers.
        overlaps: as ``makespan``.
    """
    of = {kind: durations(kind, units, rates) for kind, units in kinds.items()}
    second = [seconds for kind, each in of.items() if kind not in FIRST_STAGE for seconds in each]
    branches = [*of.get("initial", ()), *of.get("branch", ())]
    units = makespan(branches, of.get("parent", ()), second, workers, overlaps=overlaps)
    return units + rates.merge


def training_seconds(kinds: Kinds, rates: Rates) -> float:
    """Seconds of an iteration of one process, which is charged for its training alone."""
    steps = {kind: units.training_steps for kind, units in kinds.items()}
    return sum(rates.step.get((kind, "training"), 0.0) * sum(each) for kind, each in steps.items())


# How long a run takes


class Costs:
    """What an arm costs with any layout, from its timed runs; from a learning run where there are
    none, and then with one thread alone.

    Attributes:
        timings: the timed runs.
    """

    def __init__(
        self,
        timings: Sequence[Timing],
        run: RunData | None = None,
        alike: Sequence[Timing] = (),
    ) -> None:
        """
        Args:
            timings: of one task and arm.
            run: a learning run of the same, for where there are none.
            alike: timings of an arm whose branches compute alike, and gain as much by two threads
                where this one was not timed with them.
        """
        self.timings = list(timings)
        self._by_threads: dict[int, Rates] = {}
        for threads in (1, 2):
            own = [
                rates_of(t.units, t.iterations) for t in timings if t.layout == Layout(1, threads)
            ]
            if own:
                self._by_threads[threads] = median_rates(own)
        if 1 not in self._by_threads and run is not None:
            self._by_threads = {1: of_run(run)}
        if 2 not in self._by_threads and alike and 1 in self._by_threads:
            like = Costs(alike)
            one, two = like.rates(1), like.rates(2)
            if one is not None and two is not None:
                self._by_threads[2] = _gaining(self._by_threads[1], one, two)

    def rates(self, threads: int) -> Rates | None:
        """What units cost with a number of threads; ``None`` if it is not known."""
        one, two = self._by_threads.get(1), self._by_threads.get(2)
        if one is None or threads == 1:
            return one
        return None if two is None else with_threads(one, two, threads)

    def check(self, layout: Layout) -> float | None:
        """Computed seconds of the timed iterations by measured ones, the median over repeats;
        ``None`` if the layout was not timed."""
        rates = self.rates(layout.threads)
        own = [timing for timing in self.timings if timing.layout == layout]
        if rates is None or not own:
            return None
        return float(
            np.median(
                [
                    sum(
                        iteration_seconds(kinds, rates, layout.workers, overlaps=t.overlaps)
                        for kinds in t.by_iteration()
                    )
                    / t.wall
                    for t in own
                ]
            )
        )

    def seconds(self, run: RunData, layout: Layout) -> F64 | None:
        """Seconds from the start of a run to the end of each of its iterations; ``None`` if it is
        not known. Of a pool whose layout was timed, as measured; else as computed.

        Args:
            run: of this arm.
            layout: workers and threads.
        """
        each = []
        for iteration in run.iterations:
            kinds = iteration.units
            rates = self.rates(threads_of(kinds, layout, run.simulations))
            if rates is None:
                return None
            if run.single:
                each.append(training_seconds(kinds, rates))
            else:
                each.append(iteration_seconds(kinds, rates, layout.workers, overlaps=run.overlaps))
        return np.cumsum(each) if run.single else np.cumsum(each) / (self.check(layout) or 1.0)

    def fastest_layout(self, run: RunData, cores: int) -> Layout | None:
        """The layout with which a run is over first; ``None`` if it is not known.

        Args:
            run: of this arm.
            cores: number of cores.
        """
        ends = {}
        for workers in range(1, min(cores, run.branches) + 1):
            layout = Layout(workers, max(1, min(cores // workers, run.simulations)))
            seconds = self.seconds(run, layout)
            if seconds is not None:
                ends[layout] = float(seconds[-1])
        return min(ends, key=ends.__getitem__, default=None)
