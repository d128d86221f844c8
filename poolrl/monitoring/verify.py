"""A pool's files held against its rules, without computing any unit again; nothing is changed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from poolrl import files
from poolrl.errors import IncompatiblePool
from poolrl.monitoring.discrepancies import Finding, compare
from poolrl.pool.directory import Pool
from poolrl.pool.merge_rules import NothingToSelect, merge
from poolrl.records.records import (
    AgentRef,
    Champion,
    Evaluation,
    MergeRecord,
    NewerSchema,
    R,
    UnitRecord,
    Unreadable,
    decode,
)
from poolrl.records.work_units import KINDS, Unit, units_of
from poolrl.storage import store
from poolrl.storage.deposits import Archive


@dataclass
class Examined:
    """What there is in a pool, and what is wrong with it.

    Attributes:
        findings: in the order of the iterations.
        units: the records that parse and belong to the pool.
        merges: the merges that parse and belong to the pool, by iteration.
        set_aside: how many damaged files workers have set aside.
    """

    findings: list[Finding] = field(default_factory=list)
    units: dict[Unit, UnitRecord] = field(default_factory=dict)
    merges: dict[int, MergeRecord] = field(default_factory=dict)
    set_aside: int = 0


def examine(pool: Pool) -> Examined:
    """Check every record, hash and merge of a pool, which may be at work meanwhile.

    Raises:
        IncompatiblePool: a later version of poolrl wrote some of it.
        StoreError: the file system refused.
    """
    return _Examination(pool).run()


def start_of(examined: Examined, unit: Unit) -> MergeRecord | None:
    """The merge that a unit starts from; ``None`` for the initial one, and where it is lost."""
    return examined.merges.get(unit.iteration if unit.kind == "closing" else unit.iteration - 1)


def recomputable(examined: Examined) -> list[UnitRecord]:
    """The records of units that can be computed again: all but abandoned ones, as long as what
    they start from is there."""
    return [
        record
        for unit, record in examined.units.items()
        if record.status != "abandoned"
        and (unit.kind == "initial" or start_of(examined, unit) is not None)
    ]


class _Examination:
    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.archive = Archive(pool)
        self.found = Examined()

    def run(self) -> Examined:
        numbers = self.archive.iterations()
        previous: MergeRecord | None = None
        for number in range(max(numbers, default=-1) + 1):
            folder = f"iterations/{number:06d}"
            if number not in numbers:
                self.say(folder, "", "missing, though later iterations are there")
            elif number > 0 and previous is None:
                merge_before = f"iterations/{number - 1:06d}/merge.json"
                self.say(merge_before, "", "missing or unusable, though this is not the last one")
            previous = self._iteration(number, previous)
        self._given()
        return self.found

    def say(self, path: str, key: str, message: str) -> None:
        self.found.findings.append(Finding(path, key, message))

    def _iteration(self, number: int, previous: MergeRecord | None) -> MergeRecord | None:
        """Check an iteration; returns its merge, ``None`` where there is none that can be used."""
        layout = self.pool.layout.iteration(number)
        names = store.names_in(layout.folder)
        self.found.set_aside += sum(".corrupt-" in name for name in names)
        merged = None
        if layout.merge.name in names:
            path = self.pool.layout.relative(layout.merge)
            merged = self._read(path, MergeRecord)
            if merged is not None and merged.iteration != number:
                self.say(path, "iteration", f"{merged.iteration} in the folder of {number}")
                merged = None
        records: dict[Unit, UnitRecord] = {}
        for unit in [*units_of(number, self.pool.spec.pool.count), Unit(number, "closing", 0)]:
            if layout.record(unit).name not in names:
                continue
            path = self.pool.layout.relative(layout.record(unit))
            record = self._read(path, UnitRecord)
            if record is None:
                continue
            if record.unit != unit:
                self.say(path, "", f"holds iteration {record.iteration} {record.unit.stem}")
                continue
            records[unit] = record
            start = merged if unit.kind == "closing" else previous
            if start is None and (number > 0 or unit.kind == "closing"):
                continue  # what it started from is lost, and told
            self._record(path, record, start, merged)
            if record.status == "abandoned":
                tries = sum(layout.attempt_stem(name) == unit.stem for name in names)
                if tries < self.pool.spec.pool.max_attempts:
                    self.say(path, "status", f"abandoned after {tries} attempts")
        self.found.units |= records
        if merged is not None:
            self.found.merges[number] = merged
            self._merge(self.pool.layout.relative(layout.merge), merged, previous, records)
        return merged

    def _read(self, path: str, kind: type[R]) -> R | None:
        """A record of this pool; ``None`` where it is none, or gone meanwhile."""
        most = files.MERGE if kind is MergeRecord else files.RECORD
        try:
            data = store.read_if_there(self.pool.layout.root / path, most)
            if data is None:
                return None
            record = decode(data, kind)
        except NewerSchema as error:
            raise IncompatiblePool(f"{self.pool.layout.root / path}: {error}") from error
        except (Unreadable, store.Strange) as error:
            reason = error.reason if isinstance(error, store.Strange) else str(error)
            self.say(path, "", f"damaged: {reason}")
            return None
        theirs: str = record.spec_sha256  # type: ignore[attr-defined]
        if theirs != self.pool.spec_sha256:
            self.say(path, "spec_sha256", f"{theirs}, the pool's is {self.pool.spec_sha256}")
            return None
        return record

    # Records

    def _record(
        self,
        path: str,
        record: UnitRecord,
        start: MergeRecord | None,
        merged: MergeRecord | None,
    ) -> None:
        champion = start.champion.sha256 if start else ""
        if record.parent_sha256 != champion:
            self.say(path, "parent_sha256", f"{record.parent_sha256}, the champion is {champion}")
        if record.evaluation is not None:
            self._evaluation(path, record.kind == "closing", record.evaluation)
        trains = KINDS[record.kind].trains
        if trains and record.status == "done" and record.training is None:
            self.say(path, "training", "nothing recorded, though it was done")
        if trains and record.status != "abandoned":
            # Options that a later version of poolrl added are not in its records.
            values = msgspec.to_builtins(self.pool.spec.hyperparameters(record.index))
            own = {name: values.get(name, "none such") for name in record.hyperparameters}
            expected = {"hyperparameters": own}
            recorded = {"hyperparameters": record.hyperparameters}
            self.found.findings += compare(path, recorded, expected, "by pool.toml")
        if record.agent is not None:
            self._agent(path, record, record.agent, start, merged)

    def _evaluation(self, path: str, closing: bool, evaluation: Evaluation) -> None:
        pool = self.pool.spec.pool
        episodes = pool.closing_episodes if closing else pool.evaluate_episodes
        if len(evaluation.returns) != episodes:
            message = f"{len(evaluation.returns)} episodes recorded, {episodes} by pool.toml"
            self.say(path, "evaluation.returns", message)
        # To the last bit: decoding a record has a tolerance.
        expected = Evaluation.of(
            evaluation.returns,
            evaluation.lengths,
            deterministic=self.pool.spec.evaluation.deterministic,
        )
        self.found.findings += compare(
            path, {"evaluation": evaluation}, {"evaluation": expected}, "by the rules"
        )

    def _agent(
        self,
        path: str,
        record: UnitRecord,
        agent: AgentRef,
        start: MergeRecord | None,
        merged: MergeRecord | None,
    ) -> None:
        if record.kind in ("parent", "closing"):
            # Its file is looked at where the merge named it.
            if start is not None and agent != _reference(start.champion):
                self.say(path, "agent", f"{agent.path}, the champion is {start.champion.path}")
            return
        if (message := self._damage(agent)) is not None:
            merge_path = self.pool.layout.iteration(record.iteration).merge
            # What lost goes once there is a merge, which may have come while we looked.
            if not (message == "missing" and (merged or store.read_if_there(merge_path))):
                self.say(agent.path, "", message)

    def _damage(self, agent: AgentRef) -> str | None:
        """What is wrong with an agent's file."""
        try:
            data = store.read_if_there(self.pool.layout.resolve(agent.path), files.AGENT)
        except store.Strange as error:
            return error.reason
        if data is None:
            return "missing"
        found = hashlib.sha256(data).hexdigest()
        return f"SHA-256 {found}, recorded is {agent.sha256}" if found != agent.sha256 else None

    def _given(self) -> None:
        """The agent that the pool was made from."""
        try:
            self.archive.given_agent()
        except IncompatiblePool as error:
            self.say("", "", str(error))

    # Merges

    def _merge(
        self,
        path: str,
        merged: MergeRecord,
        previous: MergeRecord | None,
        records: Mapping[Unit, UnitRecord],
    ) -> None:
        champion = merged.champion
        if (message := self._damage(_reference(champion))) is not None:
            self.say(champion.path, "", f"{message}; iteration {merged.iteration}'s champion")
        listed = []
        for candidate in merged.deposits:
            record = records.get(Unit(merged.iteration, candidate.kind, candidate.index))
            if record is None:
                stem = Unit(merged.iteration, candidate.kind, candidate.index).stem
                self.say(path, f"deposits.{stem}", "listed, but there is no such record")
            else:
                listed.append(record)
        units = units_of(merged.iteration, self.pool.spec.pool.count)
        used = {record.unit for record in listed}
        if not merged.timing_dependent:
            for unit in units:
                if unit in records and unit not in used:
                    self.say(path, f"deposits.{unit.stem}", "not listed, but there is a record")
        if len(listed) < len(merged.deposits) or (previous is None and merged.iteration > 0):
            return  # told; without them the merge cannot be computed
        try:
            ours = merge(
                previous,
                listed,
                iteration=merged.iteration,
                branches=self.pool.spec.pool.count,
                selection=self.pool.spec.selection,
                spec_sha256=self.pool.spec_sha256,
            )
        except (NothingToSelect, ValueError) as error:
            self.say(path, "", f"cannot follow from its deposits: {error}")
            return
        self.found.findings += compare(path, _decision(merged), _decision(ours), "by the rules")


def _reference(champion: Champion) -> AgentRef:
    return AgentRef(path=champion.path, sha256=champion.sha256)


def _decision(merged: MergeRecord) -> dict[str, Any]:
    """A merge as plain data without who wrote it and when, its deposits by their units' names."""
    table: dict[str, Any] = msgspec.to_builtins(merged)
    deposits = {
        Unit(merged.iteration, each.kind, each.index).stem: msgspec.to_builtins(each)
        for each in merged.deposits
    }
    return {k: v for k, v in table.items() if k not in ("schema", "worker", "finished")} | {
        "deposits": deposits
    }
