"""``poolrl doctor``: whether a file system can hold a pool."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from poolrl.cli.options import DIRECTORY

if TYPE_CHECKING:
    from poolrl.doctor.check_result import Finding


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

    from poolrl.doctor.examination import examine
    from poolrl.errors import Stopped, UsageError

    def leave(signum: int, frame: FrameType | None) -> None:
        raise Stopped.by(signum)  # what was made is removed on the way out

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)
    findings = examine(directory)
    refused = [finding for finding in findings if finding.level == "refused"]
    if as_json:
        table = {"directory": str(directory), "safe": not refused, "checks": findings}
        click.echo(msgspec.json.encode(table).decode())
    else:
        click.echo(_table(findings))
    if refused:
        found = "; ".join(finding.found for finding in refused)
        raise UsageError(f"{directory}: no pool can be safe here: {found}")


COLOURS = {"ok": "green", "note": "cyan", "warning": "yellow", "refused": "red"}


def _table(findings: list[Finding]) -> str:
    lines = []
    width = max(len(finding.check) for finding in findings)
    for finding in findings:
        level = click.style(f"{finding.level:<7}", fg=COLOURS[finding.level])
        lines.append(f"{level}  {finding.check:<{width}}  {finding.found}")
        if finding.advice:
            lines.append(f"{'':{9 + width}}  → {finding.advice}")
    return "\n".join(lines)
