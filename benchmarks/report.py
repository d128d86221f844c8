"""What the benchmarks share: one thread, one core, and a table that is printed and kept.

Import this first: it says how many threads NumPy and torch may have before they are loaded.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"


def one_core() -> None:
    """Stay on one core, where the system can say so."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def clock(*, running: bool) -> None:
    """Have MuJoCo read the clock that its Python package comes with, or none, as in poolrl."""
    import mujoco

    from poolrl.tasks.mujoco.callbacks import stop_clock

    mujoco.set_mjcb_time(None)
    if not running:
        stop_clock()


def table(head: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def geometric_mean(values: Iterable[float]) -> float:
    """The mean of ratios."""
    logs = [math.log(value) for value in values]
    return math.exp(sum(logs) / len(logs))


def keep(output: Path | None, title: str, command: str, body: str) -> None:
    """Print a benchmark's result, and write it to a file with the versions it was seen with."""
    import click

    from poolrl.provenance import versions

    click.echo(body)
    if output is None:
        return
    used = ", ".join(f"{name} {version}" for name, version in versions().items())
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(f"# {title}\n\n`{command}`\n\n{body}\n\n{used}\n")
