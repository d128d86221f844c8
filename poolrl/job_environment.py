"""What a launcher's environment variables mean: one table, a row for each kind of cluster."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_NAME = re.compile(r"[\w.,:@\[\]-]{1,200}")


@dataclass(frozen=True)
class Launcher:
    """The names of the variables that a launcher sets in its jobs; empty where it has none.

    Attributes:
        name: as users call it.
        job: the job's id, by whose presence the launcher is known.
        array: of an array, the id that all its tasks share.
        task: the number of a task within its array.
        task_min: the smallest such number.
        task_step: the distance between two.
        task_count: how many tasks the array has.
        node: the machine, as the launcher calls it.
        cores: the cores that a task was given.
        restarts: how often the job was begun anew.
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
class Environment:
    """Where a process runs, as its launcher tells.

    Attributes:
        launcher: its name; empty for a process that somebody started by hand.
        host: the machine, by the name that the launcher knows it by.
        job: the job's id, ``123``, or ``123_4`` for a task of an array; empty where there is none.
        branch: the place of a task in its array from 0 on, and so the branch that a worker there
            looks at first; ``None`` outside of arrays.
        tasks: how many tasks the array has; ``None`` outside of arrays.
        cores: the cores that the launcher gave; ``None`` where it does not say.
        restarts: how often the job was begun anew.
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
) -> Environment:
    """Where this process runs. A variable that holds nothing sensible counts as absent.

    Args:
        variables: of the environment; this process's by default.
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
        return Environment(
            launcher=launcher.name,
            host=_name(variables, launcher.node) or socket.gethostname(),
            job=job,
            branch=branch if task is not None else None,
            tasks=_number(variables, launcher.task_count) if task is not None else None,
            cores=_number(variables, launcher.cores) or None,
            restarts=_number(variables, launcher.restarts) or 0,
        )
    return Environment(launcher="", host=socket.gethostname())


def _name(variables: Mapping[str, str], key: str) -> str:
    value = variables.get(key, "")
    return value if _NAME.fullmatch(value) else ""


def _number(variables: Mapping[str, str], key: str) -> int | None:
    value = variables.get(key, "")
    return int(value) if re.fullmatch(r"[0-9]{1,9}", value) else None
