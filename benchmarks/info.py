"""What it costs that evaluations record the task's ``info``.

    python benchmarks/info.py [TASK ...] [--rounds 15] [--output results/benchmarks/info.md]

A pool's default evaluation, ten episodes side by side on one core, of a new agent of the default
network with deterministic actions, with and without the values of ``info``. The two are timed in
turn, in an order that alternates from round to round; the ratio is the median over rounds. What is
timed is the processor's time, so that other processes on a shared machine disturb less. Both must
give the same returns.
"""

from __future__ import annotations

import report  # isort: skip  (before NumPy is loaded)

import time
from pathlib import Path

import click
import numpy as np

from poolrl import tasks
from poolrl.agent import Agent
from poolrl.algorithms.training import initial_agent
from poolrl.config.loading import load
from poolrl.rollouts.episode_infos import EpisodeInfos
from poolrl.rollouts.evaluation import evaluate
from poolrl.rollouts.sampler import Episodes
from poolrl.seeding import Purpose, Streams
from poolrl.tasks.registry import REGISTRY

EPISODES = 10
NEED_A_FILE = ("AnymalC-v0", "MuscleReach-v0", "RodentImitation-v0")
LEAST_SECONDS = 0.3
"""An evaluation of short episodes is repeated until it takes so long."""


def evaluation(task: tasks.Task, agent: Agent, turn: int, infos: EpisodeInfos | None) -> Episodes:
    """One evaluation."""
    resets = Streams(turn).generators(Purpose.EVALUATE_RESET, 0, EPISODES)
    return evaluate(agent.policy, task, resets, infos=infos)


def measure(task_id: str, rounds: int) -> tuple[list[float], list[float], int]:
    """Seconds of each round without and with ``info``, and the number of its values."""
    task = tasks.make(task_id, EPISODES)
    spec, _ = load(None, {"task.id": task_id})
    agent = initial_agent(spec, task, Streams(0))
    start = time.process_time()
    evaluation(task, agent, 0, None)
    repeats = max(1, round(LEAST_SECONDS / (time.process_time() - start)))
    seconds: dict[bool, list[float]] = {False: [], True: []}
    values = 0
    for turn in range(rounds):
        returns = {}
        for with_info in (False, True) if turn % 2 else (True, False):
            start = time.process_time()
            for _ in range(repeats):
                infos = EpisodeInfos(task) if with_info else None
                episodes = evaluation(task, agent, turn, infos)
                if infos is not None:
                    values = len(infos.table(episodes.infos))
            seconds[with_info].append(time.process_time() - start)
            returns[with_info] = episodes.returns
        assert np.array_equal(returns[False], returns[True])
    return seconds[False], seconds[True], values


@click.command()
@click.argument("task_ids", nargs=-1)
@click.option("--rounds", default=15, show_default=True)
@click.option("--output", type=click.Path(path_type=Path))
def main(task_ids: tuple[str, ...], rounds: int, output: Path | None) -> None:
    """Print a table, and write it to a file."""
    report.one_core()
    ids = task_ids or tuple(name for name in REGISTRY if name not in NEED_A_FILE)
    rows, ratios = [], {}
    for task_id in ids:
        click.echo(f"{task_id} …", err=True)
        without, with_info, values = measure(task_id, rounds)
        quotients = sorted(b / a for a, b in zip(without, with_info, strict=True))
        low, middle, high = (quotients[int(q * (rounds - 1))] for q in (0.25, 0.5, 0.75))
        ratios[task_id] = middle
        rows.append([task_id, str(values), f"{middle:.3f}", f"{low:.3f} to {high:.3f}"])
    worst = max(ratios, key=ratios.__getitem__)
    body = "\n".join(
        [
            report.table(["task", "values", "with info / without", "middle half of rounds"], rows),
            "",
            f"- geometric mean {report.geometric_mean(ratios.values()):.3f}, largest "
            f"{ratios[worst]:.3f} ({worst})",
        ]
    )
    command = " ".join(["python benchmarks/info.py", *task_ids, f"--rounds {rounds}"])
    report.keep(output, "Evaluations with and without the task's info", command, body)


if __name__ == "__main__":
    main()
