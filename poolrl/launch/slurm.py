"""SLURM's commands: sbatch, squeue, scancel and scontrol."""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence

from msgspec import Struct

from poolrl.errors import PoolrlError, UsageError
from poolrl.files import printable

log = logging.getLogger("poolrl.slurm")

QUEUE_TIMEOUT_SECONDS = 5.0
"""Timeout of squeue; nothing depends on its output, which is only shown."""

COMMAND_TIMEOUT_SECONDS = 60.0
"""Timeout of the other commands."""

JOB = re.compile(r"[1-9][0-9]{0,9}(_[0-9]{1,9})?")
"""Id of a job, or of a task of an array."""

_FIELDS = "%i|%T|%N|%r|%L|%S"

_VARIABLES = {
    "array": ("ARRAY_INX",),
    "mem": ("MEM_PER_NODE",),
    "requeue": ("REQUEUE", "NO_REQUEUE"),
    "time": ("TIMELIMIT",),
}
"""Option of sbatch -> ends of its variables, where they are not named as it is."""


class Job(Struct, frozen=True):
    """A job as squeue lists it.

    Attributes:
        job: its id; ``12_[4-9]`` for pending tasks of an array.
        state: PENDING, RUNNING, …
        nodes: nodes that it runs on.
        reason: why it is pending.
        time_left: rest of its time limit, as SLURM writes it.
        start: actual or expected start, as SLURM writes it.
    """

    job: str
    state: str
    nodes: str
    reason: str
    time_left: str
    start: str


def queue(ids: Iterable[str], name: str | None = None) -> list[Job] | None:
    """List jobs with squeue.

    Args:
        ids: ids of jobs or tasks. Other text is ignored, since the ids come from untrusted files.
        name: of the jobs; any by default.

    Returns:
        The jobs that SLURM still knows; ``None`` without SLURM, or if it does not answer.
    """
    wanted = sorted({match[0].partition("_")[0] for i in ids if (match := JOB.fullmatch(i))})
    if not wanted or shutil.which("squeue") is None:
        return None
    command = ["squeue", "--noheader", f"--jobs={','.join(wanted)}", f"--format={_FIELDS}"]
    command += [] if name is None else [f"--name={name}"]
    try:
        done = _ask(command, QUEUE_TIMEOUT_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode != 0:
        # SLURM no longer knows any of these jobs.
        return [] if b"Invalid job id" in done.stderr else None
    return [
        Job(*map(str.strip, fields))
        for line in done.stdout.decode(errors="replace").splitlines()
        if len(fields := line.split("|")) == len(Job.__struct_fields__)
    ]


def submit(arguments: Sequence[str], script: str) -> str:
    """Submit a batch script with sbatch.

    Returns:
        The id of the job.

    Raises:
        UsageError: there is no sbatch.
        PoolrlError: sbatch refused; the message has its reason.
    """
    said = _run(["sbatch", "--parsable", *arguments], script)
    job = said.strip().partition(";")[0]
    if JOB.fullmatch(job) is None:
        raise PoolrlError(f"sbatch: no job id in what it said: {printable(said, 200)}")
    return job


def cancel(ids: Sequence[str], name: str, *, pending: bool = False) -> None:
    """Cancel the user's jobs that have both one of these ids and this name.

    Args:
        ids: ids from untrusted files, for which the name is the safeguard.
        name: name of the jobs.
        pending: cancel only jobs that have not started.

    Raises:
        UsageError: there is no scancel.
        PoolrlError: scancel failed.
    """
    chosen = [i for i in ids if JOB.fullmatch(i)]
    if chosen:
        only = ["--state=PENDING"] if pending else []
        _run(["scancel", "--quiet", f"--name={name}", *only, *chosen])


def requeue(job: str) -> None:
    """Requeue the job of this process, which SLURM ends.

    Raises:
        PoolrlError: scontrol refused.
    """
    _run(["scontrol", "requeue", job])


def needs(command: str) -> None:
    """Check that a command of SLURM is on the PATH.

    Raises:
        UsageError: it is not.
    """
    if shutil.which(command) is None:
        raise UsageError(f"{command}: not found on the PATH; is this a login node of a SLURM?")


def _run(command: Sequence[str], stdin: str = "") -> str:
    needs(command[0])
    try:
        done = _ask(command, COMMAND_TIMEOUT_SECONDS, stdin)
    except subprocess.TimeoutExpired:
        raise PoolrlError(f"{command[0]}: no answer after {COMMAND_TIMEOUT_SECONDS:g} s") from None
    except OSError as error:
        raise PoolrlError(f"{command[0]}: {error.strerror}") from error
    if done.returncode != 0:
        said = re.sub(r"(?m)^\w+: (error|fatal): ", "", done.stderr.decode(errors="replace"))
        reason = "; ".join(dict.fromkeys(said.split("\n"))).strip("; ")
        reason = reason or f"exit code {done.returncode}"
        raise PoolrlError(f"{command[0]}: {printable(reason, 500)}")
    return done.stdout.decode(errors="replace")


def _ask(
    command: Sequence[str], timeout: float, stdin: str = ""
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command,
        input=stdin.encode(),
        capture_output=True,
        timeout=timeout,
        check=False,
        env=_plain_environment(stdin),
    )


def _plain_environment(script: str) -> dict[str, str]:
    """The environment without variables that change what these commands print or wait for, and
    without those of the options in a batch script, which sbatch would take instead of them."""
    options = re.findall(r"(?m)^#SBATCH '?--([\w-]+)", script)
    ends = (_VARIABLES.get(each, (each.upper().replace("-", "_"),)) for each in options)
    others = "|".join(["WAIT", "PARSABLE", *(end for each in ends for end in each)])
    changing = re.compile(rf"(SQUEUE|SCANCEL)_.*|SBATCH_({others})")
    return {name: value for name, value in os.environ.items() if not changing.fullmatch(name)}
