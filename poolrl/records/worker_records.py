"""Structures that no result depends on: heartbeats of workers, and submissions to a cluster."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from poolrl.records.records import FIRST_SCHEMA, WorkerInfo
from poolrl.records.types import Duration, Natural, Record, Word


class Heartbeat(Record, frozen=True, kw_only=True):
    """State that a worker reports every few seconds, for the status; no decision depends on it.

    Attributes:
        state: ``working`` on a unit, ``merging``, ``waiting`` for others, ``starting``.
        doing: stem of the unit that it computes, as in ``branch-003``; empty if there is none.
        since: Unix time at which the state began.
        beat: Unix time of this heartbeat.
        started: Unix time at which the worker started.
    """

    schema: int = FIRST_SCHEMA
    worker: WorkerInfo
    state: Literal["starting", "working", "merging", "waiting"]
    iteration: int = -1
    doing: str = ""
    since: float
    beat: float
    started: float


class Submission(Record, frozen=True, kw_only=True):
    """Arrays that were submitted to a cluster for a pool, one after another.

    Attributes:
        jobs: their ids, in the order in which they run.
        tasks: number of tasks of each array.
        submitted: Unix time.
        host: that submitted them.
    """

    schema: int = FIRST_SCHEMA
    jobs: Annotated[
        tuple[Annotated[str, Meta(pattern=r"\A[1-9][0-9]{0,9}\Z")], ...],
        Meta(min_length=1, max_length=1000),
    ]
    tasks: Natural
    submitted: Duration
    host: Word
