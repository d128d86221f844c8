"""Command-line options of the fields of ``RunOptions``, made from their declaration there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args, get_type_hints

import click
from msgspec import Meta

from poolrl.cli.options import Duration, F, Number, RetentionRuleType, TargetReturn
from poolrl.config.run_options import Option, RunOptions

FIELDS = RunOptions.__struct_fields__

WHEN_TO_GIVE_UP = ("branch_timeout", "min_deposits", "stall_timeout", "max_failed_iterations")

_HINTS = get_type_hints(RunOptions, include_extras=True)


def run_option(name: str, *, bounded: bool = True, text: str = "") -> Callable[[F], F]:
    """The option of one field.

    Args:
        name: of the field.
        bounded: whether click refuses an integer below the field's minimum. Without it the
            validation of the configuration does, and names the key.
        text: for ``--help``, where a command differs; the field's by default.
    """
    option = f"--{name.replace('_', '-')}"
    settings = _settings(name, bounded) | ({"help": text} if text else {})
    if settings["type"] is bool:  # None where it is not given: as the configuration says
        return click.option(f"{option}/{option.replace('--', '--no-')}", default=None, **settings)
    return click.option(option, **settings)


def run_options(*names: str) -> Callable[[F], F]:
    """The options of several fields, in this order."""

    def decorate(command: F) -> F:
        for name in reversed(names):
            command = run_option(name)(command)
        return command

    return decorate


def _settings(name: str, bounded: bool) -> dict[str, Any]:
    metadata = _HINTS[name].__metadata__
    (option,) = (each for each in metadata if isinstance(each, Option))
    kind: Any = {
        "number": Number(),
        "return": TargetReturn(),
        "duration": Duration(),
        "retention rule": RetentionRuleType(),
        "flag": bool,
        "folder": click.Path(file_okay=False, resolve_path=True),
    }
    for inner in get_args(_HINTS[name].__origin__):  # of what may be None too
        metadata += getattr(inner, "__metadata__", ())
    minima = [each.ge for each in metadata if isinstance(each, Meta) and each.ge is not None]
    kind["integer"] = click.IntRange(min=int(minima[0])) if bounded and minima else int
    return {"type": kind[option.kind], "help": option.help}
