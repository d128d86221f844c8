"""A process with poolrl and the shim, which forks a child for every case."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import select
import shutil
import signal
import sys
import threading
import time
import traceback
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from poolrl.errors import PoolrlError
from tests.faults import checker
from tests.faults.plants import PLANTS
from tests.faults.shim import Mode, Shim
from tests.faults.situations import SITUATIONS, Situation, settle, work

LIMIT = 120.0
"""Seconds after which a child counts as hung; on a busy machine children are slow."""

PASSING = (errno.EIO, errno.ESTALE, errno.EACCES)
"""Transient errors of a server: a worker survives one of them."""


@dataclass(frozen=True)
class Case:
    """One fault: the call of this number in this situation."""

    situation: str
    number: int
    mode: Mode
    error: int = 0


@dataclass
class Outcome:
    """The outcome of a case.

    Attributes:
        hit: the call; empty if the process made fewer calls.
        ended: how the process ended: killed, done, refused (with one line) or otherwise.
        message: its line.
        problems: the guarantees that do not hold.
        seconds: the duration of the case.
    """

    hit: str = ""
    ended: str = ""
    message: str = ""
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0


class Child:
    """A forked process that calls a function and reports how that ended."""

    def __init__(self, act: Callable[[], None], about: Callable[[], dict[str, Any]]) -> None:
        """
        Args:
            act: the function.
            about: returns what the process adds to its report.
        """
        self._pipe, report = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            self._run(act, about, report)
        os.close(report)

    @staticmethod
    def _run(act: Callable[[], None], about: Callable[[], dict[str, Any]], report: int) -> None:
        aside: list[str] = []
        threading.excepthook = lambda args: aside.append(f"a thread raised {args.exc_value!r}")
        sys.unraisablehook = lambda args: aside.append(f"ignored: {args.exc_value!r}")
        try:
            act()
            end = {"ended": "done"}
        except PoolrlError as error:
            end = {"ended": "refused", "message": str(error)}
        except BaseException:
            end = {"ended": "crashed", "message": traceback.format_exc()}
        os.write(report, json.dumps({**end, **about(), "aside": aside}).encode())
        os._exit(0)

    def wait(self) -> dict[str, Any]:
        """Return how it ended; it is killed at the time limit."""
        deadline, said = time.monotonic() + LIMIT, b""
        while True:
            if not select.select([self._pipe], [], [], max(0.0, deadline - time.monotonic()))[0]:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                os.close(self._pipe)
                return {"ended": "hung", "message": f"no end after {LIMIT:.0f} s"}
            chunk = os.read(self._pipe, 1 << 20)
            if not chunk:
                break
            said += chunk
        os.close(self._pipe)
        _, status = os.waitpid(self.pid, 0)
        if os.WIFSIGNALED(status):
            return {"ended": "killed", "signal": os.WTERMSIG(status)}
        end: dict[str, Any] = json.loads(said)
        return end


class CaseRunner:
    """Runs cases in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._shim = Shim()
        self._made: set[str] = set()

    def record(self, name: str) -> list[list[Any]]:
        """The calls that a situation's process makes without a fault."""
        situation, root = SITUATIONS[name], self._begin(name)
        try:
            second = self._second_worker(situation, root)
            end = self._act(situation, root, 0, Mode.COUNT, 0, log=True)
            if second is not None and (ended := second.wait())["ended"] != "done":
                raise AssertionError(f"{name}, the other worker: {ended}")
            calls: list[list[Any]] = end.pop("calls", [])
            if end["ended"] != "done" or end["outside"] or end["aside"]:
                raise AssertionError(f"{name}: {end}")
            return calls
        finally:
            shutil.rmtree(root.parent)

    def run(self, case: Case) -> Outcome:
        """Cause a fault at one call, finish the pool, and check the guarantees."""
        started = time.monotonic()
        situation, root = SITUATIONS[case.situation], self._begin(case.situation)
        outcome = Outcome()
        second = self._second_worker(situation, root)
        end = self._act(situation, root, case.number, case.mode, case.error)
        outcome.ended, outcome.message = end["ended"], end.get("message", "")
        outcome.hit = end.get("fired", "") or ("?" if end["ended"] == "killed" else "")
        problems = outcome.problems
        problems += _ended_badly(case, end)
        passing = case.mode == Mode.FAIL and case.error in PASSING
        if end["ended"] == "refused" and passing and "/.doctor-" not in outcome.hit:
            problems.append(f"one passing error ended it: {end['message']}")
        found, torn = _read_files(root, situation.damaged)
        problems += torn
        if second is not None and (ended := second.wait())["ended"] != "done":
            problems.append(f"the other worker: {ended}")
        problems += self._resume(case, situation, root)
        problems += _lost(root, found, situation)
        broken = [
            violation
            for violation in checker.check(root, iterations=situation.iterations)
            if not violation.startswith(".doctor-")  # of a killed worker; the next one removes it
        ]
        problems += broken or [  # a damaged file may be unreadable
            difference
            for difference in checker.same_history(self._reference(case.situation), root)
            # The reason of an abandoned unit contains the number of attempts, which may differ.
            if not (situation.attempts and ".json: reason: " in difference)
        ]
        if sorted(os.listdir(root.parent)) != ["pool", "sibling"]:
            problems.append(f"next to the pool: {os.listdir(root.parent)}")
        if not problems:
            shutil.rmtree(root.parent)
        outcome.seconds = time.monotonic() - started
        return outcome

    def _reference(self, name: str) -> Path:
        return self._folder / "reference" / name / "pool"

    def _begin(self, name: str) -> Path:
        """Copy a situation's pool; the first time, make it and its undisturbed end."""
        situation, base = SITUATIONS[name], self._folder / "base" / name / "pool"
        if name not in self._made:
            signal.alarm(4 * int(LIMIT))  # in this process, so that its imports are kept
            base.parent.mkdir(parents=True)
            if situation.prepare is not None:
                situation.prepare(base)
            self._copy(base, self._reference(name))
            situation.act(self._reference(name))
            signal.alarm(0)
            self._made.add(name)
        root = self._folder / f"case-{time.monotonic_ns()}" / "pool"
        self._copy(base, root)
        (root.parent / "sibling").write_bytes(b"not ours")
        return root

    @staticmethod
    def _copy(source: Path, target: Path) -> None:
        target.parent.mkdir(parents=True)
        if source.exists():
            shutil.copytree(source, target)

    @staticmethod
    def _second_worker(situation: Situation, root: Path) -> Child | None:
        act = lambda: work(root, situation.iterations, prefer=1)  # noqa: E731
        return Child(act, dict) if situation.second_worker else None

    def _act(
        self,
        situation: Situation,
        root: Path,
        number: int,
        mode: Mode,
        error: int,
        log: bool = False,
    ) -> dict[str, Any]:
        def act() -> None:
            self._shim.arm(root, number, mode, error, others=situation.others)
            try:
                situation.act(root)
            finally:
                self._shim.disarm()

        def about() -> dict[str, Any]:
            report: dict[str, Any] = {"fired": self._shim.fired(), "outside": self._shim.outside()}
            if log:
                report["calls"] = self._shim.calls(root)
            return report

        return Child(act, about).wait()

    def _resume(self, case: Case, situation: Situation, root: Path) -> list[str]:
        """Finish the pool with one or two workers without faults."""
        spread = zlib.crc32(repr(case).encode())
        children = [
            Child(lambda: situation.act(root), dict) for _ in range(2 if spread % 4 == 0 else 1)
        ]
        ends = [child.wait() for child in children]
        return [f"resumed: {end}" for end in ends if end["ended"] != "done" or end["aside"]]


