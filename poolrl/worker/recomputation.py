"""Recomputation of units, and comparison with their deposits."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET

from poolrl.agent import Agent
from poolrl.algorithms.training import prepare
from poolrl.algorithms.types import LATER_METRICS
from poolrl.errors import Divergence, IncompatiblePool, PoolrlError, UsageError, one_line
from poolrl.pool.directory import Pool
from poolrl.pool.merge_rules import mean_weights, succeeded
from poolrl.provenance import differences
from poolrl.records.consistency import Discrepancy, compare
from poolrl.records.records import MergeRecord, UnitRecord
from poolrl.records.work_units import KINDS, KindName, Unit
from poolrl.rollouts.replay_chunk import Chunk
from poolrl.rollouts.replay_chunk import to_bytes as chunk_to_bytes
from poolrl.rollouts.rollout import Rollout
from poolrl.rollouts.rollout_file import from_bytes, to_bytes
from poolrl.worker.mean_merge import mean_of
from poolrl.worker.recomputed_windows import RecomputedWindows
from poolrl.worker.unit_computation import NO_SOURCES, Result, Sources, UnitComputation

T = TypeVar("T")


class Recomputer:
    """Computes units as a worker does, from the same champions, and compares.

    Attributes:
        warning: why results may differ on this machine; ``None`` if no reason is known.
    """

    def __init__(self, pool: Pool, merges: Mapping[int, MergeRecord] | None = None) -> None:
        """
        Args:
            pool: the pool.
            merges: of the pool, by iteration, for what a shared replay's window has lost.

        Raises:
            UsageError: the pool's task cannot be made here.
            IncompatiblePool: its model differs here.
        """
        self._pool = pool
        self._deposit_store = pool.deposit_store()
        self._computation = UnitComputation(pool.spec, pool=pool)
        self._agents: dict[Unit, Agent] = {}
        self._rollouts: dict[Unit, Rollout] = {}
        self._windows = RecomputedWindows(self._deposit_store, merges or {}, self._sampled)
        try:
            self.warning = pool.model_difference(self._computation.model_sha256)
            prepare(pool.spec.learner)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the tasks that were made."""
        self._computation.close()

    def differences(
        self,
        record: UnitRecord,
        start: MergeRecord | None,
        records: Mapping[Unit, UnitRecord] | None = None,
    ) -> list[Discrepancy]:
        """Differences between a unit's record and the result here.

        The last one may say that the deposit was made with other versions or on another processor.

        Args:
            record: of the unit, which must not be abandoned.
            start: the merge that it starts from; ``None`` for the initial unit.
            records: of the pool, for units of the second stage; the branches that they are made of
                are read, or computed again where their files have been removed.

        Raises:
            PoolrlError: it cannot be computed here.
        """
        layout = self._pool.layout
        path = layout.relative(layout.iteration(record.iteration).record(record.unit))
        try:
            champion = self._start_agent(record.kind, start)
            sources = self._sources(record, start, champion, records or {})
        except (UsageError, IncompatiblePool, Divergence) as error:
            return [Discrepancy(path, "", f"cannot be computed again: {error}")]
        try:
            result = self._computation.compute(record.unit, champion, sources, start)
        except PoolrlError:
            raise
        except Exception as error:
            raise PoolrlError(f"{path}: cannot be computed again: {one_line(error)}") from error
        if record.kind == "branch" and result.agent is not None:
            self._remember(record.unit, result.agent)
        if result.transitions is not None and start is not None:
            self._windows.remember(record.unit, result.transitions, start)
        if result.rollout is not None:
            self._rollouts = _of_one_iteration(self._rollouts, record.unit, result.rollout)
        computed = _computed(record, result, start)
        if record.training is not None and computed["training"] is not None:
            metrics = computed["training"]["metrics"]
            for name in LATER_METRICS - record.training.metrics.keys():
                metrics.pop(name, None)
        if record.evaluation is not None and not record.evaluation.infos and computed["evaluation"]:
            computed["evaluation"].pop("info", None)  # which earlier versions did not record
        found = list(compare(path, _recorded(record), computed, "computed here"))
        others = [
            f"{name} {there} ({here} here)"
            for name, (there, here) in differences(record.worker.versions).items()
        ]
        if found and others:
            message = f"the deposit was made with {', '.join(others)}"
            found.append(Discrepancy(path, "worker.versions", message))
        return found

    def mean_differences(
        self, merged: MergeRecord, previous: MergeRecord, records: Mapping[Unit, UnitRecord]
    ) -> list[Discrepancy]:
        """Differences between the mean that a merge names and that of its branches.

        Their agents are those on disk, or are computed again where they have been removed.

        Args:
            merged: a merge by the rule ``mean``, whose champion is one.
            previous: the merge before.
            records: of the pool.

        Raises:
            PoolrlError: it cannot be computed here.
        """
        layout, rule = self._pool.layout, self._pool.spec.merge
        path = layout.relative(layout.iteration(merged.iteration).merge)
        listed = [
            record
            for deposit in merged.deposits
            if deposit.kind == "branch"
            and (record := records.get(Unit(merged.iteration, "branch", deposit.index))) is not None
        ]
        weights = mean_weights(succeeded(listed, rule, self._pool.spec.selection), rule)
        by_index = {record.index: record for record in listed}
        try:
            branches = [self._branch(by_index[index], previous) for index in weights]
            mean = mean_of(self._deposit_store, previous, branches, list(weights.values()), rule)
        except (UsageError, IncompatiblePool, Divergence) as error:
            return [Discrepancy(path, "", f"its mean cannot be computed again: {error}")]
        found = hashlib.sha256(mean.to_bytes()).hexdigest() if mean is not None else "not finite"
        expected = merged.champion.sha256
        if merged.rule == "mean not finite":
            expected = "not finite"
        if found == expected:
            return []
        return [Discrepancy(path, "champion.sha256", f"{expected} recorded, {found} computed here")]

    def _sources(
        self,
        record: UnitRecord,
        start: MergeRecord | None,
        champion: Agent | None,
        records: Mapping[Unit, UnitRecord],
    ) -> Sources:
        """What a unit is made of beside the champion."""
        if record.kind == "branch" and start is not None and champion is not None:
            return Sources(window=self._windows.of(start, champion))
        if not KINDS[record.kind].second_stage:
            return NO_SOURCES
        found = self._deposit_store.read_sources(record.iteration)
        units = [Unit(record.iteration, "branch", index) for index in found.done] if found else []
        least = 1 if record.kind == "update" else 2
        known = all(unit in records for unit in units)
        if start is None or champion is None or len(units) < least or not known:
            raise Divergence("it lacks the branches that it was made of")
        if record.kind == "update":
            return Sources(rollouts=[self._rollout(records[unit], champion) for unit in units])
        return Sources([self._branch(records[unit], start) for unit in units])

    def _rollout(self, record: UnitRecord, champion: Agent) -> Rollout:
        """The rollout of a branch, from its file or computed again."""
        if record.unit not in self._rollouts:
            data = self._deposit_store.rollout(record)
            if data is not None:
                return from_bytes(data, champion, record.unit.stem)
            computed = self._computation.compute(record.unit, champion)
            if computed.rollout is None:
                raise Divergence(f"{record.unit.stem}: {computed.failure}")
            self._rollouts = _of_one_iteration(self._rollouts, record.unit, computed.rollout)
        return self._rollouts[record.unit]

    def _branch(self, record: UnitRecord, start: MergeRecord) -> Agent:
        """The agent of a branch, from its file or computed again."""
        if record.unit not in self._agents:
            assert record.agent is not None
            data = self._deposit_store.agent(record.agent)
            if data is not None:
                agent = Agent.from_bytes(data, record.agent.path)
            else:
                computed = self._branch_again(record.unit, start)
                if computed.agent is None:
                    raise Divergence(f"{record.unit.stem}: {computed.failure}")
                agent = computed.agent
            self._remember(record.unit, agent)
        return self._agents[record.unit]

    def _branch_again(self, unit: Unit, start: MergeRecord) -> Result:
        champion = self._start_agent("branch", start)
        assert champion is not None
        sources = Sources(window=self._windows.of(start, champion))
        return self._computation.compute(unit, champion, sources, start)

    def _sampled(self, unit: Unit, start: MergeRecord) -> Chunk:
        """The transitions of a branch that is computed again."""
        computed = self._branch_again(unit, start)
        if computed.transitions is None:
            raise Divergence(f"{unit.stem}: {computed.failure}")
        return computed.transitions

    def _remember(self, unit: Unit, agent: Agent) -> None:
        """Keep an agent for the mean of its iteration, and none of other iterations."""
        if self._pool.spec.merge.averages:
            self._agents = _of_one_iteration(self._agents, unit, agent)

    def _start_agent(self, kind: KindName, start: MergeRecord | None) -> Agent | None:
        if start is None:
            given = self._deposit_store.given_agent()
            return None if given is None else Agent.from_bytes(given, "the agent to start from")
        champion = start.start_of(kind)
        agent = Agent.from_bytes(self._deposit_store.champion(champion), champion.path)
        self._computation.check(agent)
        return agent


