"""Training steps a second on one core, beside Stable-Baselines3's PPO.

    python benchmarks/train.py [TASK ...] [--rounds 3] [--output results/benchmarks/train.md]

Equal settings: 16 environments, 16,000 steps a rollout, minibatches of 2,000, 10 epochs, networks
of 64-64, a normal distribution; poolrl normalises observations besides. `beta` is poolrl with its
default distribution, `defaults` Stable-Baselines3 as it comes (one environment, 2,048 steps,
minibatches of 64). MuJoCo's Python package has Stable-Baselines3's environments read its clock, as
they do wherever they run; poolrl stops it. A round is one rollout with its update (four with the
defaults), timed in turn, so that a machine whose speed drifts slows all alike; ratios are medians
over rounds. A second table says where poolrl's time goes.
"""

from __future__ import annotations

import report  # isort: skip  (before NumPy is loaded)

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from poolrl import tasks
from poolrl.algorithms import on_policy, ppo
from poolrl.algorithms.training import initial_agent, train
from poolrl.config.loading import load
from poolrl.networks.policy import Policy
from poolrl.rollouts.sampler import Budget
from poolrl.seeding import Streams
from poolrl.tasks.mujoco import MujocoTask

ENVIRONMENTS, STEPS = 16, 1000

EQUAL = {
    "task.max_simulations": ENVIRONMENTS,
    "pool.iterate_steps": ENVIRONMENTS * STEPS,
    "learner.segment_steps": STEPS,
    "learner.minibatch_size": 2000,
    "learner.epochs": 10,
}

Round = Callable[[], int]
"""Train for a while and say for how many steps."""


def ours(task_id: str, distribution: str) -> Round:
    """poolrl's PPO."""
    spec, _ = load(None, {"task.id": task_id, "network.distribution": distribution} | EQUAL)
    task = tasks.make(task_id, ENVIRONMENTS)
    agent = initial_agent(spec, task, Streams(0))
    turn = 0

    def run() -> int:
        nonlocal agent, turn
        turn += 1
        budget = Budget(steps=ENVIRONMENTS * STEPS)
        trained = train(agent, lambda _: task, budget, spec.learner, Streams(0, (turn, 0, 0)))
        agent = trained.agent
        return trained.environment_steps

    return run


def stable_baselines(task_id: str, *, equal: bool) -> Round:
    """Stable-Baselines3's PPO."""
    import torch
    from stable_baselines3 import PPO
    from stable_baselines3.common.env_util import make_vec_env

    torch.set_num_threads(1)
    count = ENVIRONMENTS if equal else 1
    settings: dict[str, Any] = {"n_steps": STEPS, "batch_size": 2000, "n_epochs": 10}
    model = PPO(
        "MlpPolicy",
        make_vec_env(task_id, count),
        device="cpu",
        seed=0,
        **(settings if equal else {}),
    )
    per_round = count * STEPS if equal else 4 * 2048

    def run() -> int:
        model.learn(per_round, reset_num_timesteps=False)
        return per_round

    return run


@contextmanager
def stopwatch(owner: Any, name: str, spent: dict[str, float], label: str) -> Iterator[None]:
    """Add up the time that calls of a function take."""
    original = getattr(owner, name)

    def timed(*args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        try:
            return original(*args, **kwargs)
        finally:
            spent[label] = spent.get(label, 0.0) + time.perf_counter() - start

    setattr(owner, name, timed)
    try:
        yield
    finally:
        setattr(owner, name, original)


def breakdown(task_id: str, distribution: str) -> list[str]:
    """Shares of a round: physics, the rest of the task, acting, bookkeeping, update."""
    from mujoco.batch import Batch

    report.clock(running=False)
    run = ours(task_id, distribution)
    run()
    spent: dict[str, float] = {}
    with (
        stopwatch(Batch, "step", spent, "physics"),
        stopwatch(MujocoTask, "step", spent, "task"),
        stopwatch(Policy, "act", spent, "acting"),
        stopwatch(on_policy, "collect", spent, "collecting"),
        stopwatch(ppo, "update", spent, "update"),
    ):
        start = time.perf_counter()
        run()
        whole = time.perf_counter() - start
    parts = [
        spent["physics"],
        spent["task"] - spent["physics"],
        spent["acting"],
        spent["collecting"] - spent["task"] - spent["acting"],
        spent["update"],
        whole - spent["collecting"] - spent["update"],
    ]
    return [task_id, distribution, *(f"{100 * part / whole:.0f} %" for part in parts)]


@click.command()
@click.argument("task_ids", nargs=-1)
@click.option("--rounds", default=3, show_default=True)
@click.option("--output", type=click.Path(path_type=Path))
def main(task_ids: tuple[str, ...], rounds: int, output: Path | None) -> None:
    """Print tables, and write them to a file."""
    report.one_core()
    rows, shares = [], []
    for task_id in task_ids or ("HalfCheetah-v5", "Swimmer-v5", "Ant-v5"):
        click.echo(f"{task_id} …", err=True)
        runs = {
            "poolrl": ours(task_id, "gaussian"),
            "beta": ours(task_id, "beta"),
            "equal": stable_baselines(task_id, equal=True),
            "defaults": stable_baselines(task_id, equal=False),
        }
        rates: dict[str, list[float]] = {name: [] for name in runs}
        for turn in range(rounds + 1):
            for name, run in runs.items():
                report.clock(running=name not in ("poolrl", "beta"))
                start = time.perf_counter()
                steps = run()
                if turn:  # the first round warms caches
                    rates[name].append(steps / (time.perf_counter() - start))

        def times(name: str, other: str, rates: dict[str, list[float]] = rates) -> str:
            ratios = (a / b for a, b in zip(rates[name], rates[other], strict=True))
            return f"{statistics.median(ratios):.2f} ×"

        speeds = [f"{statistics.median(values):,.0f}" for values in rates.values()]
        compared = [("poolrl", "equal"), ("beta", "equal"), ("poolrl", "defaults")]
        rows.append([task_id, *speeds, *(times(*pair) for pair in compared)])
        shares += [breakdown(task_id, name) for name in ("gaussian", "beta")]
    head = ["task", "poolrl", "poolrl, beta", "SB3, equal settings", "SB3, defaults"]
    head += ["poolrl / SB3", "beta / SB3", "poolrl / SB3's defaults"]
    parts = ["task", "distribution", "physics", "rest of the task", "acting", "collecting"]
    body = "\n\n".join(
        [
            report.table(head, rows),
            "Where poolrl's time goes (stopwatches in one more round):",
            report.table([*parts, "update", "rest"], shares),
        ]
    )
    command = " ".join(["python benchmarks/train.py", *task_ids, f"--rounds {rounds}"])
    report.keep(output, "Training steps a second on one core", command, body)


if __name__ == "__main__":
    main()
