"""The private SLURM leaves no process and no mount."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.waiting import TIMEOUT_SECONDS, until
from tests.slurm.jobs import PROJECT
from tests.slurm.requirements import missing

HOLDER = """
import sys, time
from pathlib import Path
from tests.slurm.cluster import Cluster
from tests.helpers.waiting import until

folder = Path(sys.argv[1])
(folder / "script").write_text("#!/bin/sh\\nsleep 1000 & sleep 1000\\n")
with Cluster(folder / "cluster") as cluster:
    job = cluster.sbatch("--array=0-3", str(folder / "script"), folder=folder)
    until(lambda: [task.state for task in cluster.tasks(job).values()] == ["RUNNING"] * 4, "jobs")
    print("ready", flush=True)
    sys.stdin.readline()
"""


def remains(folder: Path) -> list[str]:
    """Processes and mounts that use a folder."""
    found = [line for line in Path("/proc/mounts").read_text().splitlines() if str(folder) in line]
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                said = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            except OSError:
                continue
            if os.fsencode(folder) in said:
                found.append(entry.name)
    return found


@pytest.mark.parametrize("killed", [False, True])
def test_it_leaves_no_process_and_no_mount(tmp_path: Path, killed: bool) -> None:
    if (reason := missing()) is not None:
        pytest.skip(reason)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"ready\n"
        # munged, slurmctld, and on each of the nodes its first process, slurmd and the job's
        assert len(remains(tmp_path)) > 14
        if killed:
            holder.send_signal(signal.SIGKILL)
        holder.communicate(timeout=TIMEOUT_SECONDS)
        assert holder.returncode == (-signal.SIGKILL if killed else 0)
        until(lambda: remains(tmp_path) == [], "the end of all processes and mounts")
    finally:
        holder.kill()
        holder.communicate()
