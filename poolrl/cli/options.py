"""Parameter types and options that several commands share."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from poolrl.cli import completion

F = TypeVar("F", bound=Callable[..., Any])

UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


class Duration(click.ParamType[float]):
    """A duration in seconds, or with a unit: 90, 90s, 10m, 1.5h, 2d."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", str(value).strip())
        if match is None or float(match[1]) == 0:
            self.fail(f"{value!r} is no duration; write 90s, 10m or 2h", param, ctx)
        return float(match[1]) * UNITS[match[2]]


class Values(click.ParamType[list[float]]):
    """Comma-separated numbers, one per branch: 1e-5,1e-4,1e-4."""

    name = "value[,value…]"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> list[float]:
        try:
            return [float(part) for part in str(value).split(",")]
        except ValueError:
            self.fail(f"{value!r} is no list of numbers; write 1e-5,1e-4,1e-4", param, ctx)


class Argument(click.ParamType[tuple[str, Any]]):
    """An argument of a task: a value as for --set, comma-separated numbers, or else a string."""

    name = "name=value"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, Any]:
        from poolrl.config.tables import parse_value

        name, equals, text = str(value).partition("=")
        name = name.strip()
        if not equals or not name:
            self.fail(f"{value!r}: write name=value, as in frame_skip=4", param, ctx)
        if not name.isidentifier():
            self.fail(f"{name!r} is no name of an argument", param, ctx)
        try:
            parsed = parse_value(text)
            if isinstance(parsed, str) and re.fullmatch(r"[-+.\deE\s]+(,[-+.\deE\s]+)+", text):
                parsed = parse_value(f"[{text}]")
        except (ValueError, RecursionError) as error:
            self.fail(f"{name}: {error}", param, ctx)
        return name, parsed


class TargetReturn(click.ParamType[float | str]):
    """A return, or ``threshold`` for the one that the task is registered with."""

    name = "return|threshold"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | str:
        if value == "threshold":
            return "threshold"
        number = _number(value)
        if number is None:
            self.fail(f"{value!r} is neither a number nor `threshold`", param, ctx)
        return number


class Number(click.ParamType[float]):
    """A number that others can be compared with: no NaN."""

    name = "float"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number = _number(value)
        if number is None:
            self.fail(f"{value!r} is not a number", param, ctx)
        return number


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return None if math.isnan(number) else number


class RetentionRuleType(click.ParamType[str]):
    """Which agents stay on disk: champions, all, or last:N."""

    name = "champions|all|last:N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from poolrl.config.run_options import RetentionRule
        from poolrl.errors import UsageError

        try:
            RetentionRule.parse(str(value))
        except UsageError as error:
            self.fail(str(error), param, ctx)
        return str(value)


DIRECTORY = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path, dir_okay=False)

SIMULATIONS = "Maximum number of simulations side by side."

pool_argument = click.argument("pool", type=DIRECTORY, shell_complete=completion.pools)

moved_option = click.option(
    "--task-arg",
    "arguments",
    type=Argument(),
    multiple=True,
    help="xml_file=PATH, where the task's model has moved; clips and decoder alike.",
)

network_option = click.option(
    "--network", metavar="FILE.py:CLASS", help="The network, if it is a user's own module."
)

trust_option = click.option(
    "--trust",
    is_flag=True,
    help="Let a user's own task and network run without being named by --task and --network.",
)


def own_task_options(command: F) -> F:
    """Options of commands that play an agent: ``task_id``, and ``arguments`` as pairs."""
    for option in (
        click.option(
            "--task-arg",
            "arguments",
            type=Argument(),
            multiple=True,
            help="Argument of the task that differs from the agent's.",
        ),
        click.option(
            "--task",
            "task_id",
            metavar="ID",
            shell_complete=completion.tasks,
            help="The agent's task, if it is a user's own.",
        ),
    ):
        command = option(command)
    return command
