"""When pools reached a return, and where they ended, as rows of a table.

    python benchmarks/summarize.py POOL [...] [--target 163] [--at-minutes M] [--at-steps N]

A pool has reached the target at the first champion whose re-evaluation, an unbiased measurement,
is at least that. Minutes are working time; `with a core a branch` is what the same iterations
would have taken if every unit had had a core of its own. `--at-minutes` and `--at-steps` name the
champion that stood then, for benchmarks/check_gymnasium.py.
"""

from __future__ import annotations

import report  # isort: skip  (before NumPy is loaded)

from pathlib import Path

import click

from poolrl.monitoring.history import History, read_history

HEAD = ["pool", "branches", "iterations", "M steps", "minutes", "with a core a branch, min"]
HEAD += ["target reached: iteration", "M steps", "minutes", "with a core a branch, min"]


def row(history: History, target: float) -> list[str]:
    """The cells of one pool."""
    table = history.table()
    ends = table[table["kind"] != "closing"].groupby("iteration")["elapsed"].max()
    last = history.merges[-1]
    reached = next(
        (m for m in history.merges if m.parent_score is not None and m.parent_score >= target), None
    )
    cells = [
        history.pool.layout.root.name,
        str(history.pool.spec.pool.count),
        str(last.iteration),
        f"{last.environment_steps / 1e6:.2f}",
        f"{ends[last.iteration] / 60:.1f}",
        f"{history.seconds_with_one_core_per_branch() / 60:.1f}",
    ]
    if reached is None:
        cells += ["–"] * 4
    else:
        # The parent of this iteration is the champion of the one before.
        champion = history.merges[reached.iteration - 1]
        cells += [
            str(champion.iteration),
            f"{champion.environment_steps / 1e6:.2f}",
            f"{ends[champion.iteration] / 60:.1f}",
            f"{history.seconds_with_one_core_per_branch(champion.iteration) / 60:.1f}",
        ]
    return cells


@click.command()
@click.argument("pools", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--target", default=163.0, show_default=True)
@click.option("--at-minutes", type=float)
@click.option("--at-steps", type=float)
def main(
    pools: tuple[Path, ...], target: float, at_minutes: float | None, at_steps: float | None
) -> None:
    """Print a table of pools."""
    histories = [read_history(path) for path in pools]
    click.echo(report.table(HEAD, [row(history, target) for history in histories]))
    for history in histories:
        table = history.table()
        ends = table[table["kind"] != "closing"].groupby("iteration")["elapsed"].max()
        for merge in reversed(history.merges):
            in_time = at_minutes is None or ends[merge.iteration] <= 60 * at_minutes
            if in_time and (at_steps is None or merge.environment_steps <= at_steps):
                if at_minutes is not None or at_steps is not None:
                    click.echo(history.pool.layout.resolve(merge.champion.path))
                break


if __name__ == "__main__":
    main()
