"""Structures of ``poolrl status --json``: their keys stay, later versions may add others.

Durations are in seconds. ``None`` means unknown.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from poolrl.records.evaluation import Evaluation
from poolrl.records.records import AgentRef

UnitState = Literal["free", "working", "silent", "deposited", "failed", "abandoned"]
PoolState = Literal["new", "running", "stopped", "finished"]

SCHEMA = 1


class ChampionStatus(Struct, frozen=True):
    """The champion of the last merge.

    Attributes:
        iteration: of the merge.
        unit: that deposited the agent.
        score: by which the agent was selected, biased upward.
        parent_score: of the previous champion, evaluated again in this iteration, unbiased.
        rule: by which the agent was selected.
        agent: file of the agent.
    """

    iteration: int
    unit: str
    score: float | None
    parent_score: float | None
    rule: str
    agent: AgentRef


class BestEverStatus(Struct, frozen=True):
    """The best-ever champion of a pool with `merge.fallback`, its result so far.

    Attributes:
        iteration: that selected it.
        unit: that deposited the agent.
        score: by which it was selected, biased upward.
        iterations_since: that found no better one, since it was found or gone back to.
        fallback: the number of such iterations after which the pool goes on from it.
        agent: file of the agent.
    """

    iteration: int
    unit: str
    score: float | None
    iterations_since: int
    fallback: int
    agent: AgentRef


class Speed(Struct, frozen=True):
    """Speed over the last iterations, without pauses.

    Attributes:
        iterations: number of iterations in the average.
        iterations_per_hour: of the pool.
        environment_steps_per_second: of the pool.
    """

    iterations: int
    iterations_per_hour: float
    environment_steps_per_second: float


class UnitStatus(Struct, frozen=True, kw_only=True):
    """A unit of the current iteration.

    Attributes:
        unit: as in ``branch-003``.
        state: ``free``, not claimed; ``working``; ``silent``, the worker is overdue to touch the
            lease; or the status of the deposit.
        score: of a deposit.
        reason: of a failure.
        worker, host, pid, job: the worker that has deposited or claimed the unit; ``job`` as SLURM
            names it, 12 or 12_3.
        claimed_seconds: since the unit was claimed.
        lease_seconds: since its lease was touched.
        heartbeat_seconds: since its worker's last heartbeat.
        copies: number of workers that compute a backup copy of the unit, as it is a straggler.
        attempts: number of failed attempts.
    """

    unit: str
    state: UnitState
    score: float | None = None
    reason: str = ""
    worker: str = ""
    host: str = ""
    pid: int | None = None
    job: str = ""
    claimed_seconds: float | None = None
    lease_seconds: float | None = None
    heartbeat_seconds: float | None = None
    copies: int = 0
    attempts: int = 0


class WorkerStatus(Struct, frozen=True, kw_only=True):
    """A worker with a heartbeat; a worker that ends removes its heartbeat.

    Attributes:
        worker, host, pid, job: as in ``UnitStatus``.
        restarts: number of times that the launcher has restarted the worker.
        state: last reported state; ``silent`` if the next heartbeat is overdue: the worker is
            stopped, disconnected or dead.
        iteration: last reported iteration.
        doing: last reported unit.
        seconds: since that state began.
        heartbeat_seconds: since the last heartbeat.
        clock_seconds: how far the worker's clock is ahead of the file server's.
    """

    worker: str
    host: str
    pid: int
    job: str
    restarts: int
    state: Literal["starting", "working", "merging", "waiting", "silent"]
    iteration: int
    doing: str
    seconds: float
    heartbeat_seconds: float
    clock_seconds: float


class Reason(Struct, frozen=True):
    """Something that the pool waits for.

    Attributes:
        unit: empty if the reason concerns the whole pool.
        text: message for the user.
        within_seconds: upper bound of the time until the pool continues, if known.
    """

    unit: str
    text: str
    within_seconds: float | None = None


class AttemptStatus(Struct, frozen=True):
    """An attempt that failed for reasons of its worker."""

    unit: str
    reason: str
    host: str
    job: str


class Result(Struct, frozen=True):
    """The closing evaluation of the last champion, on reserved seeds."""

    iteration: int
    status: Literal["done", "failed", "abandoned"]
    reason: str
    evaluation: Evaluation | None


class ClockOffset(Struct, frozen=True):
    """Estimate of how far the file server's clock is ahead of this machine's.

    Attributes:
        offset_seconds: the estimate.
        known_by: source of the estimate: a ``worker`` on this machine, files that changed while
            they were ``watched``, or ``assumed``: 0, or more if a file is from the future.
    """

    offset_seconds: float
    known_by: Literal["worker", "watched", "assumed"]


class Status(Struct, frozen=True, kw_only=True):
    """A pool at one instant.

    Attributes:
        schema: version of these structures.
        directory: of the pool.
        task, seed: from its specification.
        branches: of the current iteration, or of the last one of a finished pool.
        state: ``new``, no worker has started; ``running``, a worker is alive; ``stopped``, none
            is; ``finished``, there is a result and no unit left.
        merged: last merged iteration.
        iteration: current iteration; the last one of a finished pool.
        iterations: iteration after which the pool ends.
        score_name, score_direction: `selection.score` and `selection.direction`: what scores of
            units and champions are, and whether the highest (``max``) is the best.
        champion: of the last merge.
        best_ever: of a pool with `merge.fallback`.
        environment_steps: of all merged iterations.
        speed: over the last iterations.
        seconds_left: at that speed.
        counts: number of units of the current iteration in each state.
        units: of the current iteration; none of a finished pool.
        workers: with a heartbeat within the last hour, by host and process.
        forgotten_workers: number of older heartbeats.
        waiting: what the pool waits for, the most important reason first.
        attempts: failed attempts in the current iteration.
        set_aside: number of damaged files that workers have set aside in it.
        result: of the pool.
        clock: of the file server.
    """

    schema: int = SCHEMA
    directory: str
    task: str
    seed: int
    branches: int
    state: PoolState
    merged: int | None
    iteration: int
    iterations: int
    score_name: str
    score_direction: str
    champion: ChampionStatus | None
    best_ever: BestEverStatus | None
    environment_steps: int
    speed: Speed | None
    seconds_left: float | None
    counts: dict[UnitState, int]
    units: list[UnitStatus]
    workers: list[WorkerStatus]
    forgotten_workers: int
    waiting: list[Reason]
    attempts: list[AttemptStatus]
    set_aside: int
    result: Result | None
    clock: ClockOffset
