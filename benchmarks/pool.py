"""Overhead of the pool: claims, files, merges, polling; idleness at the barrier is separate.

    python benchmarks/pool.py [--output results/benchmarks/pool.md] [--directory D] [--quick]

Three measurements, in a new directory under D (by default the system's temporary one):

1. The swimmer with the default configuration, ten branches and two workers: how a worker's time
   divides into training, evaluation, the pool's own cost by kind, and waiting for others.
2. Merge rules that read the agents of all branches, with the agents of the swimmer and of
   HalfCheetah: the pool's own cost as a share of the time in which workers do not wait.
3. A task that costs nothing (Plateau-v0, a learner without torch), one worker, with 10, 100 and
   1,000 branches: wall and CPU milliseconds of the pool's own cost a branch.

The load of the machine is printed beside them: on busy cores, wall times are too long.
"""

from __future__ import annotations

import report  # isort: skip  (before NumPy is loaded)

import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import click

from poolrl.config.loading import load
from poolrl.config.run_options import RunOptions
from poolrl.monitoring.history import WORK, History, read_history
from poolrl.pool.directory import Pool, make_pool
from poolrl.records.records import Seconds

FREE = {
    "task.id": "Plateau-v0",
    "task.max_episode_steps": 1,
    "network.actor": [],
    "network.critic": [],
    "learner.name": "climb",
    "pool.iterate_episodes": 1,
    "pool.evaluate_episodes": 2,
    "pool.closing_episodes": 2,
}

HALF_CHEETAH = Path(__file__).parent.parent / "configs" / "half_cheetah.toml"
CONFIGURATIONS = {"Swimmer": None, "HalfCheetah": HALF_CHEETAH}
RULES: dict[str, dict[str, object]] = {
    "best": {},
    "candidates = [1, 2, 4]": {"merge.candidates": [1, 2, 4]},
    "mean": {"merge.rule": "mean", "selection.keep_parent": False},
}
KINDS = ("claim", "load", "look", "merge", "publish")
"""Of the pool's own cost; `merge` has the making of candidates and means."""


def run(pool: Pool, workers: int, iterations: int) -> History:
    """Let workers serve a pool to its end."""
    command = [sys.executable, "-P", "-m", "poolrl", "worker", "--iterations", str(iterations)]
    command += ["--pool-directory", str(pool.layout.root)]
    processes = [
        subprocess.Popen([*command, "--prefer", str(i)], stderr=subprocess.DEVNULL)
        for i in range(workers)
    ]
    for process in processes:
        if process.wait():
            raise SystemExit(f"a worker ended with exit code {process.returncode}")
    return read_history(pool.layout.root)


def spent(history: History) -> dict[str, Seconds]:
    """Wall and CPU seconds of all workers by phase, the pool's first iteration left out."""
    total: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for unit in history.units:
        if unit.iteration > 1 and unit.kind != "closing":
            for phase, seconds in unit.seconds.items():
                total[phase][0] += seconds.wall
                total[phase][1] += seconds.cpu
    return {phase: Seconds(*both) for phase, both in total.items()}


def divide(history: History) -> str:
    """Format a table of the workers' time by phase."""
    phases = spent(history)
    wall = sum(seconds.wall for seconds in phases.values())
    own = [phase for phase in phases if phase not in (*WORK, "waiting")]

    def row(name: str, parts: list[str]) -> list[str]:
        walls = sum(phases[part].wall for part in parts)
        cpus = sum(phases[part].cpu for part in parts)
        return [name, f"{walls:.2f}", f"{100 * walls / wall:.2f} %", f"{cpus:.2f}"]

    rows = [row(phase, [phase]) for phase in WORK]
    rows += [row(f"pool: {phase}", [phase]) for phase in sorted(own)]
    rows.append(row("**pool, all kinds**", own))
    rows.append(row("idle at the barrier", ["waiting"] if "waiting" in phases else []))
    return report.table(["phase", "wall, s", "of worker time", "CPU, s"], rows)


