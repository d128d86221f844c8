"""How fast the imitation of the rat is, beside what its physics alone takes.

    poolrl clips synthesize -o CLIPS.h5 --clips 10
    python benchmarks/rodent.py CLIPS.h5 [--rounds 3] [--steps 25]
        [--output results/benchmarks/rodent.md]

64 simulations of `RodentImitation-v0`, from the physics to the policy in the loop, in control steps
a second of the processor's time:

- `batch`: `mujoco.batch` alone, with the same controls from the same states;
- `task`: with observations, rewards, ends of episodes and resets;
- `policy`: with a new policy of the default network (64-64, beta) in the loop.

Then, in seconds that pass, `policy` with two threads in one process, and in two processes side by
side with half of the simulations each. All are timed in turn, round by round; a ratio is the median
over rounds.
"""

from __future__ import annotations

import report  # isort: skip  (before NumPy is loaded)

import multiprocessing
import statistics
import time
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import click
import numpy as np
from mujoco.batch import Batch
from recording import Recording

from poolrl import tasks
from poolrl.algorithms.training import initial_agent
from poolrl.config.loading import load
from poolrl.parallel import use_threads
from poolrl.seeding import Streams
from poolrl.tasks.mujoco import MujocoTask

TASK = "RodentImitation-v0"
SIMULATIONS = 64


class Loop:
    """A task with a policy in the loop."""

    def __init__(self, clips: str, simulations: int) -> None:
        keys = {"task.id": TASK, "task.kwargs.clips": clips}
        made = tasks.make(TASK, simulations, kwargs={"clips": clips})
        assert isinstance(made, MujocoTask)
        self.task = made
        self._policy = initial_agent(load(None, keys)[0], made, Streams(0)).policy

    def act(self, generator: np.random.Generator, k: int, observation: np.ndarray) -> np.ndarray:
        """Sampled actions."""
        return np.asarray(self._policy.act(observation, generator=generator).action)

    def record(self, turn: int, steps: int) -> Recording:
        """Play a round; see ``Recording``."""
        return Recording(self.task, turn, steps, partial(self.act, np.random.default_rng(turn)))


def side(connection: Connection, clips: str, simulations: int, steps: int) -> None:
    """A process that plays a round for each number that it receives, until it receives ``None``."""
    loop = Loop(clips, simulations)
    connection.send(None)
    while (turn := connection.recv()) is not None:
        loop.record(turn, steps)
        connection.send(None)


def passed(call: Any) -> float:
    """Seconds that pass during a call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


@click.command()
@click.argument("clips", type=click.Path(exists=True, path_type=Path))
@click.option("--rounds", default=3, show_default=True)
@click.option("--steps", default=25, show_default=True)
@click.option("--output", type=click.Path(path_type=Path))
def main(clips: Path, rounds: int, steps: int, output: Path | None) -> None:
    """Print a table, and write it to a file."""
    path = str(clips.resolve())
    loop = Loop(path, SIMULATIONS)
    task, batch = loop.task, Batch(loop.task.model, SIMULATIONS, 1)
    with use_threads(2):
        threaded = Loop(path, SIMULATIONS)
    context = multiprocessing.get_context("spawn")
    ends = []
    for _ in range(2):
        own, other = context.Pipe()
        arguments = (other, path, SIMULATIONS // 2, steps)
        context.Process(target=side, args=arguments, daemon=True).start()
        own.recv()
        ends.append(own)

    def both(turn: int) -> None:
        for end in ends:
            end.send(turn)
        for end in ends:
            end.recv()

    times: dict[str, list[float]] = {}
    for turn in range(rounds + 1):
        recording = loop.record(turn, steps)
        random = partial(loop.act, np.random.default_rng(turn))
        for name, run in {
            "batch": partial(recording.step, batch, task.frame_skip),
            "task": partial(recording.play, task),
            "policy": partial(recording.play, task, random),
        }.items():
            start = time.process_time()
            run()
            times.setdefault(name, []).append(time.process_time() - start)
        times.setdefault("threads", []).append(passed(partial(threaded.record, turn, steps)))
        times.setdefault("processes", []).append(passed(partial(both, turn)))
    for end in ends:
        end.send(None)

    def ratio(name: str, other: str) -> str:
        """How many times as fast as another one something was; the first round warms caches."""
        return f"{statistics.median(np.array(times[other][1:]) / times[name][1:]):.3f}"

    count = steps * SIMULATIONS
    rates = [f"{count / statistics.median(seconds[1:]):,.0f}" for seconds in times.values()]
    head = [*list(times)[:3], "two threads", "two processes", "task / batch", "policy / batch"]
    row = [*rates, ratio("task", "batch"), ratio("policy", "batch"), ratio("threads", "processes")]
    command = f"python benchmarks/rodent.py CLIPS.h5 --rounds {rounds} --steps {steps}"
    title = f"Imitation with the rat, {SIMULATIONS} simulations, control steps a second"
    rates_of = (
        "Rates of threads and processes are of time that passes, beside what else was running."
    )
    table = report.table([*head, "threads / processes"], [row])
    report.keep(output, title, command, f"{table}\n\n{rates_of}")


if __name__ == "__main__":
    main()
