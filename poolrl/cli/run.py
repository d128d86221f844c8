"""``poolrl run``: train with a pool of local workers."""

from __future__ import annotations

from typing import Any

import click

from poolrl import output
from poolrl.cli.pool_options import pool_options, settings_of
from poolrl.cli.run_options import run_option


@click.command()
@pool_options
@run_option("workers")
@run_option("threads")
@run_option("later_threads")
@run_option("video_every")
@run_option("tensorboard")
@click.option(
    "--one-worker",
    is_flag=True,
    help="Be one worker, in this process: for a task of an array.",
)
def command(one_worker: bool, **options: Any) -> None:
    """Train with a pool of local workers.

    CONFIG is a TOML file, whose values these options overrule; without one, the MuJoCo swimmer
    is trained. The same command again goes on where it ended, and more iterations extend a
    finished pool.
    """
    if one_worker and options["workers"] is not None:
        raise click.UsageError("--one-worker and --workers: give one of them")
    if one_worker and options["video_every"]:
        raise click.UsageError(
            "--one-worker makes no videos; `poolrl render POOL --follow` does, from outside"
        )
    if one_worker and options["tensorboard"]:
        raise click.UsageError(
            "--one-worker logs nothing; `poolrl log POOL --tensorboard DIR --follow` does, from "
            "outside"
        )
    output.may_fail()
    config, root, keys, from_agent, trust = settings_of(options)
    if one_worker:
        from poolrl.launch.array_worker import run_array_worker

        run_array_worker(config, root, keys, from_agent, trust=trust)
    else:
        from poolrl.launch.run import run_pool

        run_pool(config, root, keys, from_agent, trust=trust)
