"""The arms of a plan with their runs and costs, from the files of runs and timings alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import click
from analysis import F64, score_at, time_to_target
from costs import Costs, layout_of
from plans import Plan, arms_of, seeds_of
from run_data import RunData
from scoring import target_position
from timing import Layout, Timing

ONE_CORE = Layout(1, 1)


class Arm(NamedTuple):
    """The runs of an arm on a task, and what they cost.

    Attributes:
        name: of the plan.
        runs: by seed.
        costs: of its layouts.
        positions: of the iterations that reached the target; ``None`` of a run that did not.
    """

    name: str
    runs: list[RunData]
    costs: Costs
    positions: list[int | None]

    @property
    def failures(self) -> int:
        return sum(position is None for position in self.positions)

    @property
    def mostly_failed(self) -> bool:
        """Whether its time says how long its runs were, not when they reached the target."""
        return 2 * self.failures > len(self.runs)

    def layout(self, cores: int) -> Layout:
        """The layout of ``poolrl run``."""
        return layout_of(cores, self.runs[0].branches, self.runs[0].simulations)

    def seconds(self, layout: Layout) -> list[F64] | None:
        """Seconds to the end of each iteration, by run; ``None`` if they are not known."""
        found: list[F64] = []
        for run in self.runs:
            seconds = self.costs.seconds(run, layout)
            if seconds is None:
                return None
            found.append(seconds)
        return found

    def times(self, layout: Layout) -> list[float] | None:
        """Seconds to the target of each run; ``None`` if they are not known."""
        ends = self.seconds(layout)
        if ends is None:
            return None
        pairs = zip(ends, self.positions, strict=True)
        return [time_to_target(seconds, position).seconds for seconds, position in pairs]

    def end(self, layout: Layout) -> float | None:
        """Seconds until all of its runs have as many iterations as the one with the fewest;
        ``None`` if they are not known."""
        ends = self.seconds(layout)
        if ends is None:
            return None
        fewest = min(len(seconds) for seconds in ends)
        return max(float(seconds[fewest - 1]) for seconds in ends)

    def scores_at(self, layout: Layout, at: float) -> list[float]:
        """The last score of each run by a time in seconds, of those that have one."""
        ends = self.seconds(layout)
        if ends is None:
            return []
        pairs = zip(self.runs, ends, strict=True)
        scores = [score_at(run, seconds, at) for run, seconds in pairs]
        return [score for score in scores if score is not None]


class Comparison(NamedTuple):
    """The arms on a task, and the one that they are compared with, if it was run."""

    task: str
    target: float | None
    arms: list[Arm]
    one: Arm | None


def comparisons(plan: Plan, runs: Sequence[RunData], timings: Sequence[Timing]) -> list[Comparison]:
    """What the plan asks for and is there, by task.

    Args:
        plan: of the runs.
        runs: that were scored.
        timings: of layouts.

    Raises:
        click.UsageError: a run was scored for another target than the plan's, or by another
            distance between champions.
    """
    found = []
    seeds = seeds_of(plan)
    single = plan.get("pilot", {}).get("arm", "one")
    for task in plan["tasks"]:
        target = plan["tasks"][task].get("target")
        arms = []
        for name in arms_of(plan, task):
            own = [r for r in runs if (r.task, r.arm) == (task, name) and r.seed in seeds]
            for run in own:
                if (run.target, run.score_every) != (target, plan["score_every"]):
                    raise click.UsageError(
                        f"{task}, {name}, seed {run.seed}: scored for target {run.target} and "
                        f"score_every {run.score_every}, which are not the plan's: score it again"
                    )
            if own:
                timed = [t for t in timings if (t.task, t.arm) == (task, name)]
                other = plan["arms"][name].get("threads_as")
                alike = [t for t in timings if (t.task, t.arm) == (task, other)]
                costs = Costs(timed, own[0], alike)
                arms.append(Arm(name, own, costs, [target_position(run) for run in own]))
        if arms:
            one = next((arm for arm in arms if arm.name == single), None)
            found.append(Comparison(task, target, arms, one))
    return found
