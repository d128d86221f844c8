"""What is deposited, as typed JSON. No file is touched here."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from poolrl.records import consistency as contradictions
from poolrl.records.work_units import KindName, Unit

SCHEMA = 1
"""Version of the formats of records and of ``pool.toml``; readers refuse newer ones."""


# What stands in a record may have been written by anyone: numbers that nothing overflows with, and
# words that stay on their line.
Natural = Annotated[int, Meta(ge=0, le=2**53)]
Index = Annotated[int, Meta(ge=0, le=999_999)]
Iteration = Annotated[int, Meta(ge=0, le=999_999_999)]
Duration = Annotated[float, Meta(ge=0, le=1e12)]
Sha256 = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
NoneOrSha256 = Annotated[str, Meta(pattern=r"\A([0-9a-f]{64})?\Z")]
Word = Annotated[str, Meta(max_length=1000, pattern=r"\A[^\x00-\x1f\x7f-\x9f\u2028\u2029]*\Z")]
Number = Annotated[float, Meta(ge=-1e300, le=1e300)]


class Record(Struct, frozen=True, forbid_unknown_fields=True):
    """Plain data that knows its keys."""


class AgentRef(Record, frozen=True):
    """An agent file, by its path from the pool's root and its SHA-256."""

    path: Word
    sha256: Sha256


class Seconds(Record, frozen=True):
    """Wall-clock and CPU seconds of a phase."""

    wall: Duration = 0.0
    cpu: Duration = 0.0


class Evaluation(Record, frozen=True):
    """Undiscounted returns of episodes without updates.

    Attributes:
        deterministic: whether mean actions were played, or samples.
        returns: of each episode, in the order of the seeds, so that differences are paired.
        lengths: control steps of each episode.
        score: their mean.
        standard_error: of the mean; 0 for a single episode.
    """

    deterministic: bool
    returns: tuple[Number, ...]
    lengths: tuple[Natural, ...]
    score: float
    standard_error: float

    def __post_init__(self) -> None:
        if not self.returns or len(self.returns) != len(self.lengths):
            raise ValueError("an evaluation has a return and a length of each of its episodes")

    @classmethod
    def of(
        cls, returns: Sequence[float], lengths: Sequence[int], *, deterministic: bool
    ) -> Evaluation:
        return cls(
            deterministic=deterministic,
            returns=tuple(returns),
            lengths=tuple(lengths),
            score=statistics.fmean(returns),
            standard_error=standard_error(returns),
        )


class TrainingRecord(Record, frozen=True):
    """What a branch trained."""

    episodes: Natural
    environment_steps: Natural
    updates: Natural
    mean_return: float | None
    metrics: dict[Word, float]


class WorkerInfo(Record, frozen=True):
    """Who did it; nothing here enters a result."""

    id: Word
    host: Word
    pid: Natural
    versions: dict[Word, Word]
    differs: tuple[Word, ...] = ()
    """In which versions, processor or BLAS settings it differs from what the pool was made with:
    its results may differ in their last bits."""
    job: Word = ""
    """The launcher's job, ``123`` or ``123_4``; empty where nobody launched it."""
    restarts: Natural = 0
    """How often that job was begun anew."""


class UnitRecord(Record, frozen=True, kw_only=True):
    """The deposit of a unit of work.

    ``failed`` follows from the specification and the champion (divergence), ``abandoned`` from the
    workers that tried.
    """

    schema: int = SCHEMA
    spec_sha256: Sha256
    iteration: Iteration
    kind: KindName
    index: Index
    status: Literal["done", "failed", "abandoned"]
    reason: str = ""
    parent_sha256: NoneOrSha256
    """SHA-256 of the champion that it started from."""
    hyperparameters: dict[Word, bool | int | float | Word] = {}
    agent: AgentRef | None = None
    training: TrainingRecord | None = None
    evaluation: Evaluation | None = None
    seconds: dict[Word, Seconds] = {}
    """training, evaluation, waiting, and the pool's own cost by kind, all since the worker's
    previous deposit."""
    finished: Duration = 0.0
    """Unix time at which the deposit was written."""
    worker: WorkerInfo

    @property
    def unit(self) -> Unit:
        return Unit(self.iteration, self.kind, self.index)

    @property
    def score(self) -> float | None:
        """The mean return; ``None`` for what did not succeed."""
        return self.evaluation.score if self.status == "done" and self.evaluation else None

    @property
    def environment_steps(self) -> int:
        """Control steps taken, in training and in evaluation."""
        evaluated = sum(self.evaluation.lengths) if self.evaluation else 0
        return evaluated + (self.training.environment_steps if self.training else 0)


