"""The command line: commands parse, call and print. Heavy imports wait until a command runs."""

from __future__ import annotations

import os
import sys
from importlib import import_module

import click

from poolrl import __version__
from poolrl.errors import PoolrlError, Stopped

COMMANDS = {
    "run": "Train with a pool of local workers, or go on with one.",
    "worker": "Work on a pool that somebody made.",
    "evaluate": "Measure an agent, or a pool's champion.",
    "status": "Say what a pool is at, and why it waits.",
    "submit": "Train with a pool on a SLURM cluster.",
    "cancel": "Cancel the cluster's jobs of a pool.",
    "history": "Print a pool's records as a table.",
    "plot": "Draw a pool's history.",
    "verify": "Check a pool's files against its rules, and compute some units again.",
    "prune": "Free the disk of what a pool no longer needs.",
    "doctor": "Try whether a file system can hold a pool.",
    "tasks": "List what there is to train, or describe one.",
}

# Results must not depend on how many cores a machine has, and the matrices are small: one thread a
# process, said before NumPy and torch are imported.
THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)


class LazyGroup(click.Group):
    """A group that imports a command's module when it runs, so that help is fast."""

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


def main() -> None:
    """Run the command line; every failure of a user's making is one line and an exit code."""
    for name in THREADS:
        os.environ[name] = "1"
    try:
        code = cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        code = 130
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except PoolrlError as error:
        from poolrl.files import printable

        click.echo(f"poolrl: {printable(str(error))}", err=True)
        code = error.exit_code
    except KeyboardInterrupt:
        code = 130
    except Stopped as stopped:
        if stopped.exit_code not in (75, 130):
            click.echo(f"poolrl: {stopped}", err=True)
        code = stopped.exit_code
    except BrokenPipeError:
        # Whoever read our output has seen enough, as in `poolrl history D | head`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code)
