"""A private SLURM on this machine, whose nodes can crash, be cut off and freeze.

    with Cluster(folder) as cluster:
        job = cluster.sbatch("--array=0-9", "script.sh", "argument")

Daemons are started by hand, each node in namespaces of its own (processes, mounts, host name), all
under a folder and on ports that were free. They die with the process that started them, whatever
ends it, since the kernel kills them when it goes.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.waiting import PATIENCE_SECONDS, until

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol", "unshare", "nsenter", "setpriv")

CONFIGURATION = """\
ClusterName=private
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=10
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdSpoolDir={folder}/spool-%n
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MailProg=/bin/true
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core,CR_LLN
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0
SlurmdParameters=config_overrides
ReturnToService=2
SlurmdTimeout=6
MessageTimeout=5
KillWait=5
InactiveLimit=0
JobRequeue=1
PropagateResourceLimits=NONE
NodeName=DEFAULT CPUs=16 RealMemory=8000
{nodes}
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""

NODE = """\
mount --bind {folder}/hosts /etc/hosts && hostname {name} || exit
slurmd -D -f {folder}/slurm.conf -N {name} &
while :; do sleep 3600 & wait $!; done
"""
"""The first process of a node: it outlives slurmd, as a machine does."""


def missing() -> str | None:
    """Why there can be no private SLURM here; ``None`` where there can."""
    absent = [program for program in PROGRAMS if shutil.which(program, path=_path()) is None]
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


def _path() -> str:
    """Where programs are; Debian keeps daemons where not every PATH leads."""
    return f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@dataclass(frozen=True)
class Task:
    """A job, or a task of an array, as scontrol shows it.

    Attributes:
        state: PENDING, RUNNING, COMPLETED, FAILED, CANCELLED, TIMEOUT, NODE_FAIL ….
        node: where it runs, or ran last.
        exit_code: of its script.
        signal: that ended its script, or 0.
        restarts: how often it was requeued.
    """

    state: str
    node: str
    exit_code: int
    signal: int
    restarts: int

    @property
    def over(self) -> bool:
        """Whether nothing of it runs, or will."""
        return self.state not in ("PENDING", "RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED")


