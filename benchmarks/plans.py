"""Plans of benchmarks: arms that differ in a few keys, over tasks and seeds.

A plan is a TOML file that names seeds, tasks (a configuration, keys), arms (keys) and keys that all
have in common:

    seeds = 5                      # 0 to 4; or a list, as in [3, 4]
    reach = 0.9                    # a score, for the steps that it takes; may be left out
    [tasks.hopper]
    config = "configs/hopper.toml"
    iterations = 60
    set = {"pool.count" = 1}
    [common]
    "pool.evaluate_episodes" = 5
    [arms.joint]
    "learner.gradient_clipping" = "joint"
    [arms.joint.hopper]            # on this task alone
    config = "configs/one_process/hopper.toml"
    "learner.learning_rate" = 0.001

Later ones overrule earlier ones: the keys in common, of the task, of the arm, of the arm on the
task. An arm may name a configuration of its own, and with ``tasks`` the only tasks that it is for.
With ``threads_as`` it names another arm whose branches compute alike, for what threads gain.
Paths of configurations are relative to the repository. Each run is a pool in
FOLDER/TASK/ARM/SEED.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click

Plan = dict[str, Any]

REPOSITORY = Path(__file__).resolve().parent.parent
_OWN = ("config", "tasks", "threads_as")
"""Words of an arm that are no keys of a configuration, all of which have a dot or are tables."""


class Run(NamedTuple):
    """One pool of a plan."""

    task: str
    arm: str
    seed: int
    folder: Path


def read_plan(path: Path) -> Plan:
    """Read a plan.

    Raises:
        click.UsageError: it is no TOML, or an arm is for a task that there is not.
    """
    try:
        plan = tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise click.UsageError(f"{path}: {error}") from error
    for arm, table in plan["arms"].items():
        for task in table.get("tasks", ()):
            if task not in plan["tasks"]:
                raise click.UsageError(f"{path}: arms.{arm}.tasks: there is no task {task}")
    return plan


def seeds_of(plan: Plan) -> list[int]:
    """Seeds of a plan: a list, or the first so many."""
    seeds = plan["seeds"]
    return list(seeds) if isinstance(seeds, list) else list(range(seeds))


def arms_of(plan: Plan, task: str) -> list[str]:
    """Arms that run on a task."""
    return [arm for arm, table in plan["arms"].items() if task in table.get("tasks", (task,))]


def runs(plan: Plan, folder: Path, seeds: Iterable[int] | None = None) -> list[Run]:
    """All runs, seeds outermost, so that what is there early is balanced.

    Args:
        plan: of the runs.
        folder: that the pools are in.
        seeds: other than the plan's.
    """
    return [
        Run(task, arm, seed, folder / task / arm / str(seed))
        for seed in (seeds_of(plan) if seeds is None else seeds)
        for task in plan["tasks"]
        for arm in arms_of(plan, task)
    ]


def chosen(
    plan: Plan, folder: Path, tasks: Sequence[str], arms: Sequence[str], seeds: str | None = None
) -> list[Run]:
    """Runs of a command line's options.

    Args:
        plan: of the runs.
        folder: that the pools are in.
        tasks: names of tasks; all if there is none.
        arms: names of arms; all if there is none.
        seeds: as in ``0,1,2``; the plan's by default.

    Raises:
        click.UsageError: a name is not in the plan, or a seed is no number.
    """
    for kind, names in (("tasks", tasks), ("arms", arms)):
        for name in names:
            if name not in plan[kind]:
                known = ", ".join(plan[kind])
                raise click.UsageError(f"{name!r} is not among the plan's {kind}: {known}")
    try:
        numbers = None if seeds is None else [int(word) for word in seeds.split(",")]
    except ValueError as error:
        raise click.UsageError(f"--seeds {seeds}: write 0,1,2") from error
    return [
        run
        for run in runs(plan, folder, numbers)
        if run.task in (tasks or (run.task,)) and run.arm in (arms or (run.arm,))
    ]


def keys_of(plan: Plan, task: str, arm: str) -> dict[str, Any]:
    """Keys of a run's configuration that the plan sets."""
    table = plan["arms"][arm]
    own = {k: v for k, v in table.items() if k not in plan["tasks"] and k not in _OWN}
    there = {k: v for k, v in table.get(task, {}).items() if k not in _OWN}
    return {**plan.get("common", {}), **plan["tasks"][task].get("set", {}), **own, **there}


def config_of(plan: Plan, task: str, arm: str) -> Path | None:
    """The configuration that a run starts from; ``None`` for poolrl's own."""
    table = plan["arms"][arm]
    for place in (table.get(task, {}), table, plan["tasks"][task]):
        if "config" in place:
            return REPOSITORY / str(place["config"])
    return None


def command(
    plan: Plan, run: Run, iterations: int | None = None, options: Sequence[str] = ()
) -> list[str]:
    """The command line of a run.

    Args:
        plan: of the run.
        run: the run.
        iterations: number of its last iteration; the task's by default.
        options: more options of ``poolrl run``.
    """
    config = config_of(plan, run.task, run.arm)
    last = plan["tasks"][run.task]["iterations"] if iterations is None else iterations
    words = ["run", *([str(config)] if config else []), "--trust"]
    words += ["--seed", str(run.seed), "--iterations", str(last)]
    for key, value in keys_of(plan, run.task, run.arm).items():
        words += ["--set", f"{key}={json.dumps(value)}"]
    return [
        # -P: the poolrl that this process imports, not one in the working directory.
        *(sys.executable, "-P", "-m", "poolrl", *words),
        *("--pool-directory", str(run.folder), *options),
    ]


def execute(words: Sequence[str], folder: Path) -> int:
    """Run a command; its output is appended to a file beside a pool's folder.

    Returns:
        Its exit code.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Not with_suffix: a folder's name may have a dot.
    with (folder.parent / f"{folder.name}.log").open("a") as out:
        return subprocess.run(words, stdout=out, stderr=out, check=False).returncode
