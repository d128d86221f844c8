"""A private SLURM on this machine, with nodes that can crash, be cut off and freeze.

    with Cluster(folder) as cluster:
        job = cluster.sbatch("--array=0-9", "script.sh", "argument")

It starts the daemons directly, each node in its own namespaces (processes, mounts, host name), with
all files in one folder and on free ports. The kernel kills the daemons when the process that
started them ends, for whatever reason.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.helpers.waiting import TIMEOUT_SECONDS, until
from tests.slurm.namespaces import children, inhabitants, pid_space
from tests.slurm.requirements import search_path

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
"""The first process of a node: it continues without slurmd, as a machine does."""


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@dataclass(frozen=True)
class Task:
    """A job, or a task of an array, from the output of scontrol.

    Attributes:
        state: PENDING, RUNNING, COMPLETED, FAILED, CANCELLED, TIMEOUT, NODE_FAIL ….
        node: on which it runs, or ran last.
        exit_code: of its script.
        signal: the signal that ended its script, or 0.
        restarts: the number of requeues.
    """

    state: str
    node: str
    exit_code: int
    signal: int
    restarts: int

    @property
    def over(self) -> bool:
        """Whether it has ended and will not be requeued."""
        return self.state not in ("PENDING", "RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED")


class Cluster:
    """A SLURM with some nodes; a context manager."""

    def __init__(self, folder: Path, nodes: int = 4) -> None:
        """
        Args:
            folder: for all its files; made.
            nodes: the number of nodes, named n1, n2, ….
        """
        self.folder = folder
        self.nodes = [f"n{number + 1}" for number in range(nodes)]
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("SLURM", "SBATCH", "PYTEST_"))
        } | {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": search_path()}
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
        # Without its own namespace its helper process would not end with it.
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
                # The kernel kills it when this process ends.
                ["setpriv", "--pdeathsig", "KILL", *command],
                env=self.environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def stop(self) -> None:
        """End all processes of the cluster, jobs first."""
        for name in self.nodes:
            self._end(name)
        self._end("slurmctld")
        self._end("munged")

    def _end(self, key: str) -> None:
        daemon = self._daemons.pop(key, None)
        if daemon is not None:
            inside = [pid_space(pid) for pid in children(daemon.pid)]
            daemon.kill()
            daemon.wait()
            for space in inside:
                until(lambda space=space: not inhabitants(space), f"the end of {key}")

    def log(self) -> str:
        """The last lines of the daemons' logs."""
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
        """Run one of SLURM's commands, again if it only got no answer.

        Args:
            command: its words.
            folder: the working directory.
            variables: added to the environment.

        Returns:
            Its output.

        Raises:
            AssertionError: it failed.
        """
        environment = self.environment | dict(variables or {})
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while True:
            done = subprocess.run(
                command, check=False, env=environment, cwd=folder, capture_output=True, text=True
            )
            if done.returncode == 0:
                break
            unanswered = re.search(r"[Tt]imed out|try again|Unable to contact", done.stderr)
            if not unanswered or time.monotonic() > deadline:
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
            folder: the directory from which it is submitted.
            variables: of the environment, which sbatch passes on.

        Returns:
            Its id.
        """
        done = self.command("sbatch", "--parsable", *arguments, folder=folder, variables=variables)
        return done.strip().split(";")[0]

    def tasks(self, job: str) -> dict[int | None, Task]:
        """The tasks of an array by number, except those that are pending in one line; a plain job
        has the number ``None``."""
        shown = self.command("scontrol", "--oneliner", "show", "job", job)
        tasks: dict[int | None, Task] = {}
        for line in shown.splitlines():
            fields = dict(re.findall(r"(\w+)=(\S*)", line))
            number = fields.get("ArrayTaskId")
            if number is not None and not number.isdigit():
                continue  # the pending ones, in one line
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
        self, job: str, count: int, seconds: float = TIMEOUT_SECONDS
    ) -> dict[int | None, Task]:
        """Wait until tasks of a job have ended.

        Args:
            job: its id.
            count: the number of its tasks.
            seconds: the timeout.
        """
        found: dict[int | None, Task] = {}

        def over() -> bool:
            found.clear()
            found.update(self.tasks(job))
            return len(found) >= count and all(task.over for task in found.values())

        until(over, f"{job} over; {self.log()}", seconds)
        return found

    def hurry(self, job: str) -> None:
        """Shorten the time for which SLURM holds a requeued task."""
        until(lambda: "JobState=PENDING" in self.command("scontrol", "show", "job", job), job)
        # A node refuses a credential of the same second in which it revoked the job's last one: the
        # task would fail with exit code 1, "Job credential revoked".
        self.command("scontrol", "update", f"JobId={job}", "StartTime=now+3")

    # Nodes --------------------------------------------------------------------------------------

    def start_node(self, name: str) -> None:
        """Start a node that does not run."""
        script = NODE.format(folder=self.folder, name=name)
        spaces = ["unshare", "--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--uts"]
        self._daemon(name, *spaces, "bash", "-c", script)

    def node_state(self, name: str) -> str:
        """IDLE, MIXED, ALLOCATED, DOWN …, with further flags after a +."""
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
        """The processes on a node: id outside its namespace, and command line."""
        found: dict[int, str] = {}
        if name not in self._daemons:
            return found
        (first,) = children(self._daemons[name].pid)
        for pid in inhabitants(pid_space(first)):
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                found[pid] = b" ".join(words).decode(errors="replace").strip()
        return found

    def crash(self, name: str) -> None:
        """As by a power cut: kill all processes of the node at once."""
        self._end(name)

    def cut_off(self, name: str) -> None:
        """Kill only slurmd: SLURM loses the node, and its jobs continue."""
        self._signal(name, signal.SIGKILL, lambda line: line.startswith("slurmd "))

    def freeze(self, name: str) -> None:
        """Stop all processes of the node until `thaw`."""
        self._signal(name, signal.SIGSTOP, lambda line: True)

    def thaw(self, name: str) -> None:
        """Continue the processes that `freeze` stopped."""
        self._signal(name, signal.SIGCONT, lambda line: True)

    def repair(self) -> None:
        """Restart every node that is down or drained, and wait until all are idle."""
        for name in self.nodes:
            if self.node_state(name) not in ("IDLE", "MIXED", "ALLOCATED"):
                self._end(name)
                self.start_node(name)
        for name in self.nodes:
            until(lambda name=name: self.node_state(name) == "IDLE", f"{name} idle\n{self.log()}")

    def clear(self) -> None:
        """End all jobs and repair all nodes."""
        if self.command("squeue", "--noheader"):
            self.command("scancel", "--full", "--signal=KILL", "--user=root")
            self.command("scancel", "--user=root")
        for name in self.nodes:
            with contextlib.suppress(AssertionError):
                self.thaw(name)
        self.repair()
        until(lambda: not self.command("squeue", "--noheader"), f"no jobs\n{self.log()}")

    def _signal(self, name: str, number: int, chosen: Callable[[str], bool]) -> None:
        hit = [pid for pid, line in self.members(name).items() if chosen(line)]
        assert hit, f"nothing to signal on {name}"
        for pid in hit:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
