"""Consoles: what is drawn again and again is for a terminal alone."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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


@contextmanager
def progress_bar() -> Iterator[Callable[[int, int], None]]:
    """Show a bar on a terminal, in standard error; nothing elsewhere.

    Yields:
        A function that is called with how much is done, and of how much.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    console = make_console(stderr=True)
    columns = BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    disable = not console.is_interactive
    with Progress(*columns, console=console, transient=True, disable=disable) as bar:
        task = bar.add_task("")
        yield lambda done, total: bar.update(task, completed=done, total=total)
