"""The options of a pool that ``run`` and ``submit`` share, and their keys in a configuration."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import click

from poolrl.cli import completion
from poolrl.cli.options import DIRECTORY, FILE, Argument, F, Values, network_option, trust_option
from poolrl.cli.run_options import FIELDS, WHEN_TO_GIVE_UP, run_option, run_options


class Settings(NamedTuple):
    """The settings that a command line asks for.

    Attributes:
        config: a configuration file; ``None`` for the pool's own, or the defaults.
        root: the pool's directory.
        keys: dotted key of the configuration -> value.
        from_agent: an agent file to start from.
        trust: whether a user's own task and network may run that the keys do not name.
    """

    config: Path | None
    root: Path
    keys: dict[str, Any]
    from_agent: Path | None
    trust: bool


def pool_options(command: F) -> F:
    """Options of `run` and `submit`; pass their values to ``settings_of``."""
    for option in reversed(
        [
            click.argument("config", type=FILE, required=False),
            click.option(
                "--pool-directory",
                type=DIRECTORY,
                shell_complete=completion.pools,
                help="Folder of the pool.  [default: pools/NAME]",
            ),
            click.option(
                "--task",
                "task_id",
                metavar="ID",
                shell_complete=completion.tasks,
                help="Task to train on: an id of `poolrl tasks`, or FILE.py:CLASS.",
            ),
            click.option(
                "--task-arg",
                "arguments",
                type=Argument(),
                multiple=True,
                help="Argument of the task, as `poolrl tasks ID` lists them.",
            ),
            network_option,
            click.option(
                "--learner",
                metavar="NAME",
                help="ppo, reinforce, mpo, or dep, which only explores.  [default: ppo]",
            ),
            click.option("--pool-count", type=int, help="Branches of an iteration."),
            click.option("--iterate-episodes", type=int, help="Training episodes of a branch."),
            click.option(
                "--iterate-steps", type=int, help="Training steps of a branch, instead of episodes."
            ),
            click.option("--evaluate-episodes", type=int, help="Evaluation episodes of a branch."),
            run_option("iterations", bounded=False),
            click.option("--seed", type=int, help="Seed of the pool."),
            click.option(
                "--learning-rate", type=Values(), help="One value, or one a branch in turn."
            ),
            click.option(
                "--from-agent",
                type=FILE,
                shell_complete=completion.agents,
                help="Start from this agent.",
            ),
            run_options("target_return", "target_score", "time_budget", "keep", "replay_folder"),
            run_options(*WHEN_TO_GIVE_UP),
            click.option(
                "--set",
                "overrides",
                multiple=True,
                metavar="KEY=VALUE",
                shell_complete=completion.keys,
                help="Any key of the configuration, as learner.discount=0.99.",
            ),
            trust_option,
        ]
    ):
        command = option(command)
    return command


def settings_of(options: dict[str, Any]) -> Settings:
    """Convert the values of ``pool_options``, and of ``--workers`` where a command has it.

    Raises:
        UsageError: they contradict each other, or one does not parse.
    """
    keys = _keys(options["overrides"], options)
    keys |= {f"task.kwargs.{name}": value for name, value in options["arguments"]}
    if options["network"] is not None:
        keys |= {"network.name": "module", "network.source": options["network"]}
    config = options["config"]
    name = config.stem if config else _name(str(keys.get("task.id", "swimmer")))
    root = options["pool_directory"] or Path("pools") / name
    return Settings(config, root, keys, options["from_agent"], options["trust"])


def _name(task_id: str) -> str:
    """The name of a directory for a task: its class, or its id."""
    return re.sub(r"[^\w.-]+", "-", task_id.rpartition(":")[2])


OPTION_KEYS = {
    "task_id": "task.id",
    "learner": "learner.name",
    "pool_count": "pool.count",
    "iterate_episodes": "pool.iterate_episodes",
    "iterate_steps": "pool.iterate_steps",
    "evaluate_episodes": "pool.evaluate_episodes",
    "seed": "pool.seed",
    **{name: f"run.{name}" for name in FIELDS},
}


def _keys(overrides: tuple[str, ...], options: dict[str, Any]) -> dict[str, Any]:
    """Options and ``--set`` as dotted keys of the configuration."""
    from poolrl.config.tables import parse_override

    if options["iterate_episodes"] is not None:
        if options["iterate_steps"] is not None:
            raise click.UsageError("--iterate-episodes and --iterate-steps: give one of them")
        options["iterate_steps"] = 0
    keys = dict(parse_override(text) for text in overrides)
    keys |= {
        key: options[name] for name, key in OPTION_KEYS.items() if options.get(name) is not None
    }
    rates = options["learning_rate"]
    if rates is not None:
        keys["branches.learning_rate"] = rates
    return keys
