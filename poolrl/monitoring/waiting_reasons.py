"""What a pool waits for, and until when by the timeouts of its workers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from poolrl.formatting import duration
from poolrl.monitoring.current_iteration import CurrentIteration
from poolrl.monitoring.heartbeats import ServerClock
from poolrl.monitoring.status_types import Reason, UnitStatus, WorkerStatus
from poolrl.pool.directory import Pool
from poolrl.pool.timeouts import MAX_BACKUP_COPIES, straggler_seconds
from poolrl.storage.claims import LEASE_IGNORED_AFTER


def waiting_reasons(
    pool: Pool,
    current: CurrentIteration,
    units: Sequence[UnitStatus],
    workers: Sequence[WorkerStatus],
    clock: ServerClock,
) -> list[Reason]:
    """Return what an unfinished pool waits for: silent workers first, then the longest units.

    Args:
        pool: to read the timeouts from.
        current: the current iteration.
        units: status of its units.
        workers: with a heartbeat of the last hour.
        clock: of the file server.
    """
    alive = [worker for worker in workers if worker.state != "silent"]
    reasons = []
    if not alive:
        reasons.append(_no_worker(workers))
    claimed = [unit for unit in units if unit.state in ("working", "silent")]
    claimed.sort(key=lambda u: (u.state != "silent", -(u.claimed_seconds or 0.0), u.unit))
    idle = sum(worker.state == "waiting" for worker in alive)
    reasons += [_unit(pool, current, unit, len(alive), idle) for unit in claimed]
    if not claimed and not any(unit.state == "free" for unit in units):
        merging = next((w for w in alive if w.state == "merging"), None)
        by = f" by the worker on {_name(merging)}" if merging else ""
        reasons.append(Reason("", f"all is deposited: iteration {current.iteration} is merged{by}"))
    if alive and current.last_change is not None:
        unchanged, limit = clock.age(current.last_change), pool.run.stall_timeout
        if unchanged > limit / 10:
            text = (
                f"nothing new for {duration(unchanged)}; the workers end with exit code 3 after "
                f"{duration(limit)}"
            )
            reasons.append(Reason("", text, max(0.0, limit - unchanged)))
    return reasons


def _no_worker(workers: Sequence[WorkerStatus]) -> Reason:
    last = min(workers, key=lambda worker: worker.heartbeat_seconds, default=None)
    last_heard = ""
    if last is not None:
        ago = duration(last.heartbeat_seconds)
        last_heard = f"; the last one, on {_name(last)}, was heard {ago} ago"
    return Reason("", f"no worker is alive{last_heard}: nothing goes on until one is started")


def _unit(pool: Pool, current: CurrentIteration, unit: UnitStatus, alive: int, idle: int) -> Reason:
    if unit.state == "silent":
        return _silent(pool, unit, alive, idle)
    parts = [f"{unit.unit}: worker on {_name(unit)} at it"]
    limits = []
    claimed = unit.claimed_seconds
    if claimed is not None:
        parts[0] += f" for {duration(claimed)}"
        limits = [*_straggler(pool, current, unit, claimed)]
        if not unit.unit.startswith("update-"):  # which no merge does without
            limits += _timeout(pool, current, claimed)
    if unit.copies:
        parts.append(f"done by {_copies(unit)} too, since it takes long")
    within = min((seconds for _, seconds in limits), default=None)
    return Reason(unit.unit, "; ".join([*parts, *(text for text, _ in limits)]), within)


def _silent(pool: Pool, unit: UnitStatus, alive: int, idle: int) -> Reason:
    """Return the reason for a unit of a worker that was stopped, disconnected or killed."""
    lease = pool.spec.pool.lease_duration
    silent = unit.lease_seconds or 0.0
    lapses, latest = lease - silent, LEASE_IGNORED_AFTER * lease - silent
    text = f"{unit.unit}: worker on {_name(unit)} silent for {duration(silent)}; "
    if not alive:
        return Reason(unit.unit, f"{text}there is nobody to take over")
    if lapses > 0:
        text += (
            f"taken over once its lease has lapsed, in at most {duration(lapses)} "
            f"({duration(latest)} where leases cannot be taken over)"
        )
    else:
        text += "its lease has lapsed: taken over"
    if idle:
        text += f"; {idle} {'worker waits' if idle == 1 else 'workers wait'} for it"
    else:
        text += ", by the first worker that is free"
    if unit.copies:
        text += f"; done by {_copies(unit)} meanwhile"
    return Reason(unit.unit, text, max(0.0, lapses))


def _copies(unit: UnitStatus) -> str:
    return "another worker" if unit.copies == 1 else f"{unit.copies} other workers"


def _straggler(
    pool: Pool, current: CurrentIteration, unit: UnitStatus, claimed: float
) -> Iterator[tuple[str, float]]:
    if unit.copies >= MAX_BACKUP_COPIES:
        return
    longest = current.sibling_seconds(unit.unit)
    limit = straggler_seconds(longest, pool.spec.pool.lease_duration)
    if claimed > limit / 3:
        which = "the one before" if current.is_alone(unit.unit) else "its longest sibling"
        sibling = f"{which} took {duration(longest)}; " if longest else ""
        left = max(0.0, limit - claimed)
        yield f"{sibling}a free worker computes a backup after {duration(limit)}", left


def _timeout(pool: Pool, current: CurrentIteration, claimed: float) -> Iterator[tuple[str, float]]:
    timeout, least = pool.run.branch_timeout, pool.run.min_deposits
    if timeout is None:
        return
    done = sum(u.kind == "branch" and r.status == "done" for u, r in current.records.items())
    enough = "" if done >= least else f", if {least - done} more branches have succeeded"
    yield (
        f"the iteration goes on without it after {duration(timeout)}{enough}",
        max(0.0, timeout - claimed),
    )


def _name(status: UnitStatus | WorkerStatus) -> str:
    """Return the host of a worker with its job or process."""
    host = status.host or "an unknown host"
    process = f"process {status.pid}" if status.pid else ""
    detail = f"job {status.job}" if status.job else process
    return f"{host} ({detail})" if detail else host