def _of_one_iteration(known: Mapping[Unit, T], unit: Unit, new: T) -> dict[Unit, T]:
    """What is known of a unit's iteration, and what is new of the unit."""
    kept = {other: each for other, each in known.items() if other.iteration == unit.iteration}
    return kept | {unit: new}


def _recorded(record: UnitRecord) -> dict[str, Any]:
    return {
        "status": record.status,
        "reason": record.reason,
        "agent": {"sha256": record.agent.sha256 if record.agent else None},
        "rollout_sha256": None if record.rollout_sha256 is UNSET else record.rollout_sha256,
        "replay_sha256": None if record.replay_sha256 is UNSET else record.replay_sha256,
        "training": msgspec.to_builtins(record.training),
        "evaluation": msgspec.to_builtins(record.evaluation),
    }


def _computed(record: UnitRecord, result: Result, start: MergeRecord | None) -> dict[str, Any]:
    sha256 = None
    if result.agent is not None:
        sha256 = hashlib.sha256(result.agent.to_bytes()).hexdigest()
    elif not result.failure and start is not None and result.rollout is None:
        sha256 = start.start_of(record.kind).sha256
    rollout_sha256 = None
    if result.rollout is not None:
        rollout_sha256 = hashlib.sha256(to_bytes(result.rollout)).hexdigest()
    replay_sha256 = None
    if result.transitions is not None:
        replay_sha256 = hashlib.sha256(chunk_to_bytes(result.transitions)).hexdigest()
    return {
        "status": "failed" if result.failure else "done",
        "reason": result.failure,
        "agent": {"sha256": sha256},
        "rollout_sha256": rollout_sha256,
        "replay_sha256": replay_sha256,
        "training": msgspec.to_builtins(result.training),
        "evaluation": msgspec.to_builtins(result.evaluation),
    }
