"""``poolrl doctor``: check whether a file system can hold a pool."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from poolrl.cli.options import DIRECTORY
from poolrl.files import path_text
from poolrl.output import json_text

if TYPE_CHECKING:
    from poolrl.doctor.checks import CheckResult


@click.command()
@click.argument("directory", type=DIRECTORY)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(directory: Path, as_json: bool) -> None:
    """Try the file system of DIRECTORY: a pool's, or where one shall be.

    Leaves nothing behind. Exit code 2 where no pool can be safe.
    """
    import signal
    from types import FrameType

    import msgspec

    from poolrl.doctor.examination import check_file_system
    from poolrl.errors import Stopped, UsageError

    def leave(signum: int, frame: FrameType | None) -> None:
        raise Stopped.by(signum)  # test files are removed while it propagates

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)
    results = check_file_system(directory)
    refused = [result for result in results if result.level == "refused"]
    if as_json:
        table = {"directory": path_text(directory), "safe": not refused, "checks": results}
        click.echo(json_text(msgspec.json.encode(table)))
    else:
        click.echo(_table(results))
    if refused:
        found = "; ".join(result.found for result in refused)
        raise UsageError(f"{directory}: no pool can be safe here: {found}")


COLOURS = {"ok": "green", "note": "cyan", "warning": "yellow", "refused": "red"}


def _table(results: list[CheckResult]) -> str:
    lines = []
    width = max(len(result.check) for result in results)
    for result in results:
        level = click.style(f"{result.level:<7}", fg=COLOURS[result.level])
        lines.append(f"{level}  {result.check:<{width}}  {result.found}")
        if result.advice:
            lines.append(f"{'':{9 + width}}  → {result.advice}")
    return "\n".join(lines)
