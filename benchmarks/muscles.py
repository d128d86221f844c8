"""How fast the tasks with muscles are, beside what their physics alone takes.

    python benchmarks/muscles.py [TASK ...] [--rounds 9] [--output results/benchmarks/muscles.md]

The same excitations from the same states, 16 simulations on one core, in control steps a second:

- `batch`: `mujoco.batch` alone, on myo-sim's model as it is, with no field read;
- `trimmed batch`: that on the task's model, without the sites that nothing refers to;
- `task`: poolrl's task, so with observations, rewards, ends of episodes and resets;
- `actuator_state`: the task, asked for the state of its muscles after every step too;
- the cost of a probe: how much longer the trimmed batch takes if the state of its muscles is asked
  for after every step, as of any `MujocoTask` that does not observe them.

A ratio is the median over rounds, in which all are timed in turn, by the processor's time. MuJoCo's
clock is stopped for all. Excitations are uniform in [0, 1], and a simulation that ends is reset, in
a batch to the same state.
"""

from __future__ import annotations

import report  # isort: skip  (before NumPy is loaded)

import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
import mujoco
import numpy as np
from mujoco.batch import Batch
from recording import Recording

from poolrl import tasks
from poolrl.tasks.mujoco import MujocoTask
from poolrl.tasks.muscles import MuscleTask
from poolrl.tasks.muscles.legs import Legs
from poolrl.tasks.muscles.models import load_body
from poolrl.tasks.muscles.reach import BodyReach
from poolrl.tasks.registry import REGISTRY

SIMULATIONS = 16
STEPS = 100
"""Control steps of each simulation in a round."""

Times = dict[str, list[float]]


class Plain(MujocoTask):
    """The model with an observation of joints alone."""

    def reward(self, action: Any) -> Any:
        return np.zeros(self.num_simulations)


def given(actions: np.ndarray, k: int, observation: np.ndarray) -> np.ndarray:
    """The actions of a step, of (steps, simulations, muscles)."""
    return np.asarray(actions[k])


def whole(task: MuscleTask) -> mujoco.MjModel:
    """The model of a task with all of its sites."""
    if isinstance(task, BodyReach):
        return load_body(task.body, tip=task.tip_name, whole=True)
    assert isinstance(task, Legs)
    return load_body(task.body, level=True, whole=True)


def measure(task_id: str, rounds: int) -> Times:
    """Processor seconds of each round, by what was timed."""
    task = tasks.make(task_id, SIMULATIONS)
    assert isinstance(task, MuscleTask)
    skip = task.frame_skip
    batches = [Batch(model, SIMULATIONS, 1) for model in (whole(task), task.model)]
    plain = Plain(SIMULATIONS, model=task.model, frame_skip=skip, max_episode_steps=STEPS)
    times: Times = {}
    for turn in range(rounds + 1):
        random = np.random.default_rng(turn)
        size = (STEPS, SIMULATIONS, task.model.nu)
        actions = random.uniform(0, 1, size).astype(np.float32)
        recording = Recording(task, turn, STEPS, partial(given, actions))
        runs: dict[str, Callable[[], None]] = {
            "batch": partial(recording.step, batches[0], skip),
            "trimmed batch": partial(recording.step, batches[1], skip),
            "task": partial(recording.play, task),
            "actuator_state": partial(recording.play, task, ask=task.actuator_state),
            "plain": partial(recording.step, plain.batch, skip),
            "probe": partial(recording.step, plain.batch, skip, plain.actuator_state),
        }
        for name, run in runs.items():
            begin = time.process_time()
            run()
            if turn:  # the first round warms caches
                times.setdefault(name, []).append(time.process_time() - begin)
    return times


def ratio(times: Times, name: str, other: str = "batch") -> float:
    """Median over rounds of how many times as fast as another one something was."""
    return statistics.median(a / b for a, b in zip(times[other], times[name], strict=True))


@click.command()
@click.argument("task_ids", nargs=-1)
@click.option("--rounds", default=9, show_default=True)
@click.option("--output", type=click.Path(path_type=Path))
def main(task_ids: tuple[str, ...], rounds: int, output: Path | None) -> None:
    """Print a table, and write it to a file."""
    report.one_core()
    bodies = [i for i in REGISTRY if i.startswith("Muscle") and i != "MuscleReach-v0"]
    rows, shares = [], {}
    for task_id in task_ids or bodies:
        click.echo(f"{task_id} …", err=True)
        times = measure(task_id, rounds)
        rates = [
            f"{STEPS * SIMULATIONS / statistics.median(times[name]):,.0f}"
            for name in ("batch", "trimmed batch", "task", "actuator_state")
        ]
        shares[task_id] = ratio(times, "task")
        others = ratio(times, "task", "trimmed batch"), ratio(times, "actuator_state")
        texts = [f"{share:.3f}" for share in (shares[task_id], *others)]
        rows.append([task_id, *rates, *texts, f"{ratio(times, 'plain', 'probe') - 1:.1%}"])
    head = ["task", "batch", "trimmed batch", "task", "actuator_state"]
    head += ["task / batch", "task / trimmed batch", "actuator_state / batch"]
    lowest = min(shares, key=shares.__getitem__)
    lines = [
        report.table([*head, "cost of a probe"], rows),
        "",
        f"- task / batch: geometric mean {report.geometric_mean(shares.values()):.3f}, lowest "
        f"{shares[lowest]:.3f} ({lowest})",
    ]
    command = " ".join(["python benchmarks/muscles.py", *task_ids, f"--rounds {rounds}"])
    title = f"Tasks with muscles, {SIMULATIONS} simulations on one core, control steps a second"
    report.keep(output, title, command, "\n".join(lines))


if __name__ == "__main__":
    main()