class Attempt(Record, frozen=True, kw_only=True):
    """A try that failed for reasons of its worker."""

    schema: int = SCHEMA
    iteration: int
    kind: KindName
    index: int
    reason: str
    details: str
    worker: WorkerInfo


class Champion(Record, frozen=True):
    """The agent that a merge named, and the unit that deposited it."""

    path: Word
    sha256: Sha256
    score: Number | None
    iteration: Iteration
    kind: KindName
    index: Index


class Difference(Record, frozen=True):
    """Mean of paired differences of returns on the same seeds, with its standard error."""

    mean: float
    standard_error: float


class Candidate(Record, frozen=True):
    """A deposit that a merge looked at."""

    kind: KindName
    index: Index
    status: Literal["done", "failed", "abandoned"]
    score: Number | None
    sha256: NoneOrSha256


class MergeRecord(Record, frozen=True, kw_only=True):
    """The one decision of an iteration."""

    schema: int = SCHEMA
    spec_sha256: Sha256
    iteration: Iteration
    champion: Champion
    rule: Literal["initial", "best branch", "parent kept", "patience", "no branch succeeded"]
    deposits: tuple[Candidate, ...]
    parent_score: Number | None = None
    """The standing champion's score on this iteration's seeds: an unbiased second measurement of
    the previous merge's choice."""
    parent_kept: Natural = 0
    """For how many iterations in a row the parent has been kept, this one included."""
    failed_iterations: Natural = 0
    """For how many iterations in a row no branch has succeeded, this one included."""
    to_parent: Difference | None = None
    to_runner_up: Difference | None = None
    timing_dependent: bool = False
    environment_steps: Natural = 0
    """Control steps of all units so far, in training and in evaluation."""
    training_steps: Natural = 0
    """Control steps of all branches so far, in training alone."""
    finished: Duration = 0.0
    worker: WorkerInfo | None = None


class Heartbeat(Record, frozen=True, kw_only=True):
    """What a worker says of itself every few seconds, for whoever looks.

    Attributes:
        state: ``working`` on a unit, ``merging``, ``waiting`` for others, ``starting``.
        doing: the unit that it works on, as in ``branch-003``; empty where it has none.
        since: Unix time at which the state began.
        beat: Unix time of this heartbeat.
        started: Unix time at which the worker began.
    """

    schema: int = SCHEMA
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
        tasks: of each array.
        submitted: Unix time.
        host: from which.
    """

    schema: int = SCHEMA
    jobs: Annotated[
        tuple[Annotated[str, Meta(pattern=r"\A[1-9][0-9]{0,9}\Z")], ...],
        Meta(min_length=1, max_length=1000),
    ]
    tasks: Natural
    submitted: Duration
    host: Word


R = TypeVar("R", bound=Record)


class Unreadable(ValueError):
    """The bytes are no record of the kind that was expected."""


class NewerSchema(ValueError):
    """A later version of poolrl wrote the record; it is not damaged."""


class _Schema(Struct):
    schema: int = SCHEMA


def encode(record: Record) -> bytes:
    """A record as a line of JSON.

    Raises:
        ValueError: it holds NaN or infinity, which JSON cannot.
    """
    table = msgspec.to_builtins(record)
    return json.dumps(table, allow_nan=False, separators=(",", ":")).encode() + b"\n"


def decode(data: bytes, kind: type[R]) -> R:
    """Read a record.

    Raises:
        Unreadable: it is torn, of another kind, holds NaN or infinity, or contradicts itself.
        NewerSchema: a later version wrote it.
    """
    try:
        schema = msgspec.json.decode(data, type=_Schema).schema
        if schema > SCHEMA:
            raise NewerSchema(
                f"schema {schema} is newer than this version of poolrl reads ({SCHEMA})"
            )
        record = msgspec.json.decode(data, type=kind)
    except NewerSchema:
        raise
    except (ValueError, RecursionError) as error:  # not UTF-8 is no DecodeError
        raise Unreadable(str(error)) from error
    wrong = None
    if isinstance(record, UnitRecord):
        wrong = contradictions.of_unit(record)
    elif isinstance(record, MergeRecord):
        wrong = contradictions.of_merge(record)
    if wrong is not None:
        raise Unreadable(wrong)
    return record


def paired_difference(a: Evaluation, b: Evaluation) -> Difference:
    """The difference a − b over episodes on the same seeds."""
    differences = [x - y for x, y in zip(a.returns, b.returns, strict=True)]
    return Difference(
        mean=statistics.fmean(differences), standard_error=standard_error(differences)
    )


def standard_error(values: Sequence[float]) -> float:
    """Standard error of the mean; 0 for a single value."""
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0
