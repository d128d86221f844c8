"""Submission of a pool to SLURM: the batch script, and job arrays that follow one another."""

from __future__ import annotations

import os
import re
import shlex
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from poolrl.doctor.examination import check_file_system
from poolrl.errors import PoolrlError, UsageError
from poolrl.formatting import count
from poolrl.import_path import python_command
from poolrl.launch import slurm
from poolrl.launch.pool_setup import user_arguments, validate
from poolrl.launch.requeue import AT_LIMIT
from poolrl.output import results
from poolrl.pool.directory import Pool, make_pool
from poolrl.pool.stop_criteria import is_last
from poolrl.records.work_units import Unit
from poolrl.records.worker_records import Submission
from poolrl.storage.layout import Layout
from poolrl.storage.submissions import job_name, save_submission

LEAD_SECONDS = 60
"""How long before the time limit SLURM signals a worker, up to SLURM's own resolution."""

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
    "--cpus-per-task": "--cpus-per-task",
    "-c": "--cpus-per-task",
}


@dataclass(frozen=True)
class Request:
    """Options of a submission.

    Attributes:
        time: time limit of a task, as SLURM writes it; by default that of the partition.
        partition: partition of the jobs.
        account: account that is charged.
        tasks: number of workers; by default one per branch.
        array_limit: how many of them may run at the same time.
        cpus_per_task: cores of a worker, each of which steps a part of its simulations.
        chain: number of arrays, each of which starts after the one before.
        sbatch_arguments: other options of sbatch.
        before: shell lines to run before the worker.

    Raises:
        UsageError: sbatch could not accept one of them.
    """

    time: str | None = None
    partition: str | None = None
    account: str | None = None
    tasks: int | None = None
    array_limit: int | None = None
    cpus_per_task: int = 1
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
        for line in self.before:
            if any("\ud800" <= character <= "\udfff" for character in line):
                raise UsageError(f"--before {line!r}: not text in UTF-8")
        for argument in self.sbatch_arguments:
            name = argument.partition("=")[0].partition(" ")[0]
            if not name.startswith("--"):
                name = name[:2]  # its value may follow at once: -c4
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
        request: options of the submission.
        dry_run: print the batch script, and change nothing.

    Raises:
        UsageError: an input is wrong, or there is no sbatch.
        IncompatiblePool: the directory holds a pool of another specification.
        PoolrlError: sbatch refused; the message has its reason and what had been submitted.
    """
    if not dry_run:
        slurm.needs("sbatch")
    root = Path(os.path.abspath(root))  # a job may run in another directory
    valid = validate(config_file, root, overrides, from_agent, trust=trust)
    spec, run = valid.spec, valid.run
    tasks = request.tasks or spec.pool.count
    text = script(root, request, tasks, user_arguments(spec, overrides))
    if dry_run:
        click.echo(text, nl=False, file=results())
        return
    _check_file_system(root)
    pool = make_pool(root, spec, run, valid.first_agent)
    if _is_over(pool):
        finished = f"{root}: finished; --iterations extends it beyond {run.iterations}"
        click.echo(finished, file=results())
        return
    pool.store.replace(pool.layout.script, text.encode())
    jobs = _submit(pool, text, request, tasks)
    click.echo(_summary(root, jobs, tasks), file=results())
    if valid.disk_line is not None:
        click.echo(valid.disk_line, file=results())


def script(root: Path, request: Request, tasks: int, arguments: Sequence[str] = ()) -> str:
    """The batch script, which is all that is submitted.

    Args:
        root: absolute path of the pool's directory.
        request: options of the submission.
        tasks: number of workers.
        arguments: further arguments of each worker.

    Raises:
        UsageError: the path is not one line of text.
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
        f"--cpus-per-task={request.cpus_per_task}",
        *([f"--time={request.time}"] if request.time else []),
        *([f"--partition={request.partition}"] if request.partition else []),
        *([f"--account={request.account}"] if request.account else []),
        "--requeue",
        "--open-mode=append",
        f"--signal=B:USR1@{LEAD_SECONDS}",
        f"--output={output}",
    ]
    command = [*python_command("poolrl"), "run", "--one-worker", "--pool-directory"]
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


def _check_file_system(root: Path) -> None:
    """Check the file system from this machine; that of the workers may differ.

    Raises:
        UsageError: no pool can be safe on it.
    """
    base = root
    while not os.path.lexists(base) and base != base.parent:
        base = base.parent
    results = check_file_system(base)
    refused = [result.found for result in results if result.level == "refused"]
    if refused:
        raise UsageError(f"{root}: no pool can be safe here: {'; '.join(refused)}")
    for result in results:
        if result.level == "warning":
            advice = f"; {result.advice}" if result.advice else ""
            click.echo(f"warning: {result.check}: {result.found}{advice}", err=True)


def _is_over(pool: Pool) -> bool:
    """Whether the pool has its last merge and its closing evaluation."""
    deposit_store = pool.deposit_store()
    newest = deposit_store.newest_merge()
    if newest is None or not is_last(newest, pool.run, pool.spec.selection):
        return False
    return deposit_store.deposit(Unit(newest.iteration, "closing", 0)) is not None


def _submit(pool: Pool, text: str, request: Request, tasks: int) -> list[str]:
    jobs: list[str] = []
    for _ in range(request.chain):
        # Start when every task of the array before has ended, with any exit code.
        after = [f"--dependency=afterany:{jobs[-1]}"] if jobs else []
        try:
            jobs.append(slurm.submit(after, text))
        except PoolrlError as error:
            if "array specification" in str(error):  # SLURM's message for more than MaxArraySize
                raise UsageError(
                    f"{error}: {tasks} tasks may be more than this site allows in an array; fewer "
                    "--tasks serve all branches too"
                ) from error
            if not jobs:
                raise
            raise PoolrlError(f"{error}; submitted before that: {' '.join(jobs)}") from error
        # After each array, so that the jobs are known if this process is killed.
        submission = Submission(
            jobs=tuple(jobs), tasks=tasks, submitted=time.time(), host=socket.gethostname()
        )
        save_submission(pool.store, submission)
    return jobs


def _summary(root: Path, jobs: Sequence[str], tasks: int) -> str:
    directory = shlex.quote(str(root))
    arrays = f"job {jobs[0]}" if len(jobs) == 1 else f"jobs {', '.join(jobs)}, one after another"
    return (
        f"submitted {arrays}: {count(tasks, 'worker')} for {root}\n"
        f"watch:  poolrl status {directory} --watch\n"
        f"cancel: poolrl cancel {directory}\n"
        f"logs:   {root / 'logs'}/slurm-{jobs[0]}_*.out"
    )