def compare_rules(root: Path, iterations: int) -> str:
    """Format a table of the pool's own cost by merge rule, with ten branches and two workers."""
    rows = []
    for task, configuration in CONFIGURATIONS.items():
        for rule, keys in RULES.items():
            spec, _ = load(configuration, keys)
            pool = make_pool(root / f"{task} {rule}", spec, RunOptions(iterations=iterations))
            history = run(pool, workers=2, iterations=iterations)
            agent = pool.layout.resolve(history.merges[-1].champion.path).stat().st_size
            phases = spent(history)
            waiting = phases.pop("waiting", Seconds()).wall
            wall, cpu = (sum(getattr(s, t) for s in phases.values()) for t in ("wall", "cpu"))
            own = {kind: phases.get(kind, Seconds()) for kind in KINDS}
            rows.append(
                [
                    f"{task}, {spec.pool.count} branches, {rule}",
                    f"{agent / 1e6:.2f}",
                    *(f"{100 * seconds.wall / wall:.2f}" for seconds in own.values()),
                    f"**{100 * sum(seconds.wall for seconds in own.values()) / wall:.2f}**",
                    f"{100 * sum(seconds.cpu for seconds in own.values()) / cpu:.2f}",
                    f"{100 * waiting / (wall + waiting):.1f}",
                ]
            )
    head = ["pool", "agent, MB", *(f"{kind}, %" for kind in KINDS)]
    return report.table([*head, "**all, %**", "of CPU time, %", "idle at the barrier, %"], rows)


def machine() -> str:
    """The load of this machine, in words."""
    load, cores = os.getloadavg()[1], len(os.sched_getaffinity(0))
    shared = ": shared with other work" if load > cores + 1 else ""
    return f"{cores} cores, load average {load:.1f} over the last five minutes{shared}"


def scale(root: Path, branches: int, iterations: int) -> tuple[float, float]:
    """Wall and CPU milliseconds of the pool's own cost, a branch."""
    spec, _ = load(None, FREE | {"pool.count": branches})
    pool = make_pool(root / f"free-{branches}", spec, RunOptions(iterations=iterations))
    history = run(pool, workers=1, iterations=iterations)
    phases = [s for phase, s in spent(history).items() if phase not in (*WORK, "waiting")]
    units = branches * (iterations - 1)
    return (
        1000 * sum(seconds.wall for seconds in phases) / units,
        1000 * sum(seconds.cpu for seconds in phases) / units,
    )


@click.command()
@click.option("--output", type=click.Path(path_type=Path))
@click.option("--directory", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--quick", is_flag=True, help="Fewer iterations.")
def main(output: Path | None, directory: Path | None, quick: bool) -> None:
    """Print tables, and write them to a file."""
    with tempfile.TemporaryDirectory(dir=directory) as folder:
        root = Path(folder)
        spec, _ = load(None)
        iterations = 3 if quick else 8
        pool = make_pool(root / "swimmer", spec, RunOptions(iterations=iterations))
        phases = divide(run(pool, workers=2, iterations=iterations))
        rules = compare_rules(root, 3 if quick else 5)
        rows = []
        sizes = {10: 30, 100: 5, 1000: 2} if quick else {10: 100, 100: 11, 1000: 3}
        for branches, count in sizes.items():
            wall, cpu = scale(root, branches, count)
            rows.append([str(branches), f"{wall:.2f}", f"{cpu:.2f}"])
    body = "\n\n".join(
        [
            machine(),
            f"## Swimmer, {spec.pool.count} branches, two workers, iterations 2 to {iterations}",
            phases,
            "## Merge rules, two workers, from iteration 2 on",
            "Percent of the time in which workers do not wait.",
            rules,
            "## A task that costs nothing, one worker",
            report.table(["branches", "pool's own cost a branch, wall ms", "CPU ms"], rows),
        ]
    )
    command = f"python benchmarks/pool.py{' --quick' if quick else ''}"
    report.keep(output, "What the pool itself costs", command, body)


if __name__ == "__main__":
    main()
