"""Overhead of the pool: claims, files, merges, polling; idleness at the barrier is separate.

    python benchmarks/pool.py [--output results/benchmarks/pool.md] [--directory D] [--quick]

Two measurements, in a new directory under D (by default the system's temporary one):

1. The swimmer with the default configuration, ten branches and two workers: how a worker's time
   divides into training, evaluation, the pool's own cost by kind, and waiting for others.
2. A task that costs nothing (Plateau-v0, a learner without torch), one worker, with 10, 100 and
   1,000 branches: wall and CPU milliseconds of the pool's own cost a branch.
"""

from __future__ import annotations

import report  # isort: skip  (before NumPy is loaded)

import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import click

from poolrl.config.loading import load
from poolrl.config.run_options import RunOptions
from poolrl.monitoring.history import WORK, History
from poolrl.pool.directory import Pool, make_pool, open_pool
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
    history = History(open_pool(pool.layout.root))
    history.refresh()
    return history


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
        rows = []
        sizes = {10: 30, 100: 5, 1000: 2} if quick else {10: 100, 100: 11, 1000: 3}
        for branches, count in sizes.items():
            wall, cpu = scale(root, branches, count)
            rows.append([str(branches), f"{wall:.2f}", f"{cpu:.2f}"])
    body = "\n\n".join(
        [
            f"## Swimmer, {spec.pool.count} branches, two workers, iterations 2 to {iterations}",
            phases,
            "## A task that costs nothing, one worker",
            report.table(["branches", "pool's own cost a branch, wall ms", "CPU ms"], rows),
        ]
    )
    command = f"python benchmarks/pool.py{' --quick' if quick else ''}"
    report.keep(output, "What the pool itself costs", command, body)


if __name__ == "__main__":
    main()
