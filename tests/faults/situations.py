"""What a process does when a call of it is hit: pools, and what is done to them."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from poolrl.agent import Agent
from poolrl.config.schema import RunOptions, Spec
from poolrl.errors import PoolrlError
from poolrl.monitoring.history import History
from poolrl.pool.directory import make_pool, open_pool
from poolrl.pool.stop_criteria import Ending
from poolrl.records.work_units import Unit
from poolrl.storage.claims import Claims
from poolrl.worker.iteration_snapshot import Listing
from poolrl.worker.loop import Worker
from poolrl.worker.phase_timer import Clock
from poolrl.worker.unit_computation import Computer, Result
from tests.conftest import tiny_spec

LEASE = 0.3
"""Seconds; a claim that was killed before it was written is waited for 1.5 times as long."""


@dataclass(frozen=True)
class Situation:
    """A row of the table below.

    Attributes:
        what: in a few words, for the report.
        act: what the process does whose calls are hit, and then, unharmed, those that resume.
        prepare: makes the pool that it begins with, if there is to be one.
        iterations: after which the pool is over.
        company: whether another worker, unharmed, is there at the same time.
        others: whether the calls of its other threads are hit, instead of its main one's.
        damaged: files that are damaged from the start, and so to be set aside.
        attempts: whether units fail for reasons of their workers.
    """

    what: str
    act: Callable[[Path], None]
    prepare: Callable[[Path], None] | None = None
    iterations: int = 1
    company: bool = False
    others: bool = False
    damaged: tuple[str, ...] = ()
    attempts: bool = False


def spec(**overrides: object) -> Spec:
    return tiny_spec(**{"pool__count": 2, "pool__lease_duration": LEASE} | overrides)


def work(root: Path, iterations: int, prefer: int = 0) -> None:
    Worker(open_pool(root), Ending(iterations), prefer=prefer).run()


def settle() -> None:
    """Have workers look again when they are through, however long it took, so that a call has the
    same number each time."""
    Listing.is_stale = lambda self: False  # type: ignore[method-assign]


# A pool is made


def make(root: Path) -> None:
    make_pool(root, spec(), RunOptions(iterations=1))


def make_and_work(root: Path) -> None:
    make(root)
    work(root, 1)


def make_from_agent_and_work(root: Path) -> None:
    agent: Agent = Computer(spec(pool__seed=7), Clock()).initial_agent()
    data = agent.to_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    make_pool(root, spec(initial_agent_sha256=sha256), RunOptions(iterations=0), data)
    work(root, 0)


def read(root: Path) -> None:
    History(open_pool(root)).refresh()


def empty(root: Path) -> None:
    """A folder of one's own: what tries the file system does so in there, not beside it."""
    root.mkdir()


# A finished pool goes on, and finds what the dead have left

TORN = "iterations/000002/branch-000.json"
CLAIMED = Unit(2, "branch", 1)


def finished(root: Path) -> None:
    make_and_work(root)


def extend(root: Path) -> None:
    make_pool(root, spec(), RunOptions(iterations=2))
    work(root, 2)


def littered(root: Path) -> None:
    """A torn record, the claims of a dead worker, and what it had written half."""
    finished(root)
    layout = open_pool(root).layout.iteration(2)
    layout.folder.mkdir()
    whole = open_pool(root).layout.iteration(1).record(Unit(1, "branch", 0)).read_bytes()
    (root / TORN).write_bytes(whole[: len(whole) // 2])
    (layout.folder / f".tmp-{'0' * 32}").write_bytes(whole[:9])
    child = os.fork()
    if child == 0:
        claims = Claims(LEASE)
        claims.claim(layout.lease(CLAIMED))
        claims.claim(layout.merge_lease)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)


def changed_agent(root: Path) -> None:
    """An agent whose content is not what its name says, without a record."""
    finished(root)
    ahead = root.with_name("ahead")
    shutil.copytree(root, ahead)
    extend(ahead)
    folder = open_pool(root).layout.iteration(2).folder
    folder.mkdir()
    # The champion of the second iteration, which stays, is the agent of a branch.
    agents = list((ahead / "iterations/000002").glob("branch-*.safetensors"))
    shutil.rmtree(ahead)
    for agent in agents:
        (folder / agent.name).write_bytes(b"something else")


# Units fail


def work_with_failures(root: Path) -> None:
    """Workers, one after the other, that have no memory for the second branch."""
    real = Computer.compute

    def compute(self: Computer, unit: Unit, champion: Agent | None) -> Result:
        if unit.kind == "branch" and unit.index == 1:
            raise MemoryError("no memory")
        return real(self, unit, champion)

    Computer.compute = compute  # type: ignore[method-assign]
    try:
        for _ in range(6):
            try:
                work(root, 1)
                return
            except PoolrlError as error:
                if "MemoryError" not in str(error):
                    raise
        raise AssertionError("units that always fail were not given up")
    finally:
        Computer.compute = real  # type: ignore[method-assign]


def little_patience(root: Path) -> None:
    make_pool(root, spec(pool__max_attempts=1), RunOptions(iterations=1))


# A unit lasts longer than its claim


def work_slowly(root: Path) -> None:
    real = Computer.compute

    def compute(self: Computer, unit: Unit, champion: Agent | None) -> Result:
        time.sleep(0.16)
        return real(self, unit, champion)

    Computer.compute = compute  # type: ignore[method-assign]
    try:
        work(root, 1)
    finally:
        Computer.compute = real  # type: ignore[method-assign]


def quick_leases(root: Path) -> None:
    make_pool(root, spec(pool__count=1, pool__lease_duration=0.15), RunOptions(iterations=1))


SITUATIONS = {
    "making": Situation("a pool is made and worked on to its end", make_and_work, empty),
    "from agent": Situation(
        "a pool is made from an agent", make_from_agent_and_work, empty, iterations=0
    ),
    "extending": Situation(
        "a finished pool is opened with more iterations", extend, finished, iterations=2
    ),
    "littered": Situation(
        "a torn record, and a dead worker's claims",
        extend,
        littered,
        iterations=2,
        damaged=(TORN,),
    ),
    "changed agent": Situation(
        "an agent that is not what its name says", extend, changed_agent, iterations=2
    ),
    "failing": Situation(
        "attempts, and units that are given up",
        work_with_failures,
        little_patience,
        attempts=True,
    ),
    "reading": Situation("the history of a finished pool is read", read, finished),
    "company": Situation("another worker is there", make_and_work, make, company=True),
    "heartbeat": Situation(
        "the thread that keeps a claim alive", work_slowly, quick_leases, others=True
    ),
}
