"""Rollouts with the policy in the loop against `mujoco.batch` stepping alone.

    python benchmarks/rollout.py [--rounds 7] [--output results/benchmarks/rollout.md]

Both are timed in turn on one core, round by round, so that a machine whose speed drifts slows both
alike; the ratio is the median over rounds. `batch` steps the same model with random controls and
does nothing else; `rollout` is poolrl.learn.rollout.collect, with observations, rewards, time limit,
the default network's actions, their log densities and values, and what an update needs kept.
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import statistics  # noqa: E402
import time  # noqa: E402
from pathlib import Path  # noqa: E402

import click  # noqa: E402
import numpy as np  # noqa: E402
from mujoco.batch import Batch  # noqa: E402

from poolrl import config, tasks  # noqa: E402
from poolrl.learn import initial_agent  # noqa: E402
from poolrl.learn.evaluate import evaluate  # noqa: E402
from poolrl.learn.rollout import collect  # noqa: E402
from poolrl.seeding import Purpose, Streams  # noqa: E402
from poolrl.tasks.mujoco import MujocoTask  # noqa: E402
from poolrl.versions import versions  # noqa: E402

STEPS = 250
"""Control steps of each simulation in a round."""


def step_alone(task: MujocoTask, controls: np.ndarray) -> float:
    """Seconds of stepping the batch alone."""
    batch = Batch(task.model, task.num_simulations, 1)
    ctrl = batch.bind("ctrl")
    start = time.perf_counter()
    for control in controls:
        ctrl[:] = control
        batch.step(nstep=task.frame_skip)
    return time.perf_counter() - start


@click.command()
@click.option("--rounds", default=7, show_default=True)
@click.option("--output", type=click.Path(path_type=Path))
def main(rounds: int, output: Path | None) -> None:
    """Print a table, and write it to a file."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    spec, _ = config.load(None)
    lines = [
        "| task | simulations | batch alone, steps/s | rollout, steps/s | rollout / batch "
        "| evaluation / batch |",
        "|---|---|---|---|---|---|",
    ]
    for simulations in (10, 64):
        task = tasks.make(spec.task.id, simulations, max_episode_steps=STEPS)
        assert isinstance(task, MujocoTask)
        agent = initial_agent(spec, task, Streams(0))
        rng = np.random.default_rng(0)
        controls = rng.uniform(-1, 1, (STEPS, simulations, task.model.nu))
        seconds: dict[str, list[float]] = {"batch": [], "rollout": [], "evaluation": []}
        for turn in range(rounds + 1):
            resets = Streams(turn).generators(Purpose.RESET, 0, simulations)
            alone = step_alone(task, controls)
            start = time.perf_counter()
            collect(agent.policy, task, resets, rng)
            rolled = time.perf_counter() - start
            start = time.perf_counter()
            evaluate(agent.policy, task, resets)
            evaluated = time.perf_counter() - start
            if turn:  # the first round warms caches
                seconds["batch"].append(alone)
                seconds["rollout"].append(rolled)
                seconds["evaluation"].append(evaluated)
        steps = STEPS * simulations

        def ratio(name: str, seconds: dict[str, list[float]] = seconds) -> float:
            pairs = zip(seconds["batch"], seconds[name], strict=True)
            return statistics.median(alone / other for alone, other in pairs)

        lines.append(
            f"| {spec.task.id} | {simulations} "
            f"| {steps / statistics.median(seconds['batch']):,.0f} "
            f"| {steps / statistics.median(seconds['rollout']):,.0f} "
            f"| {ratio('rollout'):.3f} | {ratio('evaluation'):.3f} |"
        )
    table = "\n".join(lines)
    click.echo(table)
    if output:
        output.parent.mkdir(parents=True, exist_ok=True)
        used = ", ".join(f"{name} {version}" for name, version in versions().items())
        output.write_text(
            f"# Rollouts against stepping alone\n\n`python benchmarks/rollout.py --rounds {rounds}`, "
            f"one core, medians of {rounds} rounds in turn.\n\n{table}\n\n{used}\n"
        )


if __name__ == "__main__":
    main()
