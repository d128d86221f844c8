"""Structures of everything that is written into a pool; ``codec`` has their JSON form."""

from __future__ import annotations

import math
from typing import Literal

from msgspec import UNSET, UnsetType

from poolrl.records.evaluation import Difference, Evaluation
from poolrl.records.types import (
    Duration,
    Index,
    Iteration,
    Natural,
    NoneOrSha256,
    Number,
    Positive,
    Record,
    Sha256,
    Word,
)
from poolrl.records.work_units import KindName, Unit

SCHEMA = 2
"""Newest version of the formats of records; readers refuse newer ones. A record is of the lowest
that has its keys, so that earlier versions of poolrl read what they can: 2 has ``evaluation.info``.
Keys that only pools of a newer schema of ``pool.toml`` have need no newer one here: who reads them
has opened the pool."""

FIRST_SCHEMA = 1


class AgentRef(Record, frozen=True):
    """An agent file, by its path from the pool's root and its SHA-256."""

    path: Word
    sha256: Sha256


class Seconds(Record, frozen=True):
    """Wall-clock and CPU seconds of a phase."""

    wall: Duration = 0.0
    cpu: Duration = 0.0


class TrainingRecord(Record, frozen=True):
    """Training of a branch, or an update on what branches have sampled: of these, ``episodes`` and
    ``environment_steps`` are the sums."""

    episodes: Natural
    environment_steps: Natural
    updates: Natural
    mean_return: float | None
    metrics: dict[Word, float]


class WorkerInfo(Record, frozen=True):
    """The worker that made a record; nothing here affects a result."""

    id: Word
    host: Word
    pid: Natural
    versions: dict[Word, Word]
    differs: tuple[Word, ...] = ()
    """Versions, processor or BLAS settings that differ from those that made the pool; results may
    differ in their last bits."""
    job: Word = ""
    """Job of the launcher, ``123`` or ``123_4``; empty if there is none."""
    restarts: Natural = 0
    """How often that job was requeued."""


class UnitRecord(Record, frozen=True, kw_only=True):
    """The deposit of a unit of work.

    ``failed`` follows from the specification and the champion (divergence), ``abandoned`` from the
    workers that tried.
    """

    schema: int = FIRST_SCHEMA
    spec_sha256: Sha256
    iteration: Iteration
    kind: KindName
    index: Index
    status: Literal["done", "failed", "abandoned"]
    reason: str = ""
    parent_sha256: NoneOrSha256
    """SHA-256 of the champion that it started from."""
    sources_sha256: Sha256 | UnsetType = UNSET
    """Of a candidate or an update: SHA-256 of the ``SourcesRecord`` that names the branches it was
    made of."""
    hyperparameters: dict[Word, bool | int | float | Word] = {}
    agent: AgentRef | None = None
    rollout_sha256: Sha256 | UnsetType = UNSET
    """Of a branch that only samples experience (merge rule `update`): SHA-256 of its rollout's
    file, which it deposits in place of an agent."""
    replay_sha256: Sha256 | UnsetType = UNSET
    """Of a branch whose learner shares its replay: SHA-256 of the file of the transitions that it
    has sampled, which it deposits beside its agent."""
    training: TrainingRecord | None = None
    evaluation: Evaluation | None = None
    seconds: dict[Word, Seconds] = {}
    """Seconds by phase since the worker's previous deposit: training, evaluation, waiting, and the
    overhead of the pool by kind."""
    finished: Duration = 0.0
    """Unix time of the deposit."""
    worker: WorkerInfo

    @property
    def unit(self) -> Unit:
        return Unit(self.iteration, self.kind, self.index)

    @property
    def score(self) -> float | None:
        """By which units are selected: the mean return, unless the pool selects by another score;
        ``None`` unless the unit is done, and has one."""
        done = self.status == "done" and self.evaluation is not None
        return self.evaluation.selection_score if done and self.evaluation else None

    @property
    def content_sha256(self) -> str:
        """SHA-256 of the file that it names, an agent or a rollout; empty if there is none."""
        if self.rollout_sha256 is not UNSET:
            return self.rollout_sha256
        return self.agent.sha256 if self.agent else ""

    @property
    def played_sha256(self) -> str:
        """SHA-256 of the file with what it has sampled, a rollout or transitions; empty if there is
        none."""
        for sha256 in (self.rollout_sha256, self.replay_sha256):
            if sha256 is not UNSET:
                return sha256
        return ""

    @property
    def training_steps(self) -> int:
        """Control steps taken in training. An update takes none: those that it learns from are in
        the records of the branches too."""
        return self.training.environment_steps if self.training and self.kind != "update" else 0

    @property
    def environment_steps(self) -> int:
        """Control steps taken, in training and in evaluation."""
        return self.training_steps + (sum(self.evaluation.lengths) if self.evaluation else 0)

    def evolved_value(self, name: str) -> float:
        """The value of a hyper-parameter that evolves.

        Raises:
            ValueError: it is missing, or not a positive number.
        """
        value = self.hyperparameters.get(name)
        if isinstance(value, bool | str) or value is None or not 0 < value < math.inf:
            raise ValueError(f"{self.unit.stem}: hyperparameters.{name} is {value!r}")
        return float(value)


