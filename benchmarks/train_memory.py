"""Training steps a second with a memory, beside sb3-contrib's RecurrentPPO; and torch beside NumPy.

    python benchmarks/train_memory.py [TASK ...] [--rounds 5] [--output FILE]

Equal settings: 16 environments, 128 steps a rollout, sequences of 128, minibatches of 512, 10
epochs, separate recurrent layers of 64 units for actor and critic and nothing else, a normal
distribution. A round is four rollouts with their updates, timed in turn on one core; ratios are
medians over rounds. sb3-contrib runs a minibatch step by step in Python if an episode starts within
it: rarely in HalfCheetah, whose episodes have 1,000 steps, and always in Hopper.

The second table has perceptrons of 64-64 in NumPy and the same ones as a user's torch module; the
third what acting costs for 16 simulations, and rollouts of HalfCheetah with it.
"""

from __future__ import annotations

import report  # isort: skip  (before NumPy is loaded)

import statistics
import time
import timeit
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
from train import stopwatch

from poolrl import tasks
from poolrl.agent import Agent
from poolrl.algorithms import ppo
from poolrl.algorithms.training import initial_agent, train
from poolrl.config.loading import load
from poolrl.config.schema import Spec
from poolrl.networks.permissions import permit
from poolrl.rollouts.rollout import collect
from poolrl.rollouts.sampler import Budget, Sampler
from poolrl.seeding import Purpose, Streams

ENVIRONMENTS, STEPS, ROLLOUTS = 16, 128, 4
MODULE = f"{Path(__file__).with_name('perceptron.py')}:Perceptron"

COMMON = {
    "task.max_simulations": ENVIRONMENTS,
    "network.distribution": "gaussian",
    "learner.segment_steps": STEPS,
    "learner.sequence_steps": STEPS,
    "learner.minibatch_size": 512,
    "learner.epochs": 10,
}
NETWORKS: dict[str, dict[str, Any]] = {
    **{
        cell: {
            "network.name": "recurrent",
            "network.cell": cell,
            "network.actor": [],
            "network.critic": [],
        }
        for cell in ("lstm", "gru", "rnn")
    },
    "mlp 64": {"network.actor": [64], "network.critic": [64]},
    "mlp 64-64": {},
    "torch 64-64": {"network.name": "module", "network.source": MODULE},
}

Round = Callable[[], int]


def settings(task_id: str, network: str) -> Spec:
    """The specification of a network on a task."""
    spec, _ = load(None, {"task.id": task_id} | COMMON | NETWORKS[network])
    permit(spec.network, trust=True)
    return spec


def made(task_id: str, network: str) -> tuple[Spec, Any, Agent]:
    """Specification, task and initial agent."""
    spec = settings(task_id, network)
    task = tasks.make(task_id, ENVIRONMENTS)
    return spec, task, initial_agent(spec, task, Streams(0))


def ours(task_id: str, network: str) -> Round:
    """poolrl's PPO."""
    spec, task, agent = made(task_id, network)
    turn = 0

    def run() -> int:
        nonlocal agent, turn
        turn += 1
        budget = Budget(steps=ENVIRONMENTS * STEPS * ROLLOUTS)
        trained = train(agent, lambda _: task, budget, spec.learner, Streams(0, (turn, 0, 0)))
        agent = trained.agent
        return trained.environment_steps

    return run


def sb3_contrib(task_id: str) -> Round:
    """sb3-contrib's RecurrentPPO."""
    import torch
    from sb3_contrib import RecurrentPPO
    from stable_baselines3.common.env_util import make_vec_env

    torch.set_num_threads(1)
    network = {"net_arch": [], "lstm_hidden_size": 64, "enable_critic_lstm": True}
    model = RecurrentPPO(
        "MlpLstmPolicy",
        make_vec_env(task_id, ENVIRONMENTS),
        n_steps=STEPS,
        batch_size=512,
        n_epochs=10,
        policy_kwargs=network,
        device="cpu",
        seed=0,
    )

    def run() -> int:
        model.learn(ENVIRONMENTS * STEPS * ROLLOUTS, reset_num_timesteps=False)
        return ENVIRONMENTS * STEPS * ROLLOUTS

    return run


