"""A pool on a SLURM cluster: its batch script, its arrays, and how they follow one another."""

from __future__ import annotations

import os
import re
import shlex
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from poolrl.doctor import examination as doctor
from poolrl.errors import PoolrlError, UsageError
from poolrl.launch import slurm
from poolrl.launch.requeue import AT_LIMIT
from poolrl.launch.run import task_arguments, validate
from poolrl.pool.directory import Pool, make_pool
from poolrl.pool.stop_criteria import is_last
from poolrl.records.records import Submission
from poolrl.records.work_units import Unit
from poolrl.storage import store
from poolrl.storage.deposits import Archive
from poolrl.storage.layout import Layout
from poolrl.storage.submissions import job_name, note

LEAD_SECONDS = 60
"""How long before its time limit a worker is told, SLURM's own coarseness aside."""

_TIME = re.compile(r"\d+(:\d{1,2}){0,2}|\d+-\d{1,2}(:\d{1,2}){0,2}")
_OURS = {
    "--array": "--tasks and --array-limit",
    "-a": "--tasks and --array-limit",
    "--job-name": "nothing, since jobs are cancelled by their name",
    "-J": "nothing, since jobs are cancelled by their name",
    "--dependency": "--chain",
    "-d": "--chain",
    "--time": "--time",
    "-t": "--time",
    "--wrap": "--before",
}


@dataclass(frozen=True)
class Request:
    """What to ask of a cluster.

    Attributes:
        time: limit of a task, as SLURM writes it; the partition's own by default.
        partition: where to run.
        account: who pays.
        tasks: workers; one a branch by default.
        array_limit: how many of them at the same time.
        chain: arrays, each after the one before.
        sbatch_arguments: other options of sbatch.
        before: shell lines that run before the worker.

    Raises:
        UsageError: one of them is nothing that sbatch could take.
    """

    time: str | None = None
    partition: str | None = None
    account: str | None = None
    tasks: int | None = None
    array_limit: int | None = None
    chain: int = 1
    sbatch_arguments: tuple[str, ...] = ()
    before: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.time is not None and _TIME.fullmatch(self.time) is None:
            raise UsageError(f"--time {self.time}: write 02:00:00, or 1-12:00:00 for 36 hours")
        for option, value in (
            ("--partition", self.partition),
            ("--account", self.account),
            *(("--sbatch-arg", each) for each in self.sbatch_arguments),
        ):
            if value is not None and (not value or not value.isprintable()):
                raise UsageError(f"{option} {value!r}: not one line of text")
        for argument in self.sbatch_arguments:
            name = argument.partition("=")[0].partition(" ")[0]
            if not argument.startswith("-"):
                raise UsageError(f"--sbatch-arg {argument}: write it as sbatch would, --mem=2G")
            if name in _OURS:
                raise UsageError(f"--sbatch-arg {argument}: give {_OURS[name]} instead")


def submit_pool(
    config_file: Path | None,
    root: Path,
    overrides: Mapping[str, Any],
    from_agent: Path | None,
    request: Request,
    *,
    trust: bool = False,
    dry_run: bool = False,
) -> None:
    """Make a pool, or open the one that is there, and submit workers for it.

    Args:
        config_file, root, overrides, from_agent, trust: as for ``launch.run.run_pool``.
        request: what to ask of the cluster.
        dry_run: print the batch script, and change nothing.

    Raises:
        UsageError: an input is wrong, or there is no sbatch.
        IncompatiblePool: the directory holds a pool of another specification.
        PoolrlError: sbatch refused; says why, and what had been submitted.
    """
    if not dry_run:
        slurm.needs("sbatch")
    root = Path(os.path.abspath(root))  # a job may run elsewhere
    spec, run, data = validate(config_file, root, overrides, from_agent, trust=trust)
    tasks = request.tasks or spec.pool.count
    text = script(root, request, tasks, task_arguments(spec, overrides))
    if dry_run:
        click.echo(text, nl=False)
        return
    _examine(root)
    pool = make_pool(root, spec, run, data)
    if _is_over(pool):
        click.echo(f"{root}: finished; --iterations extends it beyond {run.iterations}")
        return
    store.replace(pool.layout.script, text.encode())
    jobs = _submit(pool, text, request, tasks)
    click.echo(_told(root, jobs, tasks))


