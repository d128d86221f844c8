"""Why a pool waits, and until when: foretold by the limits that its workers act by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from poolrl.formatting import duration
from poolrl.monitoring.current_iteration import Flight
from poolrl.monitoring.server_clock import ServerClock
from poolrl.monitoring.status_types import Reason, UnitStatus, WorkerStatus
from poolrl.pool.directory import Pool
from poolrl.pool.timeouts import MOST_COPIES, UNYIELDING, doubling_seconds


def why(
    pool: Pool,
    flight: Flight,
    units: Sequence[UnitStatus],
    workers: Sequence[WorkerStatus],
    clock: ServerClock,
) -> list[Reason]:
    """What a pool that is not over waits for: silent workers first, then what takes longest."""
    alive = [worker for worker in workers if worker.state != "silent"]
    reasons = []
    if not alive:
        reasons.append(_nobody(workers))
    taken = [unit for unit in units if unit.state in ("working", "silent")]
    taken.sort(key=lambda u: (u.state != "silent", -(u.claimed_seconds or 0.0), u.unit))
    idle = sum(worker.state == "waiting" for worker in alive)
    reasons += [_unit(pool, flight, unit, len(alive), idle) for unit in taken]
    if not taken and not any(unit.state == "free" for unit in units):
        merging = next((w for w in alive if w.state == "merging"), None)
        at = f" by the worker on {_name(merging)}" if merging else ""
        reasons.append(Reason("", f"all is deposited: iteration {flight.iteration} is merged{at}"))
    if alive and flight.newest is not None:
        still, limit = clock.age(flight.newest), pool.run.stall_timeout
        if still > limit / 10:
            text = (
                f"nothing new for {duration(still)}; the workers end with exit code 3 after "
                f"{duration(limit)}"
            )
            reasons.append(Reason("", text, max(0.0, limit - still)))
    return reasons


def _nobody(workers: Sequence[WorkerStatus]) -> Reason:
    last = min(workers, key=lambda worker: worker.heartbeat_seconds, default=None)
    heard = ""
    if last is not None:
        ago = duration(last.heartbeat_seconds)
        heard = f"; the last one, on {_name(last)}, was heard {ago} ago"
    return Reason("", f"no worker is alive{heard}: nothing goes on until one is started")


def _unit(pool: Pool, flight: Flight, unit: UnitStatus, alive: int, idle: int) -> Reason:
    if unit.state == "silent":
        return _silent(pool, unit, alive, idle)
    parts = [f"{unit.unit}: worker on {_name(unit)} at it"]
    limits = []
    claimed = unit.claimed_seconds
    if claimed is not None:
        parts[0] += f" for {duration(claimed)}"
        limits = [*_doubling(pool, flight, unit, claimed), *_timeout(pool, flight, claimed)]
    if unit.copies:
        parts.append(f"done by {_copies(unit)} too, since it takes long")
    within = min((seconds for _, seconds in limits), default=None)
    return Reason(unit.unit, "; ".join([*parts, *(text for text, _ in limits)]), within)


def _silent(pool: Pool, unit: UnitStatus, alive: int, idle: int) -> Reason:
    """A worker that was stopped, cut off or killed."""
    lease = pool.spec.pool.lease_duration
    silent = unit.lease_seconds or 0.0
    lapses, latest = lease - silent, UNYIELDING * lease - silent
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


def _doubling(
    pool: Pool, flight: Flight, unit: UnitStatus, claimed: float
) -> Iterator[tuple[str, float]]:
    if unit.copies >= MOST_COPIES:
        return
    longest = flight.longest_sibling
    limit = doubling_seconds(longest, pool.spec.pool.lease_duration)
    if claimed > limit / 3:
        sibling = f"its longest sibling took {duration(longest)}; " if longest else ""
        left = max(0.0, limit - claimed)
        yield f"{sibling}doubled by a free worker after {duration(limit)}", left


def _timeout(pool: Pool, flight: Flight, claimed: float) -> Iterator[tuple[str, float]]:
    timeout, least = pool.run.branch_timeout, pool.run.min_deposits
    if timeout is None:
        return
    done = sum(u.kind == "branch" and r.score is not None for u, r in flight.records.items())
    enough = "" if done >= least else f", if {least - done} more branches have succeeded"
    yield (
        f"the iteration goes on without it after {duration(timeout)}{enough}",
        max(0.0, timeout - claimed),
    )


def _name(who: UnitStatus | WorkerStatus) -> str:
    """Where a worker is, as people ask for it."""
    host = who.host or "an unknown host"
    told = f"job {who.job}" if who.job else f"process {who.pid}" if who.pid else ""
    return f"{host} ({told})" if told else host