class Attempt(Record, frozen=True, kw_only=True):
    """A failure that does not follow from the specification: out of memory, a bug that raises."""

    schema: int = FIRST_SCHEMA
    iteration: int
    kind: KindName
    index: int
    reason: str
    details: str
    worker: WorkerInfo


MergeRuleName = Literal[
    "initial",
    "best branch",
    "best candidate",
    "parent kept",
    "patience",
    "no branch succeeded",
    "best-ever fallback",
    "mean",
    "mean not finite",
    "update",
    "update failed",
]


class Champion(Record, frozen=True):
    """The agent that a merge named, and the unit that deposited it."""

    path: Word
    sha256: Sha256
    score: Number | None
    iteration: Iteration
    kind: KindName
    index: Index


class MergedDeposit(Record, frozen=True):
    """A deposit as a merge lists it; ``sha256`` is that of its agent or rollout."""

    kind: KindName
    index: Index
    status: Literal["done", "failed", "abandoned"]
    score: Number | None
    sha256: NoneOrSha256


class BestEver(Record, frozen=True):
    """The champion with the highest score by which any was selected, so far.

    Attributes:
        champion: with that score, of the iteration that selected it first.
        iterations_since: that found no better one, since it was found or gone back to.
    """

    champion: Champion
    iterations_since: Natural
    hyperparameters: dict[Word, Positive] | UnsetType = UNSET
    """The values of evolving hyper-parameters that came with it."""


class SourcesRecord(Record, frozen=True, kw_only=True):
    """The deposits of the first stage of an iteration with two: what candidates are made of, and
    what the merge chooses from beside them, or the branches whose rollouts the update is made on.
    After a timeout workers may see different deposits; the first record fixes them. It is a
    function of the deposits alone."""

    schema: int = FIRST_SCHEMA
    spec_sha256: Sha256
    iteration: Iteration
    parent_sha256: Sha256
    """SHA-256 of the champion that they started from."""
    deposits: tuple[MergedDeposit, ...]

    @property
    def done(self) -> list[int]:
        """Indices of the branches that the second stage is made of, in ascending order."""
        return sorted(d.index for d in self.deposits if d.kind == "branch" and d.status == "done")

    def lists(self, kind: KindName, index: int) -> bool:
        """Whether a unit is among the deposits."""
        return any((d.kind, d.index) == (kind, index) for d in self.deposits)


class ReplayChunk(Record, frozen=True):
    """The transitions that a branch has sampled, in a file that never changes."""

    iteration: Iteration
    index: Index
    transitions: Natural
    sha256: Sha256

    @property
    def path(self) -> str:
        """Of the file, relative to the root of the pool."""
        return Unit(self.iteration, "branch", self.index).rollout_path(self.sha256)


class MergeRecord(Record, frozen=True, kw_only=True):
    """The decision of an iteration: its champion, and the deposits that it was chosen from."""

    schema: int = FIRST_SCHEMA
    spec_sha256: Sha256
    iteration: Iteration
    champion: Champion
    rule: MergeRuleName
    deposits: tuple[MergedDeposit, ...]
    parent_score: Number | None = None
    """Score of the previous champion on the seeds of this iteration: an unbiased second measurement
    of the previous merge's choice."""
    parent_return: Number | UnsetType = UNSET
    """Its mean return, where units are selected by another score; left out elsewhere."""
    parent_kept: Natural = 0
    """For how many iterations in a row the parent has been kept, this one included."""
    failed_iterations: Natural = 0
    """For how many iterations in a row no branch has succeeded, or their mean was not finite, or
    the update on them failed, this one included."""
    to_parent: Difference | None = None
    to_runner_up: Difference | None = None
    timing_dependent: bool = False
    environment_steps: Natural = 0
    """Control steps of all units so far, in training and in evaluation."""
    training_steps: Natural = 0
    """Control steps of all branches so far, in training alone."""
    best_ever: BestEver | UnsetType = UNSET
    """In pools with `merge.fallback`; left out elsewhere."""
    hyperparameters: dict[Word, Positive] | UnsetType = UNSET
    """Values that evolving hyper-parameters go on from, by name; left out in other pools."""
    replay: tuple[ReplayChunk, ...] | UnsetType = UNSET
    """In pools whose learner shares its replay, the chunks that the next branches learn from, the
    oldest first."""
    finished: Duration = 0.0
    worker: WorkerInfo | None = None

    @property
    def result(self) -> Champion:
        """The result of a pool that ends with this merge: the champion, or the best-ever one where
        the pool has `merge.fallback`."""
        return self.champion if self.best_ever is UNSET else self.best_ever.champion

    @property
    def window(self) -> tuple[ReplayChunk, ...]:
        """The chunks of the shared replay; empty in other pools."""
        return () if self.replay is UNSET else self.replay

    @property
    def line_values(self) -> dict[str, float]:
        """Values that evolving hyper-parameters go on from; empty in other pools."""
        return {} if self.hyperparameters is UNSET else self.hyperparameters

    def start_of(self, kind: KindName) -> Champion:
        """The agent that a unit starts from after this merge: the closing evaluation from the
        result, units of the next iteration from the champion."""
        return self.result if kind == "closing" else self.champion
