"""The published MPO's learning curve, for comparisons with poolrl's at equal steps and updates.

    pip install --target LIB --no-deps --ignore-requires-python deprl==0.5.0
    pip install --target LIB --no-deps termcolor pyyaml pandas gdown
    python benchmarks/mpo_published.py LIB FOLDER --seed 0 [--task HalfCheetah-v5] [--steps 300000]

deprl's copy of tonic (Pardo 2020), as it stands there: networks, losses, replay. Environments are
Gymnasium's, several in turn in this process, on one thread of torch; every ``interval`` steps
``batches`` batches follow. FOLDER/TASK-SEED.jsonl gets a line an evaluation by the mean action, of
new episodes: steps, batches, CPU seconds in training and of these in updates, mean return.
"""

from __future__ import annotations

import json
import sys
import time
import types
from pathlib import Path
from typing import Any

import click
import gymnasium
import numpy as np

EVALUATION_SEED = 1_000_000
"""Of the first episode of an evaluation; training uses small ones."""


def published_agent(library: Path, batches: int, interval: int, warmup: int, n_step: int) -> Any:
    """deprl's MPO with its defaults, and a replay of these sizes."""
    sys.path.append(str(library))
    # deprl imports these where it is imported; neither takes part in learning.
    sys.modules["gym"] = gymnasium
    for name in ("gdown", "myosuite", "myosuite.utils"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules["myosuite.utils"].gym = gymnasium  # type: ignore[attr-defined]
    import torch
    from deprl.vendor.tonic import logger, replays
    from deprl.vendor.tonic.torch.agents import MPO

    torch.set_num_threads(1)
    logger.store = lambda *_, **__: None  # it would open a folder of results
    return MPO(
        replay=replays.Buffer(
            return_steps=n_step,
            batch_iterations=batches,
            batch_size=256,
            steps_before_batches=warmup,
            steps_between_batches=interval,
        )
    )


def mean_return(agent: Any, environment: Any, episodes: int) -> float:
    """The mean return of new episodes, by the mean action."""
    total = 0.0
    for number in range(episodes):
        observation, _ = environment.reset(seed=EVALUATION_SEED + number)
        over = False
        while not over:
            action = agent.test_step(np.float32(observation[None]), 0)[0]
            observation, reward, terminated, truncated, _ = environment.step(np.clip(action, -1, 1))
            total += reward
            over = terminated or truncated
    return total / episodes


@click.command(help=__doc__)
@click.argument("library", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--seed", type=int, required=True)
@click.option("--task", default="HalfCheetah-v5", show_default=True)
@click.option("--steps", default=300_000, show_default=True)
@click.option("--simulations", default=4, show_default=True)
@click.option("--warmup", default=5000, show_default=True, help="Steps of uniform actions.")
@click.option("--interval", default=200, show_default=True, help="Steps between updates.")
@click.option("--batches", default=50, show_default=True, help="Of an update.")
@click.option("--n-step", default=3, show_default=True)
@click.option("--evaluate-every", default=20_000, show_default=True, help="Steps.")
@click.option("--evaluate-episodes", default=10, show_default=True)
def main(
    library: Path,
    folder: Path,
    seed: int,
    task: str,
    steps: int,
    simulations: int,
    warmup: int,
    interval: int,
    batches: int,
    n_step: int,
    evaluate_every: int,
    evaluate_episodes: int,
) -> None:
    """Train, and write the curve."""
    agent = published_agent(library.absolute(), batches, interval, warmup, n_step)
    environments = [gymnasium.make(task) for _ in range(simulations)]
    test = gymnasium.make(task)
    agent.initialize(environments[0].observation_space, environments[0].action_space, seed)
    update, updates, spent = agent._update, 0, 0.0

    def counted(number: int) -> None:
        nonlocal updates, spent
        start = time.process_time()
        update(number)
        spent += time.process_time() - start
        updates += batches

    agent._update = counted
    folder.mkdir(parents=True, exist_ok=True)
    output = folder / f"{task}-{seed}.jsonl"
    output.write_text("")
    rng = np.random.default_rng(seed)
    observations = np.array([e.reset(seed=seed + k)[0] for k, e in enumerate(environments)])
    start, evaluating, done, due = time.process_time(), 0.0, 0, evaluate_every
    while done < steps:
        actions = agent.step(np.float32(observations), done)
        if done < warmup:
            actions = rng.uniform(-1, 1, actions.shape).astype(np.float32)
            agent.last_actions = actions.copy()
        results = [e.step(np.clip(a, -1, 1)) for e, a in zip(environments, actions, strict=True)]
        following, rewards, terminations, truncations = (
            np.array([result[k] for result in results]) for k in range(4)
        )
        resets = terminations | truncations
        done += simulations
        agent.update(np.float32(following), np.float32(rewards), resets, terminations, done)
        observations = following
        for k in np.flatnonzero(resets):
            observations[k] = environments[k].reset()[0]
        if done >= due:
            due += evaluate_every
            before = time.process_time()
            score = mean_return(agent, test, evaluate_episodes)
            evaluating += time.process_time() - before
            line = {
                "steps": done,
                "batches": updates,
                "seconds": round(time.process_time() - start - evaluating, 3),
                "update_seconds": round(spent, 3),
                "return": round(float(score), 2),
            }
            with output.open("a") as file:
                file.write(json.dumps(line) + "\n")
            click.echo(f"{task} seed {seed}: {line}")


if __name__ == "__main__":
    main()
