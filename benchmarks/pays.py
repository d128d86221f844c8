"""When does a pool pay? Time to a target score of merge rules and of one process, by cores.

    python benchmarks/pays.py run PLAN FOLDER [--task T] [--arm A] [--seeds 0,1] [--cap MINUTES]
    python benchmarks/pays.py target PLAN FOLDER
    python benchmarks/pays.py score PLAN FOLDER [--data results/benchmarks/pays]
    python benchmarks/pays.py time PLAN FOLDER [--data results/benchmarks/pays]
    python benchmarks/pays.py show PLAN [--output results/benchmarks/pays.md]

``plans.py`` describes plans. This one has, besides: ``cap``, core-minutes of a run;
``score_every``, core-seconds between champions that count; of a task its ``target``; and
``[pilot]`` with ``seeds`` that no other run uses, the ``arm`` of one process and its ``minutes``,
after which the median score is the target: ``target`` prints it, and it is written into the plan
before other runs are scored.

1. ``run`` trains: each run is a pool in FOLDER/TASK/ARM/SEED, by one worker with one thread, since
   results do not depend on workers and threads. It is extended until the CPU seconds in its records
   reach the cap: of one process (one branch) those of training, since it is not charged for its
   evaluation, of a pool all. The same command goes on where it stopped.
2. ``score`` measures kept champions (``scoring.py`` says which) and writes what the analysis needs
   into small files, TASK-ARM-SEED.json (``run_data.py``).
3. ``time`` runs a few iterations of each arm and layout, by themselves on two cores, and writes
   what they took into timing.json (``timing.py``; ``[timing]`` has ``iterations``, ``repeats``).
4. ``show`` makes tables and pictures of those files alone (``costs.py``, ``analysis.py``).
"""

from __future__ import annotations

import report  # isort: skip  (before NumPy is loaded)

import math
import statistics
from pathlib import Path

import click
from arms import comparisons
from pays_pictures import draw
from pays_tables import body
from plans import Plan, Run, chosen, command, execute, read_plan
from run_data import RunData, data_path, read_runs, run_data, write_run
from scoring import Scores, counting, score_run
from timing import read_timings, time_layouts

from poolrl.monitoring.history import read_history

DATA = Path("results/benchmarks/pays")

TIMINGS = "timing.json"

FIRST = 2
"""Iterations of a new run, by which the number of the next ones is estimated."""