def rates(runs: dict[str, Round], rounds: int) -> dict[str, list[float]]:
    """Steps a second of each, round by round."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(rounds + 1):
        for name, run in runs.items():
            report.clock(running=name == "sb3-contrib")
            start = time.perf_counter()
            steps = run()
            if turn:  # the first round warms caches
                found[name].append(steps / (time.perf_counter() - start))
    return found


def ratio(found: dict[str, list[float]], name: str, other: str) -> str:
    """Median over rounds of one rate divided by another."""
    ratios = (a / b for a, b in zip(found[name], found[other], strict=True))
    return f"{statistics.median(ratios):.2f} ×"


def share_of_updates(task_id: str, network: str) -> str:
    """The part of training time that is spent in updates."""
    run = ours(task_id, network)
    run()
    spent: dict[str, float] = {}
    with stopwatch(ppo, "update", spent, "update"):
        start = time.perf_counter()
        run()
        return f"{100 * spent['update'] / (time.perf_counter() - start):.0f} %"


def acting(network: str) -> tuple[float, float, float]:
    """Microseconds of an act of 16 simulations, sampled and deterministic, and of a rollout's step
    of HalfCheetah."""
    _, task, agent = made("HalfCheetah-v5", network)
    policy, generator = agent.policy, np.random.default_rng(0)
    observation = generator.normal(size=(ENVIRONMENTS, 17))
    state = policy.act(observation, generator=generator).state
    starts = np.zeros(ENVIRONMENTS, np.bool_)

    def sampled() -> None:
        policy.act(observation, state, starts, generator)

    def deterministic() -> None:
        policy.act(observation, state, starts)

    times = [
        min(timeit.repeat(each, number=500, repeat=9)) / 500 for each in (sampled, deterministic)
    ]
    resets = Streams(0).generators_from(Purpose.RESET)
    sampler = Sampler(task, resets, Budget(steps=10**9))
    collect(sampler, policy, generator, STEPS)

    def rollout() -> None:
        collect(sampler, policy, generator, STEPS)

    times.append(min(timeit.repeat(rollout, number=1, repeat=15)) / STEPS)
    first, second, third = (1e6 * seconds for seconds in times)
    return first, second, third


@click.command(help=__doc__)
@click.argument("task_ids", nargs=-1)
@click.option("--rounds", default=5, show_default=True)
@click.option("--output", type=click.Path(path_type=Path))
def main(task_ids: tuple[str, ...], rounds: int, output: Path | None) -> None:
    """Print tables, and write them to a file."""
    report.one_core()
    rows = []
    for task_id in task_ids or ("HalfCheetah-v5", "Hopper-v5"):
        click.echo(f"{task_id} …", err=True)
        runs = {name: ours(task_id, name) for name in ("lstm", "gru", "rnn")}
        found = rates(runs | {"sb3-contrib": sb3_contrib(task_id)}, rounds)
        speeds = [f"{statistics.median(values):,.0f}" for values in found.values()]
        ratios = [ratio(found, name, "sb3-contrib") for name in runs]
        rows.append([task_id, *speeds, *ratios, share_of_updates(task_id, "lstm")])
    head = ["task", "lstm", "gru", "rnn", "RecurrentPPO (lstm)"]
    head += [f"{name} / RecurrentPPO" for name in ("lstm", "gru", "rnn")]
    found = rates(
        {name: ours("HalfCheetah-v5", name) for name in ("mlp 64-64", "torch 64-64")}, rounds
    )
    perceptrons = [
        [name, f"{statistics.median(values):,.0f}", share_of_updates("HalfCheetah-v5", name)]
        for name, values in found.items()
    ]
    times = {name: acting(name) for name in ("mlp 64", "rnn", "gru", "lstm")}
    base = times["mlp 64"]
    costs = [
        [name, *(f"{a:.0f} ({a / b:.2f} ×)" for a, b in zip(each, base, strict=True))]
        for name, each in times.items()
    ]
    body = "\n\n".join(
        [
            report.table([*head, "of lstm's time, updates"], rows),
            f"NumPy / torch: {ratio(found, 'mlp 64-64', 'torch 64-64')}",
            report.table(["perceptron", "steps/s", "of its time, updates"], perceptrons),
            "Microseconds for 16 simulations:",
            report.table(["network", "act, sampled", "act, mean", "step of a rollout"], costs),
        ]
    )
    command = " ".join(["python benchmarks/train_memory.py", *task_ids, f"--rounds {rounds}"])
    report.keep(output, "Training with a memory on one core", command, body)


if __name__ == "__main__":
    main()
