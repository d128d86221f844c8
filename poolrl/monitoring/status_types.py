"""What ``poolrl status --json`` prints: these keys stay, later versions may add others.

Durations are in seconds. ``None`` stands for what cannot be told.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from poolrl.records.records import AgentRef, Evaluation

UnitState = Literal["free", "working", "silent", "deposited", "failed", "abandoned"]
PoolState = Literal["new", "running", "stopped", "finished"]

SCHEMA = 1


class ChampionStatus(Struct, frozen=True):
    """The champion of the last merge.

    Attributes:
        iteration: whose merge it is.
        unit: which of its units deposited the agent.
        score: by which it was selected, biased upward.
        parent_score: of the champion before it, measured again in this iteration, unbiased.
        rule: by which it was selected.
    """

    iteration: int
    unit: str
    score: float | None
    parent_score: float | None
    rule: str
    agent: AgentRef


class Speed(Struct, frozen=True):
    """Over the last iterations, without the time in which nobody worked.

    Attributes:
        iterations: over how many.
    """

    iterations: int
    iterations_per_hour: float
    environment_steps_per_second: float


class UnitStatus(Struct, frozen=True, kw_only=True):
    """A unit of the iteration in flight.

    Attributes:
        unit: as in ``branch-003``.
        state: ``free``, nobody has claimed it; ``working``; ``silent``, whoever claimed it has not
            touched its lease when that was due; or what was deposited.
        score: of a deposit.
        reason: of a failure.
        worker, host, pid, job: who did it, or is at it; ``job`` as SLURM names it, 12 or 12_3.
        claimed_seconds: since it was claimed.
        lease_seconds: since its lease was touched.
        heartbeat_seconds: since its worker's last heartbeat.
        copies: how many workers have claimed it besides the first, since it takes long.
        attempts: how many tries at it have failed.
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
    """A worker that has a heartbeat, which all have but those that ended.

    Attributes:
        state: that it told last; ``silent`` where its next heartbeat is overdue: it is stopped,
            cut off or dead.
        doing: the unit that it told of last.
        seconds: since that state began.
        heartbeat_seconds: since its last heartbeat.
        clock_seconds: how far its clock is ahead of the file server's.
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
        unit: empty where it is the pool as a whole.
        text: for people.
        within_seconds: until what is told there happens at the latest, as far as one can tell.
    """

    unit: str
    text: str
    within_seconds: float | None = None


class AttemptStatus(Struct, frozen=True):
    """A try that failed for reasons of its worker."""

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


class Clock(Struct, frozen=True):
    """How far the clock of the file server is ahead of this machine's, and how that is known:
    from a ``worker`` on this machine, from files that were ``watched`` as they changed, or
    ``assumed``: 0, or as much as the newest file is in our future."""

    offset_seconds: float
    known_by: Literal["worker", "watched", "assumed"]


class Status(Struct, frozen=True, kw_only=True):
    """A pool at one instant.

    Attributes:
        state: ``new``, nobody has begun; ``running``, some worker is alive; ``stopped``, none is;
            ``finished``, there is a result and nothing in flight.
        merged: the last iteration that is merged.
        iteration: the one in flight; the last one of a finished pool.
        iterations: the one after which the pool ends.
        environment_steps: of all merged iterations.
        seconds_left: at the last iterations' speed.
        counts: how many units of the iteration in flight are in each state.
        units: of the iteration in flight; none of a finished pool.
        workers: by host and process, those with a heartbeat within the last hour.
        forgotten_workers: how many heartbeats are older.
        waiting: what the pool waits for, the most telling first.
        attempts: in the iteration in flight.
        set_aside: how many damaged files workers have set aside in it.
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
    champion: ChampionStatus | None
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
    clock: Clock
