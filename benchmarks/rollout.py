"""Rollouts with the policy in the loop against `mujoco.batch` stepping alone.

    python benchmarks/rollout.py [--rounds 7] [--output results/benchmarks/rollout.md]

`rollout` is poolrl.learn.rollout.collect: observations, rewards, time limit, the default network's
sampled actions, their log densities and values, and all that an update needs kept. `batch` starts
in the same states and steps through the same controls, so that the physics does the same work, and
does nothing else; `evaluation` and its own `batch` likewise, with deterministic actions. They are
timed in turn on one core, round by round, so that a machine whose speed drifts slows all alike; a
ratio is the median over rounds.
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
from poolrl.config import Spec  # noqa: E402
from poolrl.learn import initial_agent  # noqa: E402
from poolrl.learn.evaluate import evaluate  # noqa: E402
from poolrl.learn.rollout import collect, play  # noqa: E402
from poolrl.seeding import Purpose, Streams  # noqa: E402
from poolrl.tasks.mujoco import MujocoTask  # noqa: E402
from poolrl.versions import versions  # noqa: E402

STEPS = 250
"""Control steps of each simulation in a round."""


Times = dict[str, list[float]]


def step_alone(task: MujocoTask, resets: list[np.random.Generator], controls: np.ndarray) -> float:
    """Seconds of stepping a batch through controls of shape (steps, simulations, nu)."""
    batch = Batch(task.model, task.num_simulations, 1)
    ctrl = batch.bind("ctrl")
    for i, generator in enumerate(resets):
        batch.qpos[i], batch.qvel[i] = task.draw_state(generator)
    batch.forward()
    start = time.perf_counter()
    for control in controls:
        ctrl[:] = control
        batch.step(nstep=task.frame_skip)
    return time.perf_counter() - start


def measure(spec: Spec, simulations: int, rounds: int) -> Times:
    """Seconds of each round, by what was timed."""
    task = tasks.make(spec.task.id, simulations, max_episode_steps=STEPS)
    assert isinstance(task, MujocoTask)
    agent = initial_agent(spec, task, Streams(0))
    times: Times = {"batch": [], "rollout": [], "calm batch": [], "evaluation": []}
    for turn in range(rounds + 1):
        streams = Streams(turn)

        def resets(streams: Streams = streams) -> list[np.random.Generator]:
            return streams.generators(Purpose.RESET, 0, simulations)

        def noise(streams: Streams = streams) -> np.random.Generator:
            return streams.generator(Purpose.ACTION)

        sampled = [step.act.action for step in play(agent.policy, task, resets(), noise())]
        calm = [step.act.action for step in play(agent.policy, task, resets())]
        seconds = {"batch": step_alone(task, resets(), np.array(sampled))}
        start = time.perf_counter()
        collect(agent.policy, task, resets(), noise())
        seconds["rollout"] = time.perf_counter() - start
        seconds["calm batch"] = step_alone(task, resets(), np.array(calm))
        start = time.perf_counter()
        evaluate(agent.policy, task, resets())
        seconds["evaluation"] = time.perf_counter() - start
        if turn:  # the first round warms caches
            for name, spent in seconds.items():
                times[name].append(spent)
    return times


def ratio(times: Times, alone: str, other: str) -> float:
    """Median over rounds of how fast `other` was, as a part of `alone`."""
    return statistics.median(a / b for a, b in zip(times[alone], times[other], strict=True))


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
        times = measure(spec, simulations, rounds)
        steps = STEPS * simulations
        lines.append(
            f"| {spec.task.id} | {simulations} "
            f"| {steps / statistics.median(times['batch']):,.0f} "
            f"| {steps / statistics.median(times['rollout']):,.0f} "
            f"| {ratio(times, 'batch', 'rollout'):.3f} "
            f"| {ratio(times, 'calm batch', 'evaluation'):.3f} |"
        )
    table = "\n".join(lines)
    click.echo(table)
    if output:
        output.parent.mkdir(parents=True, exist_ok=True)
        used = ", ".join(f"{name} {version}" for name, version in versions().items())
        output.write_text(
            "# Rollouts against stepping alone\n\n"
            f"`python benchmarks/rollout.py --rounds {rounds}`, one core, medians over rounds.\n\n"
            f"{table}\n\n{used}\n"
        )


if __name__ == "__main__":
    main()
