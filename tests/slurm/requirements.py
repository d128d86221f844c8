"""What a private SLURM needs: programs, root and namespaces."""

from __future__ import annotations

import os
import shutil
import subprocess

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol", "unshare", "nsenter", "setpriv")


def missing() -> str | None:
    """Why no private SLURM can be started here; ``None`` if it can."""
    absent = [program for program in PROGRAMS if shutil.which(program, path=search_path()) is None]
    if absent:
        return f"no {', '.join(absent)}: apt-get install slurmctld slurmd slurm-client munge"
    if os.geteuid() != 0:
        return "SLURM's daemons are started as root"
    tried = subprocess.run(
        ["unshare", "--pid", "--fork", "--mount-proc", "--uts", "hostname", "n1"],
        check=False,
        capture_output=True,
        text=True,
    )
    return f"no namespaces: {tried.stderr.strip()}" if tried.returncode else None


def search_path() -> str:
    """PATH with the directories of daemons, which Debian's PATH of users does not contain."""
    return f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
