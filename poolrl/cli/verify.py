"""``poolrl verify``: hold a pool against its rules."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from poolrl.cli.options import moved_option, network_option, pool_argument, trust_option
from poolrl.formatting import count
from poolrl.interrupts import stoppable
from poolrl.output import results

if TYPE_CHECKING:
    from poolrl.monitoring.verified_pool import VerifiedPool
    from poolrl.pool.directory import Pool
    from poolrl.records.consistency import Discrepancy
    from poolrl.records.records import MergeRecord, UnitRecord


@click.command()
@pool_argument
@click.option("--sample", type=click.IntRange(min=0), help="Units to compute again.  [default: 5]")
@click.option("--all", "everything", is_flag=True, help="Compute every unit again.")
@click.option("--iteration", type=click.IntRange(min=0), help="Compute this iteration's units.")
@click.option(
    "--branch", type=click.IntRange(min=0), help="Compute this branch of the iteration alone."
)
@click.option("--task", "task_id", metavar="ID", help="The pool's task, if it is a user's own.")
@network_option
@moved_option
@trust_option
@stoppable()
def command(
    pool: Path,
    sample: int | None,
    everything: bool,
    iteration: int | None,
    branch: int | None,
    task_id: str | None,
    network: str | None,
    arguments: tuple[tuple[str, Any], ...],
    trust: bool,
) -> None:
    """Check every record, hash and merge of a pool, and compute some of its units again.

    What differs is printed by file and key, and the exit code is 4 when anything does. Units are
    drawn at random unless they are named; --sample 0 looks at files alone. The same bits come out
    on the same machine and versions; where those differ, a difference says so.
    """
    from poolrl.errors import IncompatiblePool
    from poolrl.monitoring.verify import verify_files
    from poolrl.pool.directory import open_pool

    if sum([sample is not None, everything, iteration is not None]) > 1:
        raise click.UsageError("--sample, --all and --iteration: give one of them")
    if branch is not None and iteration is None:
        raise click.UsageError("--branch: needs --iteration")
    opened = open_pool(pool)
    if sample != 0:
        from poolrl import tasks
        from poolrl.networks import permissions

        tasks.permit(opened.spec.task, task_id, trust=trust)
        permissions.permit(opened.spec.network, network, trust=trust)
        tasks.move_model(opened.spec.task, dict(arguments))
    verified = verify_files(opened)
    _print(verified.discrepancies)
    chosen = _choose(verified, 5 if sample is None else sample, everything, iteration, branch)
    means = []
    if everything or (iteration is not None and branch is None):
        means = verified.recomputable_means(iteration)
    different = _recompute(opened, verified, chosen, means) if chosen else []
    click.echo(
        f"{count(len(verified.merges), 'merge')} and {count(len(verified.units), 'record')} "
        f"checked, {count(len(chosen), 'unit')} computed again"
        + (
            f"; set aside as damaged: {count(aside, 'file')}"
            if (aside := verified.set_aside)
            else ""
        ),
        file=results(),
    )
    if number := len(verified.discrepancies) + len(different):
        raise IncompatiblePool(f"{pool}: {count(number, 'difference')}")


def _choose(
    verified: VerifiedPool, sample: int, everything: bool, iteration: int | None, branch: int | None
) -> list[UnitRecord]:
    import random

    from poolrl.errors import UsageError

    records = verified.recomputable_records()
    if iteration is not None:
        named = [
            record
            for record in records
            if record.iteration == iteration
            and (branch is None or (record.kind, record.index) == ("branch", branch))
        ]
        if not named:
            which = f"iteration {iteration}" + ("" if branch is None else f" branch {branch}")
            raise UsageError(f"{which}: the pool has no deposit that can be computed again")
        return named
    if everything:
        return records
    # A sample is to be quick: nothing that needs others to be computed again before it.
    records = [record for record in records if verified.has_its_window(record)]
    if sample >= len(records):
        return records
    chosen = set(random.sample(range(len(records)), sample))
    return [record for index, record in enumerate(records) if index in chosen]


def _recompute(
    pool: Pool, verified: VerifiedPool, chosen: list[UnitRecord], means: list[MergeRecord]
) -> list[Discrepancy]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as TimeColumn

    from poolrl.report.console import make_console
    from poolrl.worker.recomputation import Recomputer

    console = make_console(stderr=True)
    found: list[Discrepancy] = []
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeColumn()
    with (
        closing(Recomputer(pool, verified.merges)) as recomputer,
        Progress(
            *columns, console=console, transient=True, disable=not console.is_interactive
        ) as bar,
    ):
        if recomputer.warning is not None:
            click.echo(f"warning: {recomputer.warning}", err=True)
        task = bar.add_task("", total=len(chosen))
        left = {merged.iteration: merged for merged in means}
        for position, record in enumerate(chosen):
            bar.update(task, description=f"iteration {record.iteration} {record.unit.stem}")
            different = recomputer.differences(
                record, verified.starting_merge(record.unit), verified.units
            )
            following = chosen[position + 1].iteration if position + 1 < len(chosen) else None
            if record.iteration != following and record.iteration in left:
                # Now that its branches are known.
                previous = verified.merges[record.iteration - 1]
                merged = left.pop(record.iteration)
                different += recomputer.mean_differences(merged, previous, verified.units)
            _print(different)
            found += different
            bar.advance(task)
    return found


def _print(discrepancies: list[Discrepancy]) -> None:
    for discrepancy in discrepancies:
        click.echo(str(discrepancy), file=results())
