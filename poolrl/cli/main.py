"""The command line: commands parse, call and print. A command is imported when it runs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import import_module

import click

from poolrl import output, threads
from poolrl._version import __version__
from poolrl.errors import PoolrlError, Stopped, UsageError
from poolrl.files import printable

COMMANDS = {
    "run": "Train with a pool of local workers, or go on with one.",
    "worker": "Work on a pool that exists.",
    "evaluate": "Measure an agent, or a pool's champion.",
    "activations": "Record what an imitating network computes over all clips.",
    "render": "Make a video of an agent, or of a pool's champions.",
    "status": "Say what a pool is at, and why it waits.",
    "submit": "Train with a pool on a SLURM cluster.",
    "cancel": "Cancel the cluster's jobs of a pool.",
    "history": "Print a pool's records as a table.",
    "plot": "Draw a pool's history.",
    "log": "Log a pool to TensorBoard.",
    "verify": "Check a pool's files against its rules, and compute some units again.",
    "prune": "Free the disk of what a pool no longer needs.",
    "doctor": "Try whether a file system can hold a pool.",
    "clips": "Make, convert, cut and describe files of motion clips.",
    "tasks": "List what there is to train, or describe one.",
}


class LazyGroup(click.Group):
    """A group that imports the module of a command when it is used, so that help is fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"poolrl.cli.{cmd_name}").command
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="poolrl")
def cli() -> None:
    """Train control policies in MuJoCo with a pool of processes that branch and merge."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; an expected failure is one line on standard error.

    Args:
        argv: arguments without the program's name; by default those of this process.

    Returns:
        The exit code; see ``poolrl.errors``.
    """
    threads.use_single_thread()
    output.protect()
    code = _run(argv)
    try:
        output.flush()
    except Stopped as stopped:
        return code or _say(stopped)
    return code


def _run(argv: Sequence[str] | None) -> int:
    try:
        code = cli.main(None if argv is None else list(argv), standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        return 130
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except PoolrlError as error:
        click.echo(f"poolrl: {printable(str(error))}", err=True)
        return error.exit_code
    except Stopped as stopped:
        return _say(stopped)
    except FileNotFoundError:
        if _has_working_directory():
            raise
        click.echo("poolrl: the working directory was removed: change to another one", err=True)
        return UsageError.exit_code
    return code or 0


def _has_working_directory() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True


def _say(stopped: Stopped) -> int:
    """Say why this process ends, unless its user knows; return the exit code."""
    if stopped.exit_code not in (0, 75, 130):
        click.echo(f"poolrl: {stopped}", err=True)
    return stopped.exit_code
