"""Status of a pool as text: all units of a small pool, the unusual units of a large one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Protocol

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from poolrl.files import printable
from poolrl.formatting import count, decimals, duration
from poolrl.monitoring.status_types import Status, UnitStatus
from poolrl.report.result_line import result_line

MAX_UNITS_LISTED = 24
"""Number of units up to which all are listed; of more, only unusual ones are."""

MAX_LINES = 8
"""Number of lines of each kind."""

SKEW_SECONDS = 5.0
"""Difference of clocks that is reported, in seconds."""

COLOURS = {
    "free": "dim",
    "working": "cyan",
    "silent": "bold red",
    "deposited": "green",
    "failed": "yellow",
    "abandoned": "red",
    "running": "green",
    "stopped": "red",
    "finished": "bold green",
    "new": "dim",
}


class QueuedJob(Protocol):
    """A job in the queue of a cluster; see ``poolrl.launch.slurm``."""

    @property
    def job(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def nodes(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def time_left(self) -> str: ...
    @property
    def start(self) -> str: ...


def view(
    status: Status, jobs: Sequence[QueuedJob] | None = None, *, complete: bool = False
) -> RenderableType:
    """Return the text to print.

    Args:
        status: of the pool.
        jobs: of the pool, in the queue of the cluster; ``None`` if there is no cluster.
        complete: list all units of a large pool too.
    """
    parts: list[RenderableType] = [_head(status)]
    if status.units:
        shown = status.units
        if len(shown) > MAX_UNITS_LISTED and not complete:
            shown = _unusual(shown)
        parts.append(_counts(status))
        if shown:
            parts.append(_table(shown))
    parts += [_line(text) for text in _lines(status)]
    parts += [_line(text) for text in _queue(jobs or ())]
    return Group(*parts)


def _head(status: Status) -> Text:
    head = Text(f"pool {_printable(status.directory)}: {_printable(status.task)}, ")
    head.append(f"{count(status.branches, 'branch')}, seed {status.seed}: ")
    head.append(status.state, COLOURS[status.state])
    champion, speed = status.champion, status.speed
    if champion is not None:
        again = champion.parent_score
        previous = (
            f" (the previous one re-evaluated: {decimals(again)})" if again is not None else ""
        )
        head.append(
            f"\niteration {status.iteration} of {status.iterations}; champion of iteration "
            f"{champion.iteration}: score {_score(champion.score)}{previous}{_score_name(status)}"
        )
    else:
        head.append(f"\niteration {status.iteration} of {status.iterations}; no champion yet")
    best = status.best_ever
    if best is not None:
        head.append(
            f"\nbest-ever champion of iteration {best.iteration}: score {_score(best.score)}; "
            f"{count(best.iterations_since, 'iteration')} without a better one, the pool "
            f"goes back to it after more than {best.fallback}"
        )
    if speed is not None:
        head.append(
            f"\n{speed.iterations_per_hour:,.4g} iterations/h, "
            f"{speed.environment_steps_per_second:,.0f} steps/s, "
            f"{status.environment_steps:,} steps"
        )
        if status.seconds_left and status.state == "running":
            head.append(f", about {duration(status.seconds_left)} left")
    if status.result is not None:
        evaluation = status.result.evaluation
        if evaluation is None:
            head.append(f"\nresult: none: {_printable(status.result.reason)}")
        else:
            head.append(f"\n{result_line(evaluation)}")
    return head


def _score_name(status: Status) -> str:
    """What scores are, where they are no mean returns or the lowest is the best."""
    if (status.score_name, status.score_direction) == ("return", "max"):
        return ""
    lowest = ", the lowest is the best" if status.score_direction == "min" else ""
    return f"; scores are {_printable(status.score_name)}{lowest}"


def _counts(status: Status) -> Text:
    text = Text("units: ")
    for position, state in enumerate(sorted(status.counts)):
        text.append(", " if position else "")
        text.append(f"{status.counts[state]} {state}", COLOURS[state])
    states = Counter(worker.state for worker in status.workers)
    workers = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    text.append(f"; workers: {workers or 'none'}")
    return text


def _unusual(units: Sequence[UnitStatus]) -> list[UnitStatus]:
    """Return the units that are silent, failed, abandoned, retried or copied, and the three units
    that were claimed for longest."""
    unusual = [
        unit
        for unit in units
        if unit.state in ("silent", "failed", "abandoned") or unit.attempts or unit.copies
    ]
    working = [
        unit for unit in units if unit.state == "working" and unit not in unusual[:MAX_UNITS_LISTED]
    ]
    working.sort(key=lambda unit: -(unit.claimed_seconds or 0.0))
    return [*unusual[:MAX_UNITS_LISTED], *working[:3]]


def _table(units: Sequence[UnitStatus]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("unit", "state", "score", "host", "job", "claimed", "lease", "heartbeat", ""):
        right = name in ("score", "claimed", "lease", "heartbeat")
        table.add_column(name, justify="right" if right else "left", no_wrap=name != "")
    for unit in units:
        notes = []
        if unit.attempts:
            notes.append(f"{count(unit.attempts, 'attempt')} failed")
        if unit.copies:
            notes.append(count(unit.copies, "backup"))
        if unit.reason:
            notes.append(_printable(unit.reason))
        table.add_row(
            Text(unit.unit),
            Text(unit.state, COLOURS[unit.state]),
            Text("" if unit.score is None else decimals(unit.score)),
            Text(_printable(unit.host, 40)),
            Text(_printable(unit.job, 40)),
            *(
                Text("" if seconds is None else duration(seconds))
                for seconds in (unit.claimed_seconds, unit.lease_seconds, unit.heartbeat_seconds)
            ),
            Text("; ".join(notes)),
        )
    return table


def _lines(status: Status) -> Iterator[str]:
    yield from _limited("waits: ", [reason.text for reason in status.waiting])
    yield from _limited(
        "attempt: ",
        [
            f"{attempt.unit} on {attempt.host}{f' (job {attempt.job})' if attempt.job else ''}: "
            f"{attempt.reason}"
            for attempt in status.attempts
        ],
    )
    silent_on_unit = {unit.worker for unit in status.units if unit.state == "silent"}
    silent = [w for w in status.workers if w.state == "silent" and w.worker not in silent_on_unit]
    yield from _limited(
        "silent: ",
        [
            f"worker on {w.host}{f' (job {w.job})' if w.job else f' (process {w.pid})'}, for "
            f"{duration(w.heartbeat_seconds)}"
            for w in silent
        ],
    )
    if status.set_aside:
        were = "was" if status.set_aside == 1 else "were"
        yield f"{count(status.set_aside, 'damaged file')} {were} set aside (….corrupt-…)"
    if status.forgotten_workers:
        gone = count(status.forgotten_workers, "worker")
        yield f"{gone} left heartbeats that are over an hour old"
    skewed = {
        w.host: w.clock_seconds
        for w in status.workers
        if w.state != "silent" and abs(w.clock_seconds) > SKEW_SECONDS
    }
    yield from _limited(
        "clock: ",
        [f"{host} is {seconds:+.0f} s from the file server" for host, seconds in skewed.items()],
    )
    clock = status.clock
    if clock.known_by != "assumed" and abs(clock.offset_seconds) > SKEW_SECONDS:
        yield (
            f"clock: the file server is {clock.offset_seconds:+.0f} s from this machine; ages are "
            "by its clock"
        )


def _queue(jobs: Sequence[QueuedJob]) -> Iterator[str]:
    if not jobs:
        return
    states = Counter(job.state for job in jobs)
    counts = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    yield f"SLURM: {counts}"
    pending = [job for job in jobs if job.state == "PENDING"]
    yield from _limited(
        "SLURM: ",
        [
            f"{job.job} {job.state}, {job.reason}"
            + (f", should start at {job.start}" if job.start not in ("", "N/A") else "")
            for job in pending
        ],
    )


def _limited(label: str, lines: Sequence[str]) -> Iterator[str]:
    yield from (f"{label}{line}" for line in lines[:MAX_LINES])
    if len(lines) > MAX_LINES:
        yield f"{label}… and {len(lines) - MAX_LINES} more"


def _score(value: float | None) -> str:
    return "none" if value is None else decimals(value)


def _line(text: str) -> Text:
    return Text(_printable(text, 400))


def _printable(text: str, most: int = 200) -> str:
    return printable(text, most)
