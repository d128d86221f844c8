"""``poolrl evaluate``: measure an agent."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from poolrl.cli.options import Argument, network_option, trust_option
from poolrl.formatting import count
from poolrl.interrupts import stoppable
from poolrl.output import json_text, results

if TYPE_CHECKING:
    from poolrl.agent import Agent


@click.command()
@click.argument("agent_or_pool", type=click.Path(path_type=Path))
@click.option("--episodes", type=click.IntRange(min=1), default=100, show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--stochastic", is_flag=True, help="Sample actions instead of playing their mean.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--task", "task_id", metavar="ID", help="The agent's task, if it is a user's own.")
@click.option("--task-arg", "arguments", type=Argument(), multiple=True, help="Other than its own.")
@click.option("--simulations", type=click.IntRange(min=1), default=64, help="Most side by side.")
@network_option
@trust_option
@stoppable()
def command(
    agent_or_pool: Path,
    episodes: int,
    seed: int,
    stochastic: bool,
    as_json: bool,
    task_id: str | None,
    network: str | None,
    arguments: tuple[tuple[str, Any], ...],
    simulations: int,
    trust: bool,
) -> None:
    """Measure an agent file, or the champion of a pool, on the task that it was trained for.

    With --task-arg on another one: xml_file=PATH, say, where its model lies elsewhere.
    """
    import msgspec
    from msgspec.structs import replace

    from poolrl import tasks
    from poolrl.networks import permissions
    from poolrl.rollouts.evaluation import evaluate_agent

    agent = _champion(agent_or_pool) if os.path.isdir(agent_or_pool) else _agent(agent_or_pool)
    world = agent.metadata.world
    given = tasks.with_absolute_paths(dict(arguments), world.id)
    kwargs = tasks.with_absolute_paths(world.kwargs) | given
    world = tasks.permit(replace(world, kwargs=kwargs), task_id, trust=trust)
    permissions.permit(agent.metadata.network, network, trust=trust)
    with tasks.blamed(world), permissions.blamed(agent.metadata.network):
        summary = evaluate_agent(
            agent, world, episodes, seed, deterministic=not stochastic, simulations=simulations
        )
    if as_json:
        click.echo(json_text(msgspec.json.encode(summary)), file=results())
        return
    actions = "deterministic" if summary.deterministic else "sampled"
    click.echo(
        f"{agent.metadata.task}: mean return {summary.mean:.2f} "
        f"(95 % interval {summary.ci95_low:.2f} to {summary.ci95_high:.2f}, "
        f"standard deviation {summary.std:.2f}, {summary.min:.2f} to {summary.max:.2f}), "
        f"{count(summary.episodes, 'episode')} of {summary.mean_length:.1f} steps, "
        f"{actions} actions",
        file=results(),
    )


def _agent(path: Path) -> Agent:
    from poolrl.agent import Agent

    return Agent.load(path)


def _champion(directory: Path) -> Agent:
    from poolrl.agent import Agent
    from poolrl.errors import IncompatiblePool, UsageError
    from poolrl.pool.directory import open_pool

    deposit_store = open_pool(directory).deposit_store()
    merged = deposit_store.newest_merge()
    if merged is None:
        raise UsageError(f"{directory}: the pool has no champion yet")
    data, path = deposit_store.champion(merged.result), directory / merged.result.path
    try:
        return Agent.from_bytes(data, str(path))
    except UsageError as error:
        raise IncompatiblePool(str(error)) from error
