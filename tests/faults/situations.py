"""The situations in which faults are caused: pools, and what processes do with them."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from poolrl.agent import Agent
from poolrl.config.run_options import RunOptions
from poolrl.config.schema import Spec
from poolrl.errors import PoolrlError
from poolrl.monitoring.history import History
from poolrl.pool.directory import make_pool, open_pool
from poolrl.pool.stop_criteria import StopCriteria
from poolrl.records.work_units import Unit
from poolrl.storage.claims import Claims
from poolrl.storage.store import Store
from poolrl.worker.iteration_snapshot import IterationSnapshot
from poolrl.worker.loop import Worker
from poolrl.worker.unit_computation import Result, UnitComputation
from tests.conftest import tiny_spec

LEASE = 0.3
"""Seconds; workers wait 1.5 times this for a claim whose worker was killed before it wrote it."""


@dataclass(frozen=True)
class Situation:
    """A row of the table below.

    Attributes:
        what: a description for the report.
        act: called in the process with the fault, and then, without fault, to finish the pool.
        prepare: makes the pool before; ``None`` for no pool.
        iterations: of the finished pool.
        second_worker: whether another worker, without fault, runs at the same time.
        others: whether the fault hits calls of the other threads instead of the main thread.
        damaged: files that are damaged before, and must be set aside.
        attempts: whether units fail because of their workers.
    """

    what: str
    act: Callable[[Path], None]
    prepare: Callable[[Path], None] | None = None
    iterations: int = 1
    second_worker: bool = False
    others: bool = False
    damaged: tuple[str, ...] = ()
    attempts: bool = False


def spec(**overrides: object) -> Spec:
    return tiny_spec(**{"pool__count": 2, "pool__lease_duration": LEASE} | overrides)


def work(root: Path, iterations: int, prefer: int = 0) -> None:
    Worker(open_pool(root), StopCriteria(iterations), prefer=prefer).run()


def settle() -> None:
    """Let snapshots never become stale by time, so that a call has the same number in each run."""
    IterationSnapshot.is_stale = lambda self, now: False  # type: ignore[method-assign]


# A pool is made


def make(root: Path) -> None:
    make_pool(root, spec(), RunOptions(iterations=1))


def make_and_work(root: Path) -> None:
    make(root)
    work(root, 1)


def make_from_agent_and_work(root: Path) -> None:
    agent: Agent = UnitComputation(spec(pool__seed=7)).initial_agent()
    data = agent.to_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    make_pool(root, spec(initial_agent_sha256=sha256), RunOptions(iterations=0), data)
    work(root, 0)


def read(root: Path) -> None:
    History(open_pool(root)).refresh()


def empty(root: Path) -> None:
    """Make an empty folder, so that the file-system checks run in it and not next to it."""
    root.mkdir()


# A finished pool is continued and has files of killed workers

TORN = "iterations/000002/branch-000.json"
CLAIMED = Unit(2, "branch", 1)


def finished(root: Path) -> None:
    make_and_work(root)


def extend(root: Path) -> None:
    make_pool(root, spec(), RunOptions(iterations=2))
    work(root, 2)


def littered(root: Path) -> None:
    """A torn record, the claims of a killed worker, and its temporary file."""
    finished(root)
    layout = open_pool(root).layout.iteration(2)
    layout.folder.mkdir()
    whole = open_pool(root).layout.iteration(1).record(Unit(1, "branch", 0)).read_bytes()
    (root / TORN).write_bytes(whole[: len(whole) // 2])
    (layout.folder / f".tmp-{'0' * 32}").write_bytes(whole[:9])
    child = os.fork()
    if child == 0:
        claims = Claims(Store(root), LEASE)
        claims.claim(layout.lease(CLAIMED))
        claims.claim(layout.merge_lease)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)


def changed_agent(root: Path) -> None:
    """An agent without a record, whose content does not have the hash in its name."""
    finished(root)
    ahead = root.with_name("ahead")
    shutil.copytree(root, ahead)
    extend(ahead)
    folder = open_pool(root).layout.iteration(2).folder
    folder.mkdir()
    # The champion of the second iteration is the agent of a branch and is kept.
    agents = list((ahead / "iterations/000002").glob("branch-*.safetensors"))
    shutil.rmtree(ahead)
    for agent in agents:
        (folder / agent.name).write_bytes(b"something else")


# A pool goes back to its best-ever champion


def short_of_the_best(root: Path) -> None:
    make_pool(root, spec(**STEPS_TOO_LONG), RunOptions(iterations=2))
    work(root, 2)


def fall_back(root: Path) -> None:
    make_pool(root, spec(**STEPS_TOO_LONG), RunOptions(iterations=4))
    work(root, 4)


STEPS_TOO_LONG = {
    "selection__keep_parent": False,
    "learner__learning_rate": 3.0,
    "merge__fallback": 0,
}
"""Keys of a pool in which branches often are worse than the best-ever champion."""

# A champion is the mean of its branches


def average(root: Path) -> None:
    make_pool(root, spec(**AVERAGING), RunOptions(iterations=3))
    work(root, 3)


AVERAGING = {
    "selection__keep_parent": False,
    "merge__rule": "mean",
    "merge__step": 1.5,
    "merge__momentum": 0.5,
    "merge__fallback": 0,
}
"""Keys of a pool whose merges write an agent, and go back to the best-ever one at times."""

# Candidates are made of branches, in a second stage


def compete(root: Path) -> None:
    make_pool(root, spec(**CANDIDATES), RunOptions(iterations=2))
    work(root, 2)


def compete_once(root: Path) -> None:
    work(root, 1)


def make_competing(root: Path) -> None:
    make_pool(root, spec(**CANDIDATES), RunOptions(iterations=1))


CANDIDATES = {"selection__keep_parent": False, "merge__candidates": [1, 4]}
"""Keys of a pool with two stages in each iteration."""

TORN_SOURCES = "iterations/000002/sources.json"


def torn_sources(root: Path) -> None:
    """A torn list of the branches that candidates are made of, and nothing else yet."""
    make_competing(root)
    work(root, 1)
    folder = open_pool(root).layout.iteration(2).folder
    folder.mkdir()
    whole = open_pool(root).layout.iteration(1).sources.read_bytes()
    (root / TORN_SOURCES).write_bytes(whole[: len(whole) // 2])


# Branches share experience, on which an update is made


def share(root: Path) -> None:
    make_pool(root, spec(**SHARING), RunOptions(iterations=2))
    work(root, 2)


def share_once(root: Path) -> None:
    work(root, 1)


def make_sharing(root: Path) -> None:
    make_pool(root, spec(**SHARING), RunOptions(iterations=1))


SHARING = {
    "selection__keep_parent": False,
    "merge__rule": "update",
    "merge__fallback": 0,
    "learner__name": "ppo",
    "learner__learning_rate": 0.3,
    "learner__minibatch_size": 8,
    "learner__epochs": 2,
}
"""Keys of a pool whose branches deposit rollouts; it goes back to the best-ever champion at times.
"""


def damaged_rollout(root: Path) -> None:
    """A branch whose rollout is not what its record says, and a rollout without a record that is
    not what its name says."""
    make_sharing(root)
    work(root, 1)
    ahead = root.with_name("ahead")
    shutil.copytree(root, ahead)
    make_pool(ahead, spec(**SHARING), RunOptions(iterations=2))
    Worker(open_pool(ahead), StopCriteria(2), run=RunOptions(2, keep="all"), prefer=0).run()
    folder = open_pool(root).layout.iteration(2).folder
    folder.mkdir()
    rollouts = list((ahead / "iterations/000002").glob("rollout-*.safetensors"))
    shutil.copy(ahead / TORN, root / TORN)
    shutil.rmtree(ahead)
    for rollout in rollouts:
        (folder / rollout.name).write_bytes(b"something else")


# Hyper-parameters evolve


def evolve(root: Path) -> None:
    make_pool(root, spec(**EVOLVING), RunOptions(iterations=3))
    work(root, 3)


EVOLVING = {
    "selection__keep_parent": False,
    "branches__learning_rate": {"evolve": 1.0},
    "merge__fallback": 0,
}
"""Keys of a pool whose merges carry values on, and go back to those of the best-ever champion."""

# Branches explore, with a controller whose state no file keeps


def explore(root: Path) -> None:
    make_pool(root, spec(**EXPLORING), RunOptions(iterations=1))
    work(root, 1)


EXPLORING = {
    "selection__keep_parent": False,
    "task__id": "InvertedPendulum-v5",
    "learner__name": "dep",
    "exploration__tau": 3,
    "exploration__time_dist": 0,
    "merge__rule": "mean",
}
"""Keys of a pool whose means take over the extrema that branches have seen."""

# Branches share their replay, and explore


def explore_off_policy(root: Path) -> None:
    make_pool(root, spec(**OFF_POLICY), RunOptions(iterations=2))
    work(root, 2)


def explore_off_policy_once(root: Path) -> None:
    work(root, 1)


def make_off_policy(root: Path) -> None:
    make_pool(root, spec(**OFF_POLICY), RunOptions(iterations=1))


OFF_POLICY = {
    "selection__keep_parent": False,
    "task__id": "InvertedPendulum-v5",
    "network__name": "q_mlp",
    "learner__name": "mpo",
    "learner__batch_size": 8,
    "learner__batches": 1,
    "learner__update_interval": 4,
    "learner__warmup_steps": 4,
    "learner__replay_start": 4,
    "learner__replay_window": 20,
    "exploration__name": "dep",
    "exploration__tau": 3,
    "exploration__time_dist": 0,
    "exploration__intervention_probability": 0.2,
}
"""Keys of a pool whose branches deposit what they have sampled, for those of the next iteration."""

# Units fail


def work_with_failures(root: Path) -> None:
    """Run one worker after the other; the second branch fails with MemoryError."""
    real = UnitComputation.compute

    def compute(self: UnitComputation, unit: Unit, *given: Any) -> Result:
        if unit.kind == "branch" and unit.index == 1:
            raise MemoryError("no memory")
        return real(self, unit, *given)

    UnitComputation.compute = compute  # type: ignore[method-assign]
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
        UnitComputation.compute = real  # type: ignore[method-assign]


def few_attempts(root: Path) -> None:
    make_pool(root, spec(pool__max_attempts=1), RunOptions(iterations=1))


# A unit takes longer than its lease


def work_slowly(root: Path) -> None:
    real = UnitComputation.compute

    def compute(self: UnitComputation, unit: Unit, *given: Any) -> Result:
        time.sleep(0.16)
        return real(self, unit, *given)

    UnitComputation.compute = compute  # type: ignore[method-assign]
    try:
        work(root, 1)
    finally:
        UnitComputation.compute = real  # type: ignore[method-assign]


def short_leases(root: Path) -> None:
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
    "falling back": Situation(
        "a pool goes back to its best-ever champion", fall_back, short_of_the_best, iterations=4
    ),
    "averaging": Situation("champions are means of branches", average, empty, iterations=3),
    "evolving": Situation("hyper-parameters evolve", evolve, empty, iterations=3),
    "exploring": Situation("branches explore", explore, empty),
    "exploring off-policy": Situation(
        "branches explore, and share their replay", explore_off_policy, empty, iterations=2
    ),
    "second worker of a shared replay": Situation(
        "another worker is there, and a shared replay",
        explore_off_policy_once,
        make_off_policy,
        second_worker=True,
    ),
    "candidates": Situation("candidates are made of branches", compete, empty, iterations=2),
    "second worker of candidates": Situation(
        "another worker is there, and candidates", compete_once, make_competing, second_worker=True
    ),
    "torn sources": Situation(
        "a torn list of what candidates are made of",
        compete,
        torn_sources,
        iterations=2,
        damaged=(TORN_SOURCES,),
    ),
    "sharing": Situation("branches share experience", share, empty, iterations=2),
    "second worker of an update": Situation(
        "another worker is there, and an update", share_once, make_sharing, second_worker=True
    ),
    "damaged rollout": Situation(
        "a rollout that is not what its record says",
        share,
        damaged_rollout,
        iterations=2,
        damaged=(TORN,),
    ),
    "failing": Situation(
        "attempts, and units that are given up",
        work_with_failures,
        few_attempts,
        attempts=True,
    ),
    "reading": Situation("the history of a finished pool is read", read, finished),
    "second worker": Situation("another worker is there", make_and_work, make, second_worker=True),
    "heartbeat": Situation(
        "the thread that keeps a claim alive", work_slowly, short_leases, others=True
    ),
}