PLAN = click.argument("plan_file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
FOLDER = click.argument("folder", type=click.Path(path_type=Path))
TASK = click.option("--task", "tasks", multiple=True)
ARM = click.option("--arm", "arms", multiple=True)
DATA_FOLDER = click.option(
    "--data", type=click.Path(path_type=Path), default=DATA, show_default=True
)
SEEDS = click.option("--seeds", help="As 0,1,2; the plan's by default.")


@click.group(help=__doc__)
def main() -> None:
    """Commands."""


@main.command()
@PLAN
@FOLDER
@TASK
@ARM
@SEEDS
@click.option("--cap", type=float, help="Core-minutes of a run; the plan's by default.")
def run(
    plan_file: Path,
    folder: Path,
    tasks: tuple[str, ...],
    arms: tuple[str, ...],
    seeds: str | None,
    cap: float | None,
) -> None:
    """Train what has not been trained yet, one run after the other."""
    plan = read_plan(plan_file)
    for each in chosen(plan, folder, tasks, arms, seeds):
        extend(plan, each, 60 * (cap or plan["cap"]))


@main.command()
@PLAN
@FOLDER
@TASK
def target(plan_file: Path, folder: Path, tasks: tuple[str, ...]) -> None:
    """Train and score the pilot runs, and print each task's target."""
    plan = read_plan(plan_file)
    pilot = plan["pilot"]
    words = ",".join(map(str, pilot["seeds"]))
    there = chosen(plan, folder, tasks, [pilot["arm"]], words)
    for each in there:
        extend(plan, each, 60 * pilot["minutes"])
    for task in dict.fromkeys(each.task for each in there):
        scores = [
            score_after(plan, each, 60 * pilot["minutes"]) for each in there if each.task == task
        ]
        known = [score for score in scores if score is not None]
        listed = ", ".join("none" if s is None else report.number(s) for s in scores)
        median = f"target = {statistics.median(known):.6g}" if known else "no score"
        click.echo(f"[tasks.{task}]\n{median}  # {listed}")


@main.command()
@PLAN
@FOLDER
@TASK
@ARM
@SEEDS
@DATA_FOLDER
def score(
    plan_file: Path,
    folder: Path,
    tasks: tuple[str, ...],
    arms: tuple[str, ...],
    seeds: str | None,
    data: Path,
) -> None:
    """Measure champions, and write the files of the analysis."""
    plan = read_plan(plan_file)
    for each in chosen(plan, folder, tasks, arms, seeds):
        if (each.folder / "pool.toml").exists():
            scored = scored_run(plan, each)
            write_run(data_path(data, *each[:3]), scored)
            measured = [i.score for i in scored.iterations if i.score is not None]
            best = f"best {report.number(max(measured))}" if measured else "none"
            click.echo(f"{_name(each)}: {len(measured)} scores, {best}")


@main.command(name="time")
@PLAN
@FOLDER
@TASK
@ARM
@DATA_FOLDER
def time_arms(
    plan_file: Path, folder: Path, tasks: tuple[str, ...], arms: tuple[str, ...], data: Path
) -> None:
    """Time layouts of workers and threads."""
    plan = read_plan(plan_file)
    pairs = [(each.task, each.arm) for each in chosen(plan, folder, tasks, arms)]
    time_layouts(
        plan,
        folder,
        data / TIMINGS,
        list(dict.fromkeys(pairs)),
        iterations=plan["timing"]["iterations"],
        repeats=plan["timing"]["repeats"],
    )


@main.command()
@PLAN
@DATA_FOLDER
@click.option("--output", type=click.Path(path_type=Path), help="Tables; pictures are beside it.")
@click.option("--title", default="When a pool pays")
def show(plan_file: Path, data: Path, output: Path | None, title: str) -> None:
    """Print tables, and draw pictures beside them."""
    plan = read_plan(plan_file)
    found = comparisons(plan, read_runs(data), read_timings(data / TIMINGS))
    if not found:
        raise click.UsageError(f"{data}: no runs of this plan; see `score`")
    pictures = []
    if output is not None:
        for cores in (1, 10):
            name = f"{output.stem}-{cores}-core{'s' if cores > 1 else ''}.png"
            if draw(found, output.with_name(name), cores):
                pictures.append(name)
    text = body(plan, found, pictures)
    report.keep(output, title, f"python benchmarks/pays.py show {plan_file}", text)


def extend(plan: Plan, each: Run, cap: float) -> None:
    """Train a run until it has cost the cap, in chunks of iterations.

    Args:
        plan: of the run.
        each: the run.
        cap: seconds of one core.
    """
    done, spent, code = 0, 0.0, 0
    while True:
        if (each.folder / "pool.toml").exists():
            data = collect(plan, each, {})
            done = data.iterations[-1].number if data.iterations else 0
            spent = sum(data.charged(iteration) for iteration in data.iterations)
        if spent >= cap or code:
            break
        words = command(
            plan, each, next_iteration(done, spent, cap), ["--one-worker", "--threads", "1"]
        )
        code = execute(words, each.folder)
    failed = f", exit code {code}: see {each.folder}.log" if code else ""
    click.echo(f"{_name(each)}: {done} iterations, {spent / 60:.2f} core-minutes{failed}")


def next_iteration(done: int, spent: float, cap: float) -> int:
    """Number of the last iteration of the next chunk: by the cost of those that are done, at most
    four times as many.

    Args:
        done: iterations that were trained.
        spent: seconds that they cost.
        cap: seconds that the run may cost.
    """
    if not done or not spent:
        return done + FIRST
    return done + max(1, math.ceil(min(3 * done, (cap - spent) * done / spent)))


def collect(plan: Plan, each: Run, scores: dict[str, float | None]) -> RunData:
    """What is known of a run.

    Args:
        plan: of the run.
        each: the run.
        scores: by SHA-256 of its champions.
    """
    return run_data(
        read_history(each.folder),
        *each[:3],
        scores,
        target=plan["tasks"][each.task].get("target"),
        score_every=plan["score_every"],
    )


def scored_run(plan: Plan, each: Run) -> RunData:
    """Measure the champions of a run that decide, and those of the picture."""
    data = collect(plan, each, {})
    scores = Scores(each.folder.parent.parent / "scores.jsonl")
    history = read_history(each.folder)
    deposits = history.pool.deposit_store()
    score_run(data, lambda at: scores.of(history.merges[at].champion, deposits))
    return collect(plan, each, scores.known)


def score_after(plan: Plan, each: Run, seconds: float) -> float | None:
    """Score of the last champion that counts within so many seconds of one core, or of the first
    one; ``None`` if it diverged, or none counts.

    Args:
        plan: of the run.
        each: the run.
        seconds: charged to its arm.
    """
    data = collect(plan, each, {})
    total, within = 0.0, -1
    for position, iteration in enumerate(data.iterations):
        total += data.charged(iteration)
        if total <= seconds:
            within = position
    positions = counting(data)
    if not positions:
        return None
    position = max((p for p in positions if p <= within), default=positions[0])
    history = read_history(each.folder)
    scores = Scores(each.folder.parent.parent / "scores.jsonl")
    return scores.of(history.merges[position].champion, history.pool.deposit_store())


def _name(each: Run) -> str:
    return f"{each.task}, {each.arm}, seed {each.seed}"


if __name__ == "__main__":
    main()
