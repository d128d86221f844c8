"""What DEP costs, beside the physics of the body that it moves and the published controller.

    python benchmarks/dep.py [TASK ...] [--published FOLDER/deprl/dep_controller.py]
        [--rounds 9] [--output results/benchmarks/dep.md]

For each task, 16 simulations on one core, milliseconds a control step of all of them:

- `physics`: ``mujoco.batch`` alone, with actions of DEP;
- `state`: lengths and forces of the actuators (``actuator_state``), and their scaling to sensors;
- `DEP`: a step of the controllers with the preset `myosuite`, once their windows are full;
- `published`: the same with deprl's controller, on one thread of torch; its file comes from
  ``pip install --target FOLDER --no-deps --ignore-requires-python deprl==0.5.0``, and poolrl does
  not use it otherwise.

All are timed in turn, round by round, in CPU time of this process, so that a machine whose speed
drifts slows all alike; a ratio is the median over rounds.
"""

from __future__ import annotations

import report  # isort: skip  (before NumPy is loaded)

import importlib.util
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
from mujoco.batch import Batch

from poolrl import tasks
from poolrl.config.exploration import DEPSpec
from poolrl.dep import DEP, PRESETS, SensorScaling
from poolrl.rollouts.exploring import check_explorable
from poolrl.seeding import Purpose, Streams

SIMULATIONS = 16
TASKS = ("MuscleElbowReach-v0", "MuscleArmReach-v0", "MuscleLegsWalk-v0", "Quadruped-v0")
PRESET = PRESETS["myosuite"]
STEPS = 50
"""Control steps of a round."""

FULL = 60
"""Control steps after which windows are full."""


def published_controller(path: Path, num_actuators: int, parameters: dict[str, Any]) -> Any:
    """The published controller, from the path of its file, with parameters beside its defaults."""
    import torch
    from gymnasium.spaces import Box

    spec = importlib.util.spec_from_file_location("published_dep", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    torch.set_num_threads(1)
    controller = module.DEP(path.parent / "param_files" / "default_agents.json")
    controller.params |= parameters
    space = Box(-1.0, 1.0, (num_actuators,))
    controller.initialize(space, space)
    return controller


def prepared(task_id: str, published: Path | None) -> tuple[int, dict[str, Callable[[], None]]]:
    """Actuators of a task, and functions that make STEPS control steps, by name."""
    task: Any = tasks.make(task_id, SIMULATIONS)
    check_explorable(DEPSpec(), task, task_id)
    ids = np.arange(SIMULATIONS)
    task.reset(ids, Streams(0).generators(Purpose.RESET, 0, SIMULATIONS))
    actuators = task.actuator_state().length.shape[1]
    scaling, controller = (
        SensorScaling(SIMULATIONS, actuators),
        DEP(SIMULATIONS, actuators, **PRESET),
    )
    space = task.action_space
    states, controls, sensors = [], [], []
    for step in range(FULL + STEPS):
        state = task.actuator_state()
        seen = scaling(state.length, state.force)
        y = controller.step(seen)
        if step >= FULL:
            states.append(task.batch.state.copy())
            sensors.append(seen)
        task.step((space.low + space.high) / 2 + y * (space.high - space.low) / 2)
        if step >= FULL:
            controls.append(task.ctrl.copy())
    batch = Batch(task.model, SIMULATIONS, 1)
    ctrl = batch.bind("ctrl")

    def physics() -> None:
        batch.state[...] = states[0]
        for control in controls:
            ctrl[:] = control
            batch.step(None, task.frame_skip)

    def state_of_actuators() -> None:
        for _ in range(STEPS):
            state = task.actuator_state()
            scaling(state.length, state.force)

    def dep() -> None:
        for seen in sensors:
            controller.step(seen)

    timed = {"physics": physics, "state": state_of_actuators, "DEP": dep}
    if published is not None:
        other = published_controller(published, actuators, PRESET)
        for _ in range(FULL // STEPS + 1):
            for seen in sensors:
                other.step(seen)

        def original() -> None:
            for seen in sensors:
                other.step(seen)

        timed["published"] = original
    return actuators, timed


def milliseconds(run: Callable[[], None]) -> float:
    """CPU time of a control step."""
    start = time.process_time()
    run()
    return 1e3 * (time.process_time() - start) / STEPS


@click.command(help=__doc__)
@click.argument("task_ids", nargs=-1)
@click.option("--published", type=click.Path(exists=True, path_type=Path))
@click.option("--rounds", default=9, show_default=True)
@click.option("--output", type=click.Path(path_type=Path))
def main(
    task_ids: tuple[str, ...], published: Path | None, rounds: int, output: Path | None
) -> None:
    """Run the benchmark."""
    report.one_core()
    rows = []
    for task_id in task_ids or TASKS:
        actuators, timed = prepared(task_id, published)
        runs = [{name: milliseconds(run) for name, run in timed.items()} for _ in range(rounds)]
        median = {name: statistics.median(run[name] for run in runs) for name in timed}
        share = statistics.median(run["DEP"] / run["physics"] for run in runs)
        whole = statistics.median((run["DEP"] + run["state"]) / run["physics"] for run in runs)
        row = [task_id, str(actuators)]
        row += [f"{median[name]:.3f}" for name in ("physics", "state", "DEP")]
        row += [f"{100 * share:.1f} %", f"{100 * whole:.1f} %"]
        if published is not None:
            faster = statistics.median(run["published"] / run["DEP"] for run in runs)
            row += [f"{median['published']:.2f}", f"{faster:.1f}"]
        rows.append(row)
        click.echo(" ".join(row), err=True)
    head = ["task", "actuators", "physics", "state", "DEP", "DEP / physics"]
    head += ["(DEP + state) / physics"]
    head += [] if published is None else ["published", "published / DEP"]
    given = "" if published is None else " --published …/dep_controller.py"
    report.keep(
        output,
        f"DEP for {SIMULATIONS} simulations on one core, milliseconds a control step",
        f"python benchmarks/dep.py --rounds {rounds}{given}",
        report.table(head, rows),
    )


if __name__ == "__main__":
    main()
