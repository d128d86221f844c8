"""Shared by the benchmarks: one thread, one core, tables in Markdown, and their files.

Import this module first: it limits NumPy and torch to one thread, which must precede their import.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from poolrl.threads import use_single_thread

use_single_thread()


def one_core() -> None:
    """Bind this process to one core, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def clock(*, running: bool) -> None:
    """Let MuJoCo read the clock of its Python package, or none, as in poolrl."""
    import mujoco

    from poolrl.tasks.mujoco.callbacks import stop_clock

    mujoco.set_mjcb_time(None)
    if not running:
        stop_clock()


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Format a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def number(value: float) -> str:
    """A score with as many digits as it needs."""
    return f"{value:.0f}" if abs(value) >= 10 else f"{value:.2f}"


def geometric_mean(values: Iterable[float]) -> float:
    """Geometric mean of ratios."""
    logs = [math.log(value) for value in values]
    return math.exp(sum(logs) / len(logs))


def keep(output: Path | None, title: str, command: str, body: str) -> None:
    """Print the result of a benchmark, and write it to a file with the versions that were used.

    Args:
        output: path of the file; ``None`` to print only.
        title: heading of the file.
        command: the command that repeats the benchmark.
        body: text in Markdown.
    """
    import click

    from poolrl.provenance import versions

    click.echo(body)
    if output is None:
        return
    used = ", ".join(f"{name} {version}" for name, version in versions().items())
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(f"# {title}\n\n`{command}`\n\n{body}\n\n{used}\n")