def script(root: Path, request: Request, tasks: int, arguments: Sequence[str] = ()) -> str:
    """The batch script, which is all that is submitted.

    Args:
        root: the pool's directory, absolute.
        request: what to ask of the cluster.
        tasks: workers.
        arguments: of each worker.

    Raises:
        UsageError: the directory's name does not fit into a line.
    """
    if not str(root).isprintable():
        raise UsageError(f"{str(root)!r}: not one line of text, which a batch script needs")
    layout = Layout(root)
    limit = f"%{request.array_limit}" if request.array_limit else ""
    output = str(layout.logs / "slurm").replace("%", "%%") + "-%A_%a.out"
    options = [
        f"--job-name={job_name(layout)}",
        f"--array=0-{tasks - 1}{limit}",
        "--ntasks=1",
        "--cpus-per-task=1",
        *([f"--time={request.time}"] if request.time else []),
        *([f"--partition={request.partition}"] if request.partition else []),
        *([f"--account={request.account}"] if request.account else []),
        "--requeue",
        "--open-mode=append",
        f"--signal=B:USR1@{LEAD_SECONDS}",
        f"--output={output}",
    ]
    command = [sys.executable, "-m", "poolrl", "run", "--one-worker", "--pool-directory"]
    lines = [
        "#!/usr/bin/env bash",
        "# Written by `poolrl submit`: each task of this array is one worker of a pool.",
        *(f"#SBATCH {shlex.quote(option)}" for option in options),
        *(f"#SBATCH {argument}" for argument in request.sbatch_arguments),
        f"export {AT_LIMIT}={'requeue' if request.chain == 1 else 'end'}",
        *request.before,
        f"exec {shlex.join([*command, str(root), *arguments])}",
    ]
    return "\n".join(lines) + "\n"


def _examine(root: Path) -> None:
    """Try the directory, from here; workers on other machines may see another file system."""
    base = root
    while not os.path.lexists(base) and base != base.parent:
        base = base.parent
    findings = doctor.examine(base)
    refused = [finding.found for finding in findings if finding.level == "refused"]
    if refused:
        raise UsageError(f"{root}: no pool can be safe here: {'; '.join(refused)}")
    for finding in findings:
        if finding.level == "warning":
            advice = f"; {finding.advice}" if finding.advice else ""
            click.echo(f"warning: {finding.check}: {finding.found}{advice}", err=True)


def _is_over(pool: Pool) -> bool:
    """Whether there is nothing left to do, and a result."""
    archive = Archive(pool)
    newest = archive.newest_merge()
    if newest is None or not is_last(newest, pool.run):
        return False
    return archive.deposit(Unit(newest.iteration, "closing", 0)) is not None


def _submit(pool: Pool, text: str, request: Request, tasks: int) -> list[str]:
    jobs: list[str] = []
    for _ in range(request.chain):
        # Not before every task of the array before has ended, however it did.
        after = [f"--dependency=afterany:{jobs[-1]}"] if jobs else []
        try:
            jobs.append(slurm.submit(after, text))
        except PoolrlError as error:
            if "array specification" in str(error):  # as SLURM says of more than its MaxArraySize
                raise UsageError(
                    f"{error}: {tasks} tasks may be more than this site allows in an array; fewer "
                    "--tasks serve all branches too"
                ) from error
            if not jobs:
                raise
            raise PoolrlError(f"{error}; submitted before that: {' '.join(jobs)}") from error
        # After each one: what is submitted must be known, whatever happens to this process.
        submission = Submission(
            jobs=tuple(jobs), tasks=tasks, submitted=time.time(), host=socket.gethostname()
        )
        note(pool.layout, submission)
    return jobs


def _told(root: Path, jobs: Sequence[str], tasks: int) -> str:
    place = shlex.quote(str(root))
    arrays = f"job {jobs[0]}" if len(jobs) == 1 else f"jobs {', '.join(jobs)}, one after another"
    return (
        f"submitted {arrays}: {tasks} workers for {root}\n"
        f"watch:  poolrl status {place} --watch\n"
        f"cancel: poolrl cancel {place}\n"
        f"logs:   {root / 'logs'}/slurm-{jobs[0]}_*.out"
    )