def _ended_badly(case: Case, end: dict[str, Any]) -> list[str]:
    """The problems of the way in which a process ended."""
    how, problems = end["ended"], list(end.get("aside", []))
    if how == "killed":
        if case.mode not in (Mode.KILL_BEFORE, Mode.KILL_AFTER):
            problems.append("killed, although it was not asked for")
    elif how == "refused":
        message = end["message"]
        if case.mode in (Mode.KILL_BEFORE, Mode.KILL_AFTER):
            problems.append(f"nothing failed, and it ended: {message}")
        if not message or "\n" in message:
            problems.append(f"not one line: {message!r}")
    elif how != "done":
        problems.append(f"{how}: {end['message']}")
    if end.get("outside"):
        problems.append(f"outside the pool: {end['outside']}")
    return problems


def _read_files(root: Path, damaged: tuple[str, ...]) -> tuple[dict[str, bytes], list[str]]:
    """Read the pool after the fault: the files by path, and the torn ones."""
    found: dict[str, bytes] = {}
    torn: list[str] = []
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder) / name
            relative = path.relative_to(root).as_posix()
            if name.startswith(".") or ".lease" in name or relative == "run.toml":
                continue
            try:
                data = path.read_bytes()
            except FileNotFoundError:
                continue  # a loser's agent, removed since
            found[relative] = data
            if relative in damaged or data == b"something else":
                continue
            try:
                if path.suffix == ".json":
                    json.loads(data)
                if path.suffix == ".safetensors":
                    named = path.stem.rsplit("-", 1)[1]
                    assert hashlib.sha256(data).hexdigest().startswith(named)
            except (ValueError, AssertionError):
                torn.append(f"torn: {relative}")
    return found, torn


def _lost(root: Path, found: dict[str, bytes], situation: Situation) -> list[str]:
    """The files that existed after the fault and are missing or different at the end."""
    problems = []
    for relative, data in found.items():
        path = root / relative
        if path.exists() and path.read_bytes() == data:
            continue
        if path.parent.name == "workers":
            continue  # a heartbeat changes, and is removed with its worker
        if relative in situation.damaged or data == b"something else":
            aside = path.parent.glob(f"{path.name}.corrupt-*")
            if any(copy.read_bytes() == data for copy in aside):
                continue
        elif path.suffix == ".safetensors" and not path.exists():
            merge = path.with_name("merge.json")
            if merge.exists() and json.loads(merge.read_bytes())["champion"]["path"] != relative:
                continue  # a loser's
        problems.append(f"lost: {relative}")
    for path in root.rglob("*"):
        if ".corrupt-" in path.name:
            original = path.relative_to(root).as_posix().split(".corrupt-")[0]
            if original not in situation.damaged and path.read_bytes() != b"something else":
                problems.append(f"set aside although it was right: {path.name}")
        if ".attempt-" in path.name and not situation.attempts:
            problems.append(f"counted as an attempt: {path.read_text()}")
    return problems


def main(folder: str, plant: str) -> None:
    """Answer requests, one line of JSON each, until stdin ends."""
    if plant:
        PLANTS[plant]()
    logging.getLogger().addHandler(logging.NullHandler())
    settle()
    runner = CaseRunner(Path(folder))
    for line in sys.stdin:
        request = json.loads(line)
        if "record" in request:
            answer: Any = runner.record(request["record"])
        else:
            case = Case(**{**request, "mode": Mode(request["mode"])})
            answer = asdict(runner.run(case))
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
