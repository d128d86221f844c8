"""What launchers' variables mean."""

from __future__ import annotations

import socket

import pytest

from poolrl.job_environment import LAUNCHERS, JobEnvironment, Launcher, detect

TASK = {
    "SLURM_JOB_ID": "1007",
    "SLURM_ARRAY_JOB_ID": "1000",
    "SLURM_ARRAY_TASK_ID": "7",
    "SLURM_ARRAY_TASK_MIN": "1",
    "SLURM_ARRAY_TASK_MAX": "19",
    "SLURM_ARRAY_TASK_STEP": "2",
    "SLURM_ARRAY_TASK_COUNT": "10",
    "SLURMD_NODENAME": "n3",
    "SLURM_CPUS_PER_TASK": "2",
}


def test_without_a_launcher_there_is_a_host_and_no_job() -> None:
    assert detect({"HOME": "/home/me"}) == JobEnvironment("", socket.gethostname())


def test_a_task_of_an_array() -> None:
    assert detect(TASK) == JobEnvironment("SLURM", "n3", "1000_7", branch=3, tasks=10, cores=2)
    assert detect(TASK | {"SLURM_RESTART_COUNT": "4"}).restarts == 4


def test_a_job_without_an_array_prefers_no_branch() -> None:
    assert detect({"SLURM_JOB_ID": "12"}) == JobEnvironment("SLURM", socket.gethostname(), "12")


@pytest.mark.parametrize("value", ["", "none", "-1", "1e3", "٣", "9" * 30, "1\n"])
def test_what_is_no_number_counts_as_absent(value: str) -> None:
    found = detect(TASK | {"SLURM_CPUS_PER_TASK": value, "SLURM_RESTART_COUNT": value})
    assert (found.cores, found.restarts) == (None, 0)
    assert detect(TASK | {"SLURM_ARRAY_TASK_ID": value}).branch is None


def test_what_no_record_may_hold_counts_as_absent() -> None:
    assert detect(TASK | {"SLURMD_NODENAME": "a\nb"}).host == socket.gethostname()
    assert detect(TASK | {"SLURM_JOB_ID": "\x1b[31m"}) == JobEnvironment("", socket.gethostname())


def test_another_launcher_is_another_row() -> None:
    made_up = Launcher(
        name="QUEUE", job="Q_JOB", array="Q_ARRAY", task="Q_INDEX", node="Q_HOST", cores="Q_SLOTS"
    )
    variables = {"Q_JOB": "88.server", "Q_ARRAY": "80[].server", "Q_INDEX": "5", "Q_SLOTS": "3"}
    found = detect(variables, (*LAUNCHERS, made_up))
    assert found == JobEnvironment(
        "QUEUE", socket.gethostname(), "80[].server_5", branch=5, cores=3
    )
    assert detect(variables).launcher == ""
    assert detect(variables | TASK, (*LAUNCHERS, made_up)).launcher == "SLURM"
