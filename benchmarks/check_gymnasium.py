"""An agent's return in plain Gymnasium: `poolrl.load` and none of poolrl's task code.

    python benchmarks/check_gymnasium.py AGENT_OR_POOL [...] [--episodes 100] [--seed 1000000]

For each agent, or each pool's last champion, one line: mean return, standard error, minimum and
maximum over episodes of `gymnasium.make(...)` with deterministic actions. Episode i is reset with
seed + i; no pool uses these seeds.
"""

from __future__ import annotations

import json
import multiprocessing
import statistics
from pathlib import Path

import click
import gymnasium
import numpy as np

import poolrl


def evaluate(path: str, seeds: list[int]) -> list[float]:
    """Returns of one episode per seed."""
    agent = poolrl.load(path)
    metadata = agent.metadata
    if metadata.action_repeat > 1 or metadata.mask_velocities or metadata.randomize:
        raise click.UsageError(f"{path}: Gymnasium has no such variant of {metadata.task}")
    env = gymnasium.make(
        metadata.task, max_episode_steps=metadata.max_episode_steps, **metadata.task_kwargs
    )
    returns = []
    for seed in seeds:
        observation, _ = env.reset(seed=seed)
        total, done = 0.0, False
        while not done:
            action = agent.act(np.asarray(observation))
            observation, reward, terminated, truncated, _ = env.step(action)
            total += float(reward)
            done = terminated or truncated
        returns.append(total)
    env.close()
    return returns


def champion(path: Path) -> Path:
    """The agent file itself, or for a pool's directory the file that its last merge names."""
    if path.is_file():
        return path
    last = max(path.glob("iterations/*/merge.json"))
    return path / str(json.loads(last.read_text())["champion"]["path"])


@click.command()
@click.argument("agents", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--episodes", default=100, show_default=True)
@click.option("--seed", default=1_000_000, show_default=True)
@click.option("--processes", default=2, show_default=True)
def main(agents: tuple[Path, ...], episodes: int, seed: int, processes: int) -> None:
    """Measure agents, or the champions of pools."""
    seeds = list(range(seed, seed + episodes))
    parts = [part for i in range(processes) if (part := seeds[i::processes])]
    with multiprocessing.get_context("spawn").Pool(len(parts)) as pool:
        for path in agents:
            file = str(champion(path))
            results = pool.starmap(evaluate, [(file, part) for part in parts])
            returns = [value for part in results for value in part]
            error = statistics.stdev(returns) / len(returns) ** 0.5 if len(returns) > 1 else 0.0
            click.echo(
                f"{path}: {statistics.fmean(returns):.2f} ± {error:.2f} (standard error), "
                f"{min(returns):.2f} to {max(returns):.2f}, {len(returns)} episodes"
            )


if __name__ == "__main__":
    main()