class Cluster:
    """A SLURM with some nodes; a context manager."""

    def __init__(self, folder: Path, nodes: int = 4) -> None:
        """
        Args:
            folder: for everything that it writes; made.
            nodes: how many, named n1, n2, ….
        """
        self.folder = folder
        self.nodes = [f"n{number + 1}" for number in range(nodes)]
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("SLURM", "SBATCH", "PYTEST_"))
        } | {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": _path()}
        """Variables with which SLURM's commands find this cluster."""

    def __enter__(self) -> Cluster:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start all daemons, and wait until every node is idle."""
        for name in ("", "munge", "state"):
            (self.folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        port, *ports = _free_ports(1 + len(self.nodes))
        lines = [
            f"NodeName={name} NodeHostname={name} NodeAddr=127.0.0.1 Port={own}"
            for name, own in zip(self.nodes, ports, strict=True)
        ]
        host = socket.gethostname().split(".")[0]
        text = CONFIGURATION.format(
            host=host, port=port, folder=self.folder, nodes="\n".join(lines)
        )
        (self.folder / "slurm.conf").write_text(text)
        names = [f"127.0.0.1 {name}\n" for name in ["localhost", host, *self.nodes]]
        (self.folder / "hosts").write_text("".join(names))
        self._start_munge()
        # Its helper process would outlive it without a space of its own.
        space = ["unshare", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"]
        self._daemon("slurmctld", *space, "slurmctld", "-D", "-f", f"{self.folder}/slurm.conf")
        for name in self.nodes:
            self.start_node(name)
        for name in self.nodes:
            until(lambda name=name: self.node_state(name) == "IDLE", f"{name} idle\n{self.log()}")

    def _start_munge(self) -> None:
        folder = self.folder / "munge"
        key = folder / "key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o600)
        options = {"key-file": "key", "socket": "socket", "pid-file": "pid", "seed-file": "seed"}
        arguments = [f"--{option}={folder / name}" for option, name in options.items()]
        self._daemon("munged", "munged", "--force", "--foreground", *arguments)
        until((folder / "socket").exists, "munge's socket")

    def _daemon(self, key: str, *command: str) -> None:
        with open(self.folder / f"{key}.out", "ab") as output:
            self._daemons[key] = subprocess.Popen(
                # The kernel ends it with this process, however that ends.
                ["setpriv", "--pdeathsig", "KILL", *command],
                env=self.environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def stop(self) -> None:
        """End everything that runs here, jobs first, and leave no process."""
        for name in self.nodes:
            self._end(name)
        self._end("slurmctld")
        self._end("munged")

    def _end(self, key: str) -> None:
        daemon = self._daemons.pop(key, None)
        if daemon is not None:
            inside = [_pid_space(pid) for pid in _children(daemon.pid)]
            daemon.kill()
            daemon.wait()
            for space in inside:
                until(lambda space=space: not _inhabitants(space), f"the end of {key}")

    def log(self) -> str:
        """What the daemons said last."""
        parts = []
        for path in sorted([*self.folder.glob("*.log"), *self.folder.glob("*.out")]):
            tail = path.read_text(errors="replace").splitlines()[-8:]
            parts += [f"== {path.name}", *tail]
        return "\n".join(parts)

    # Jobs ---------------------------------------------------------------------------------------

    def command(
        self,
        *command: str,
        folder: Path | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> str:
        """Run one of SLURM's commands, in a folder, and return what it printed.

        Raises:
            AssertionError: it failed, after some tries where it only got no answer.
        """
        environment = self.environment | dict(variables or {})
        for _ in range(5):
            done = subprocess.run(
                command, check=False, env=environment, cwd=folder, capture_output=True, text=True
            )
            if done.returncode == 0:
                break
            if not re.search(r"[Tt]imed out|try again|Unable to contact", done.stderr):
                break
            time.sleep(1.0)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
        return done.stdout

    def sbatch(
        self,
        *arguments: str,
        folder: Path | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> str:
        """Submit a job.

        Args:
            arguments: of sbatch.
            folder: to submit from.
            variables: of the environment, which sbatch passes on.

        Returns:
            Its id.
        """
        done = self.command("sbatch", "--parsable", *arguments, folder=folder, variables=variables)
        return done.strip().split(";")[0]

    def tasks(self, job: str) -> dict[int | None, Task]:
        """The tasks of an array that have been told apart, by their number; a plain job's is
        ``None``."""
        shown = self.command("scontrol", "--oneliner", "show", "job", job)
        tasks: dict[int | None, Task] = {}
        for line in shown.splitlines():
            fields = dict(re.findall(r"(\w+)=(\S*)", line))
            number = fields.get("ArrayTaskId")
            if number is not None and not number.isdigit():
                continue  # those that wait for their turn, in one line
            exit_code, _, by_signal = fields["ExitCode"].partition(":")
            tasks[int(number) if number else None] = Task(
                fields["JobState"],
                fields.get("BatchHost", ""),
                int(exit_code),
                int(by_signal),
                int(fields["Restarts"]),
            )
        return tasks

    def wait(
        self, job: str, count: int, seconds: float = PATIENCE_SECONDS
    ) -> dict[int | None, Task]:
        """Wait until so many tasks of a job are over."""
        found: dict[int | None, Task] = {}

        def over() -> bool:
            found.clear()
            found.update(self.tasks(job))
            return len(found) >= count and all(task.over for task in found.values())

        until(over, f"{job} over; {self.log()}", seconds)
        return found

    def hurry(self, job: str) -> None:
        """Spare a task that is being requeued most of the time for which SLURM holds it."""
        until(lambda: "JobState=PENDING" in self.command("scontrol", "show", "job", job), job)
        # A node takes no credential from within the second in which it revoked the job's last one:
        # the task would fail with exit code 1, "Job credential revoked".
        self.command("scontrol", "update", f"JobId={job}", "StartTime=now+3")

    # Nodes --------------------------------------------------------------------------------------

    def start_node(self, name: str) -> None:
        """Start a node that is not there."""
        script = NODE.format(folder=self.folder, name=name)
        spaces = ["unshare", "--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--uts"]
        self._daemon(name, *spaces, "bash", "-c", script)

    def node_state(self, name: str) -> str:
        """IDLE, MIXED, ALLOCATED, DOWN …, with + for what else is to say."""
        shown = subprocess.run(
            ["scontrol", "show", "node", name],
            check=False,
            env=self.environment,
            capture_output=True,
            text=True,
        )
        state = re.search(r"State=(\S+)", shown.stdout)
        return state[1] if state else ""

    def members(self, name: str) -> dict[int, str]:
        """The processes on a node: id outside of it, and command line."""
        found: dict[int, str] = {}
        if name not in self._daemons:
            return found
        (first,) = _children(self._daemons[name].pid)
        for pid in _inhabitants(_pid_space(first)):
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                found[pid] = b" ".join(words).decode(errors="replace").strip()
        return found

    def crash(self, name: str) -> None:
        """A power cut: everything on the node is gone at once."""
        self._end(name)

    def cut_off(self, name: str) -> None:
        """SLURM loses the node, while everything on it runs on."""
        self._signal(name, signal.SIGKILL, lambda line: line.startswith("slurmd "))

    def freeze(self, name: str) -> None:
        """Nothing on the node runs, until it is thawed."""
        self._signal(name, signal.SIGSTOP, lambda line: True)

    def thaw(self, name: str) -> None:
        """After ``freeze``."""
        self._signal(name, signal.SIGCONT, lambda line: True)

    def mend(self) -> None:
        """Replace every node that is not well, and wait until all are idle."""
        for name in self.nodes:
            if self.node_state(name) not in ("IDLE", "MIXED", "ALLOCATED"):
                self._end(name)
                self.start_node(name)
        for name in self.nodes:
            until(lambda name=name: self.node_state(name) == "IDLE", f"{name} idle\n{self.log()}")

    def clear(self) -> None:
        """End all jobs and mend all nodes."""
        if self.command("squeue", "--noheader"):
            self.command("scancel", "--full", "--signal=KILL", "--user=root")
            self.command("scancel", "--user=root")
        for name in self.nodes:
            with contextlib.suppress(AssertionError):
                self.thaw(name)
        self.mend()
        until(lambda: not self.command("squeue", "--noheader"), f"no jobs\n{self.log()}")

    def _signal(self, name: str, number: int, chosen: Callable[[str], bool]) -> None:
        hit = [pid for pid, line in self.members(name).items() if chosen(line)]
        assert hit, f"nothing to signal on {name}"
        for pid in hit:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def _children(pid: int) -> Sequence[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _inhabitants(space: str | None) -> list[int]:
    """The processes of a space, but for those that have ended and wait to be noticed."""
    pids = [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]
    return [pid for pid in pids if space is not None and _pid_space(pid) == space and _lives(pid)]


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def _pid_space(pid: int) -> str | None:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return None
