"""SLURM's commands, as far as poolrl needs them: sbatch, squeue, scancel and scontrol."""

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

QUEUE_SECONDS = 5.0
"""How long SLURM may take to tell of jobs, which nothing hangs on."""

PATIENCE_SECONDS = 60.0
"""How long it may take to do what it was asked for."""

JOB = re.compile(r"[1-9][0-9]{0,9}(_[0-9]{1,9})?")
"""A job's id, or that of a task of an array."""

_FIELDS = "%i|%T|%N|%r|%L|%S"


class Job(Struct, frozen=True):
    """A job as SLURM shows it.

    Attributes:
        job: its id; of tasks that wait, as in ``12_[4-9]``.
        state: as in PENDING or RUNNING.
        nodes: where it runs.
        reason: why it waits.
        time_left: of its time limit, as SLURM writes it.
        start: when it began, or should, as SLURM writes it.
    """

    job: str
    state: str
    nodes: str
    reason: str
    time_left: str
    start: str


def queue(ids: Iterable[str]) -> list[Job] | None:
    """What SLURM says of jobs; ``None`` where there is no SLURM, or it does not answer.

    Args:
        ids: of jobs or tasks; what looks like neither is passed over, since files told it.
    """
    wanted = sorted({match[0].partition("_")[0] for i in ids if (match := JOB.fullmatch(i))})
    if not wanted or shutil.which("squeue") is None:
        return None
    command = ["squeue", "--noheader", f"--jobs={','.join(wanted)}", f"--format={_FIELDS}"]
    try:
        done = _ask(command, QUEUE_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode != 0:
        # The last of these jobs has been forgotten.
        return [] if b"Invalid job id" in done.stderr else None
    return [
        Job(*map(str.strip, fields))
        for line in done.stdout.decode(errors="replace").splitlines()
        if len(fields := line.split("|")) == len(Job.__struct_fields__)
    ]


def submit(arguments: Sequence[str], script: str) -> str:
    """Submit a batch script.

    Returns:
        The id of the job.

    Raises:
        UsageError: there is no sbatch.
        PoolrlError: it refused; says why.
    """
    said = _run(["sbatch", "--parsable", *arguments], script)
    job = said.strip().partition(";")[0]
    if JOB.fullmatch(job) is None:
        raise PoolrlError(f"sbatch: no job id in what it said: {printable(said, 200)}")
    return job


def cancel(ids: Sequence[str], name: str, *, pending: bool = False) -> None:
    """Cancel one's own jobs of a name, or those of them that have not begun.

    The ids stand in files that somebody else may have written: the name keeps it from being other
    jobs.

    Raises:
        UsageError: there is no scancel.
        PoolrlError: it refused.
    """
    chosen = [i for i in ids if JOB.fullmatch(i)]
    if chosen:
        only = ["--state=PENDING"] if pending else []
        _run(["scancel", "--quiet", f"--name={name}", *only, *chosen])


def requeue(job: str) -> None:
    """Put this process's own job back into the queue; it is ended meanwhile.

    Raises:
        PoolrlError: it cannot be.
    """
    _run(["scontrol", "requeue", job])


def needs(command: str) -> None:
    """See that a command of SLURM's is there.

    Raises:
        UsageError: it is not.
    """
    if shutil.which(command) is None:
        raise UsageError(f"{command}: not found on the PATH; is this a login node of a SLURM?")


def _run(command: Sequence[str], given: str = "") -> str:
    needs(command[0])
    try:
        done = _ask(command, PATIENCE_SECONDS, given)
    except subprocess.TimeoutExpired:
        raise PoolrlError(f"{command[0]}: no answer after {PATIENCE_SECONDS:g} s") from None
    except OSError as error:
        raise PoolrlError(f"{command[0]}: {error.strerror}") from error
    if done.returncode != 0:
        said = re.sub(r"(?m)^\w+: (error|fatal): ", "", done.stderr.decode(errors="replace"))
        reason = "; ".join(dict.fromkeys(said.split("\n"))).strip("; ")
        reason = reason or f"exit code {done.returncode}"
        raise PoolrlError(f"{command[0]}: {printable(reason, 500)}")
    return done.stdout.decode(errors="replace")


def _ask(
    command: Sequence[str], seconds: float, given: str = ""
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command,
        input=given.encode(),
        capture_output=True,
        timeout=seconds,
        check=False,
        env=_plain_environment(),
    )


def _plain_environment() -> dict[str, str]:
    """Without the variables by which users change what these commands print or wait for."""
    changing = re.compile(r"(SQUEUE|SCANCEL)_.*|SBATCH_(WAIT|ARRAY_INX|PARSABLE)")
    return {name: value for name, value in os.environ.items() if not changing.fullmatch(name)}
