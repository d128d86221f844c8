"""Layouts of workers and threads, timed apart from learning: a few iterations of each, by phase.

Layouts give the same bits, so that only their time is measured. Repeats are interleaved: what a
machine does beside the benchmark meets all arms and layouts. The first iteration of a run, which
loads and compiles, is left out. Where a learning run of an arm is there, its timed runs start from
the champion in the middle of it: episodes of some tasks grow with the policy from twenty steps to a
thousand. That agent is chosen once, and kept beside the timed runs.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import click
import msgspec
from plans import Plan, Run, command, config_of, execute, keys_of, runs
from run_data import Units, overhead, overlaps, units_by_kind

from poolrl.config.loading import load
from poolrl.launch.cores import simulations
from poolrl.monitoring.history import read_history
from poolrl.records.work_units import HASH_LENGTH

WARM_UP = 1
"""Iterations before those that are measured."""

START = "start.safetensors"


class Layout(NamedTuple):
    """Workers, and threads of each."""

    workers: int
    threads: int

    @property
    def name(self) -> str:
        """As in ``2 × 1``."""
        return f"{self.workers} × {self.threads}"


LAYOUTS = (Layout(1, 1), Layout(1, 2), Layout(2, 1))
"""What two cores can measure."""


class Timing(msgspec.Struct, frozen=True):
    """Some iterations of an arm, with one layout.

    Attributes:
        task, arm: of the plan.
        workers, threads: the layout.
        repeat: number of the repeat.
        branches, simulations, overlaps: as of ``RunData``.
        agent: start of the SHA-256 of the agent that it started from; empty if drawn from the seed.
        iterations: number of iterations that were measured.
        wall: seconds from the merge before them to the last of theirs.
        units: of all of them, by kind, in order of iterations.
        overhead: seconds of the pool's overhead and of waiting, by phase.
        load: mean number of processes that ran or were ready to, over the last minute.
    """

    task: str
    arm: str
    workers: int
    threads: int
    repeat: int
    branches: int
    simulations: int
    overlaps: bool
    agent: str
    iterations: int
    wall: float
    units: dict[str, Units]
    overhead: dict[str, tuple[float, float]]
    load: float

    @property
    def layout(self) -> Layout:
        return Layout(self.workers, self.threads)

    @property
    def single(self) -> bool:
        """Whether it is one process."""
        return self.branches == 1

    def by_iteration(self) -> list[dict[str, Units]]:
        """Control steps of the units of each iteration; their seconds are not known apart."""
        found: list[dict[str, Units]] = []
        for number in range(self.iterations):
            kinds = {}
            for kind, units in self.units.items():
                each = units.count // self.iterations
                own = slice(number * each, (number + 1) * each)
                steps = (units.training_steps[own], units.evaluation_steps[own])
                kinds[kind] = Units(each, tuple(steps[0]), tuple(steps[1]), {})
            found.append(kinds)
        return found


def read_timings(path: Path) -> list[Timing]:
    """All timings of a file; none if there is no file."""
    return msgspec.json.decode(path.read_bytes(), type=list[Timing]) if path.exists() else []


def write_timings(path: Path, timings: Sequence[Timing]) -> None:
    """Write timings, one a line, whole or not at all."""
    lines = ",\n".join(msgspec.json.encode(each).decode() for each in timings)
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(f"[\n{lines}\n]\n")
    new.replace(path)


def time_layouts(
    plan: Plan,
    folder: Path,
    path: Path,
    pairs: Sequence[tuple[str, str]],
    *,
    iterations: int,
    repeats: int,
) -> None:
    """Time the layouts of arms; what is in the file already is not timed again.

    Args:
        plan: of the arms.
        folder: of the learning runs; timed ones are in its folder ``timing``.
        path: of the timings.
        pairs: tasks and arms.
        iterations: to measure.
        repeats: of each.

    Raises:
        UsageError: the configuration of an arm is not valid.
    """

    def branches(task: str, arm: str) -> int:
        spec, _ = load(config_of(plan, task, arm), keys_of(plan, task, arm))
        return spec.pool.count

    timings = read_timings(path)
    done = {(t.task, t.arm, t.layout, t.repeat) for t in timings}
    for repeat in range(repeats):
        for task, arm in pairs:
            for layout in LAYOUTS:
                # The pools of one process have no work for a second worker.
                if (task, arm, layout, repeat) in done or layout.workers > branches(task, arm):
                    continue
                timing = time_layout(plan, folder, task, arm, layout, repeat, iterations)
                if timing is None:
                    continue
                timings.append(timing)
                write_timings(path, timings)
                click.echo(
                    f"{task}, {arm}, {layout.name}, repeat {repeat}: "
                    f"{timing.wall / timing.iterations:.3f} s an iteration"
                )


def time_layout(
    plan: Plan, folder: Path, task: str, arm: str, layout: Layout, repeat: int, iterations: int
) -> Timing | None:
    """Time one layout of an arm; ``None``, with a line that says so, if the run failed.

    Args:
        plan: of the arm.
        folder: of the learning runs.
        task: of the plan.
        arm: of the plan.
        layout: workers and threads.
        repeat: number of the repeat.
        iterations: to measure.
    """
    place = folder / "timing" / task / arm
    run = Run(task, arm, 0, place / f"{layout.workers}x{layout.threads}-{repeat}")
    start = start_agent(plan, folder, task, arm)
    options = ["--threads", str(layout.threads)]
    options += ["--one-worker"] if layout.workers == 1 else ["--workers", str(layout.workers)]
    if start is not None:
        options += ["--from-agent", str(start)]
    if run.folder.exists():  # of a run that was stopped
        shutil.rmtree(run.folder)
    code = execute(command(plan, run, WARM_UP + iterations, options), run.folder)
    if code:
        click.echo(f"{task}, {arm}, {layout.name}: exit code {code}: see {run.folder}.log")
        return None
    history = read_history(run.folder)
    measured = range(WARM_UP + 1, WARM_UP + iterations + 1)
    finished = {merge.iteration: merge.finished for merge in history.merges}
    spec = history.pool.spec
    return Timing(
        task=task,
        arm=arm,
        workers=layout.workers,
        threads=layout.threads,
        repeat=repeat,
        branches=spec.pool.count,
        simulations=simulations(spec),
        overlaps=overlaps(history.pool),
        agent=sha256(start.read_bytes()).hexdigest()[:HASH_LENGTH] if start is not None else "",
        iterations=iterations,
        wall=round(finished[measured[-1]] - finished[WARM_UP], 4),
        units=units_by_kind(history, measured),
        overhead=overhead(unit for unit in history.units if unit.iteration in measured),
        load=round(os.getloadavg()[0], 2),
    )


def start_agent(plan: Plan, folder: Path, task: str, arm: str) -> Path | None:
    """The agent that timed runs of an arm start from; ``None`` if it has no learning run.

    Args:
        plan: of the arm.
        folder: of the learning runs.
        task: of the plan.
        arm: of the plan.
    """
    kept = folder / "timing" / task / arm / START
    if kept.exists():
        return kept
    for run in runs(plan, folder):
        if (run.task, run.arm) == (task, arm) and (run.folder / "pool.toml").exists():
            history = read_history(run.folder)
            if not history.merges:
                continue
            middle = history.merges[len(history.merges) // 2]
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_bytes(history.pool.deposit_store().champion(middle.champion))
            return kept
    return None
