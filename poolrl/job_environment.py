"""Environment variables of cluster launchers: one table, a row per kind of cluster."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_NAME = re.compile(r"[\w.,:@\[\]-]{1,200}")


@dataclass(frozen=True)
class Launcher:
    """Names of the variables that a launcher sets in its jobs; empty where it has none.

    Attributes:
        name: name of the launcher.
        job: id of the job; its presence identifies the launcher.
        array: id that all tasks of an array share.
        task: number of a task within its array.
        task_min: smallest such number.
        task_step: distance between two of them.
        task_count: number of tasks in the array.
        node: name of the machine.
        cores: number of cores of a task.
        restarts: how often the job was restarted.
    """

    name: str
    job: str
    array: str = ""
    task: str = ""
    task_min: str = ""
    task_step: str = ""
    task_count: str = ""
    node: str = ""
    cores: str = ""
    restarts: str = ""


SLURM = Launcher(
    name="SLURM",
    job="SLURM_JOB_ID",
    array="SLURM_ARRAY_JOB_ID",
    task="SLURM_ARRAY_TASK_ID",
    task_min="SLURM_ARRAY_TASK_MIN",
    task_step="SLURM_ARRAY_TASK_STEP",
    task_count="SLURM_ARRAY_TASK_COUNT",
    node="SLURMD_NODENAME",
    cores="SLURM_CPUS_PER_TASK",
    restarts="SLURM_RESTART_COUNT",
)

LAUNCHERS = (SLURM,)
"""The table."""


@dataclass(frozen=True)
class JobEnvironment:
    """Where a process runs, according to its launcher.

    Attributes:
        launcher: name of the launcher; empty for a process that was started by hand.
        host: name of the machine, as the launcher knows it.
        job: id of the job, ``123``, or ``123_4`` for a task of an array; empty without a job.
        branch: index of the task in its array, from 0 on, which is the branch that its worker
            tries first; ``None`` outside of arrays.
        tasks: number of tasks in the array; ``None`` outside of arrays.
        cores: number of cores of the task; ``None`` where the launcher does not set it.
        restarts: how often the job was restarted.
    """

    launcher: str
    host: str
    job: str = ""
    branch: int | None = None
    tasks: int | None = None
    cores: int | None = None
    restarts: int = 0


def detect(
    variables: Mapping[str, str] | None = None, launchers: Sequence[Launcher] = LAUNCHERS
) -> JobEnvironment:
    """Read where this process runs. A variable with an invalid value counts as absent.

    Args:
        variables: environment variables; by default those of this process.
        launchers: the table.
    """
    variables = os.environ if variables is None else variables
    for launcher in launchers:
        job = _name(variables, launcher.job)
        if not job:
            continue
        task = _number(variables, launcher.task)
        if task is not None:
            job = f"{_name(variables, launcher.array) or job}_{task}"
            first = _number(variables, launcher.task_min) or 0
            step = _number(variables, launcher.task_step) or 1
            branch = max(0, task - first) // step
        return JobEnvironment(
            launcher=launcher.name,
            host=_name(variables, launcher.node) or socket.gethostname(),
            job=job,
            branch=branch if task is not None else None,
            tasks=_number(variables, launcher.task_count) if task is not None else None,
            cores=_number(variables, launcher.cores) or None,
            restarts=_number(variables, launcher.restarts) or 0,
        )
    return JobEnvironment(launcher="", host=socket.gethostname())


def _name(variables: Mapping[str, str], key: str) -> str:
    value = variables.get(key, "")
    return value if _NAME.fullmatch(value) else ""


def _number(variables: Mapping[str, str], key: str) -> int | None:
    value = variables.get(key, "")
    return int(value) if re.fullmatch(r"[0-9]{1,9}", value) else None
