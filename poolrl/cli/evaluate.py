"""``poolrl evaluate``: measure an agent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from poolrl.cli import completion
from poolrl.cli.options import SIMULATIONS, network_option, own_task_options, trust_option
from poolrl.formatting import count, decimals
from poolrl.interrupts import stoppable
from poolrl.output import json_text, results


@click.command()
@click.argument("agent_or_pool", type=click.Path(path_type=Path), shell_complete=completion.agents)
@click.option(
    "--episodes",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="Number of episodes.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the episodes."
)
@click.option("--stochastic", is_flag=True, help="Sample actions instead of playing their mean.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@own_task_options
@click.option(
    "--simulations", type=click.IntRange(min=1), default=64, show_default=True, help=SIMULATIONS
)
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

    from poolrl.cli.agents import permitted_world
    from poolrl.render.agents import shown_agents
    from poolrl.rollouts.evaluation import evaluate_agent

    (shown,) = shown_agents(agent_or_pool)
    agent = shown.agent
    with permitted_world(agent, task_id, dict(arguments), network, trust=trust) as world:
        summary = evaluate_agent(
            agent,
            world,
            episodes,
            seed,
            deterministic=not stochastic,
            simulations=simulations,
            aggregates=shown.aggregates,
        )
    if as_json:
        click.echo(json_text(msgspec.json.encode(summary)), file=results())
        return
    actions = "deterministic" if summary.deterministic else "sampled"
    click.echo(
        f"{agent.metadata.task}: mean return {decimals(summary.mean)} "
        f"(95 % interval {decimals(summary.ci95_low)} to {decimals(summary.ci95_high)}, "
        f"standard deviation {decimals(summary.std)}, "
        f"{decimals(summary.min)} to {decimals(summary.max)}), "
        f"{count(summary.episodes, 'episode')} of {summary.mean_length:.1f} steps, "
        f"{actions} actions",
        file=results(),
    )
    if summary.info:
        means = (f"{name} {each.mean:.4g}" for name, each in summary.info.items())
        click.echo(f"means of its info: {', '.join(means)}", file=results())
