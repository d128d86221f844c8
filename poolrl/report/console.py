"""Consoles: what is drawn again and again is for a terminal alone."""

from __future__ import annotations

import sys

from rich.console import Console


def make_console(*, stderr: bool = False, soft_wrap: bool = False) -> Console:
    """Return a console for plain text, whose ``is_interactive`` says whether a bar may be drawn.

    FORCE_COLOR and TTY_COMPATIBLE make rich take a file for a terminal, and a terminal that cannot
    move its cursor (TERM=dumb) is one too; both get lines.

    Args:
        stderr: write to standard error.
        soft_wrap: let the terminal wrap long lines.
    """
    stream = sys.stderr if stderr else sys.stdout
    return Console(
        stderr=stderr,
        markup=False,  # a path, or an id, may hold brackets
        highlight=False,
        soft_wrap=soft_wrap,
        force_interactive=None if stream.isatty() else False,
    )
