"""Check of the files of a pool against its rules; no unit is recomputed, nothing is written."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET

from poolrl import files
from poolrl.config.tables import flatten
from poolrl.errors import IncompatiblePool
from poolrl.monitoring.verified_pool import VerifiedPool
from poolrl.pool.directory import Pool
from poolrl.pool.evolution import branch_values
from poolrl.pool.merge_rules import NothingToSelect, merge, sources_of
from poolrl.pool.replay_window import window_size
from poolrl.records.codec import NewerSchema, R, Unreadable, decode, encode
from poolrl.records.consistency import Discrepancy, compare
from poolrl.records.evaluation import Evaluation
from poolrl.records.records import AgentRef, Champion, MergeRecord, SourcesRecord, UnitRecord
from poolrl.records.work_units import KINDS, Unit, second_stage_of, units_of
from poolrl.storage.store import UnusableFile


def verify_files(pool: Pool) -> VerifiedPool:
    """Check every record, hash and merge of a pool; workers may be running.

    Raises:
        IncompatiblePool: a later version of poolrl wrote some of the files.
        StoreError: a call of the file system failed.
    """
    return _Verification(pool).run()


class _Verification:
    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.deposit_store = pool.deposit_store()
        self.result = VerifiedPool()
        self._chunks: set[str] = set()
        """Paths of the files of rollouts and chunks that are there."""
        self._sampled: list[tuple[UnitRecord, MergeRecord | None]] = []
        """Records of branches that deposited transitions, with the merges of their iterations."""

    def run(self) -> VerifiedPool:
        numbers = self.deposit_store.iterations()
        previous: MergeRecord | None = None
        for number in range(max(numbers, default=-1) + 1):
            folder = f"iterations/{number:06d}"
            if number not in numbers:
                self.report(folder, "", "missing, though later iterations are there")
            elif number > 0 and previous is None:
                merge_before = f"iterations/{number - 1:06d}/merge.json"
                self.report(
                    merge_before, "", "missing or unusable, though this is not the last one"
                )
            previous = self._iteration(number, previous)
        self._given_agent()
        self._window()
        return self.result

    def report(self, path: str, key: str, message: str) -> None:
        self.result.discrepancies.append(Discrepancy(path, key, message))

    def _iteration(self, number: int, previous: MergeRecord | None) -> MergeRecord | None:
        """Check an iteration, and return its merge; ``None`` if it is missing or unusable."""
        layout = self.pool.layout.iteration(number)
        names = self.pool.store.names_in(layout.folder)
        self.result.set_aside += sum(".corrupt-" in name for name in names)
        relative = self.pool.layout.relative(layout.folder)
        self._chunks |= {f"{relative}/{name}" for name in names if layout.is_rollout(name)}
        merged = None
        if layout.merge.name in names:
            path = self.pool.layout.relative(layout.merge)
            merged = self._read(path, MergeRecord)
            if merged is not None and merged.iteration != number:
                self.report(path, "iteration", f"{merged.iteration} in the folder of {number}")
                merged = None
        records: dict[Unit, UnitRecord] = {}
        for unit in [*self._units(number), Unit(number, "closing", 0)]:
            if layout.record(unit).name not in names:
                continue
            path = self.pool.layout.relative(layout.record(unit))
            record = self._read(path, UnitRecord)
            if record is None:
                continue
            if record.unit != unit:
                self.report(path, "", f"holds iteration {record.iteration} {record.unit.stem}")
                continue
            records[unit] = record
            start = merged if unit.kind == "closing" else previous
            if start is None and (number > 0 or unit.kind == "closing"):
                continue  # the missing merge has been reported
            self._record(path, record, start, merged)
            if record.status == "abandoned":
                tries = sum(layout.attempt_stem(name) == unit.stem for name in names)
                if tries < self.pool.spec.pool.max_attempts:
                    self.report(path, "status", f"abandoned after {tries} attempts")
        self.result.units |= records
        self._sources(number, layout.sources.name in names, previous, merged, records)
        if merged is not None:
            self.result.merges[number] = merged
            self._merge(self.pool.layout.relative(layout.merge), merged, previous, records)
        return merged

    def _units(self, iteration: int) -> list[Unit]:
        """The units that an iteration may have, in both stages."""
        spec = self.pool.spec
        return [
            *units_of(iteration, spec.pool.branches(iteration)),
            *second_stage_of(iteration, spec.merge),
        ]

    def _read(self, path: str, kind: type[R]) -> R | None:
        """Read a record of this pool; ``None`` if it is unusable, or was removed meanwhile."""
        most = files.RECORD if kind is UnitRecord else files.MERGE
        try:
            data = self.pool.store.read_if_there(self.pool.layout.root / path, most)
            if data is None:
                return None
            record = decode(data, kind)
        except NewerSchema as error:
            raise IncompatiblePool(f"{self.pool.layout.root / path}: {error}") from error
        except (Unreadable, UnusableFile) as error:
            reason = error.reason if isinstance(error, UnusableFile) else str(error)
            self.report(path, "", f"damaged: {reason}")
            return None
        recorded: str = record.spec_sha256  # type: ignore[attr-defined]
        if recorded != self.pool.spec_sha256:
            self.report(path, "spec_sha256", f"{recorded}, the pool's is {self.pool.spec_sha256}")
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
        champion = start.start_of(record.kind).sha256 if start else ""
        if record.parent_sha256 != champion:
            self.report(
                path, "parent_sha256", f"{record.parent_sha256}, the champion is {champion}"
            )
        if record.status == "done" and record.evaluation is None:
            if self.deposit_store.evaluates(record.unit):
                self.report(path, "evaluation", "nothing recorded, though it was done")
        elif record.evaluation is not None and not self.deposit_store.evaluates(record.unit):
            self.report(path, "evaluation", "recorded, though the merge rule has none")
        if record.evaluation is not None:
            self._evaluation(path, record.kind == "closing", record.evaluation)
        trains = KINDS[record.kind].trains
        if trains and record.status == "done" and record.training is None:
            self.report(path, "training", "nothing recorded, though it was done")
        if trains and record.status != "abandoned":
            # Options that a later version of poolrl added are not in its records.
            spec = self.pool.spec
            line = start.line_values if start is not None else {}
            evolved = branch_values(spec, record.unit, line)
            values = flatten(msgspec.to_builtins(spec.hyperparameters(record.index, evolved)))
            own = {name: values.get(name, "none such") for name in record.hyperparameters}
            expected = {"hyperparameters": own}
            recorded = {"hyperparameters": record.hyperparameters}
            self.result.discrepancies += compare(path, recorded, expected, "by pool.toml")
        if record.agent is not None:
            self._agent(path, record, record.agent, start, merged)
        if record.status == "done" and record.kind == "branch":
            samples = record.replay_sha256 is not UNSET
            if samples != (window_size(self.pool.spec) > 0):
                self.report(path, "replay_sha256", "there, or missing, against pool.toml")
            elif samples:
                self._sampled.append((record, merged))
            plays = record.rollout_sha256 is not UNSET
            if plays != self.pool.spec.merge.shares_experience:
                key = "rollout_sha256"
                self.report(path, key, f"{'one' if plays else 'none'}, against the merge rule")
            elif plays:
                self._rollout(record, merged)

    def _evaluation(self, path: str, closing: bool, evaluation: Evaluation) -> None:
        pool = self.pool.spec.pool
        episodes = pool.closing_episodes if closing else pool.evaluate_episodes
        if len(evaluation.returns) != episodes:
            message = f"{len(evaluation.returns)} episodes recorded, {episodes} by pool.toml"
            self.report(path, "evaluation.returns", message)
        # Exact to the last bit, while decoding a record has a tolerance.
        expected = Evaluation.of(
            evaluation.returns,
            evaluation.lengths,
            deterministic=self.pool.spec.evaluation.deterministic,
            info=evaluation.infos,
            by=self.pool.spec.selection.score,
        )
        self.result.discrepancies += compare(
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
            # Its file is checked with the merge that names it.
            champion = start.start_of(record.kind) if start is not None else None
            if champion is not None and agent != _reference(champion):
                self.report(path, "agent", f"{agent.path}, the champion is {champion.path}")
            return
        self._report_damage(record, agent.path, self._damage(agent), merged)

    def _rollout(self, record: UnitRecord, merged: MergeRecord | None) -> None:
        sha256 = record.played_sha256
        path = self.pool.layout.iteration(record.iteration).rollout(record.unit, sha256)
        message = self._damage_of(path, files.ROLLOUT, sha256)
        self._report_damage(record, self.pool.layout.relative(path), message, merged)

    def _report_damage(
        self, record: UnitRecord, path: str, message: str | None, merged: MergeRecord | None
    ) -> None:
        """Report a damaged file of a deposit, unless it may have been removed."""
        merge_path = self.pool.layout.iteration(record.iteration).merge
        # Workers remove losers after the merge, which may be newer than our listing.
        if message == "missing" and (merged or self.pool.store.read_if_there(merge_path)):
            return
        if message is not None:
            self.report(path, "", message)

    def _damage(self, agent: AgentRef) -> str | None:
        """Return what is wrong with the file of an agent, or ``None``."""
        return self._damage_of(self.pool.layout.resolve(agent.path), files.AGENT, agent.sha256)

    def _damage_of(self, path: Path, most: int, sha256: str) -> str | None:
        try:
            data = self.pool.store.read_if_there(path, most)
        except UnusableFile as error:
            return error.reason
        if data is None:
            return "missing"
        found = hashlib.sha256(data).hexdigest()
        return f"SHA-256 {found}, recorded is {sha256}" if found != sha256 else None

    def _given_agent(self) -> None:
        """Check the agent that the pool was created from."""
        try:
            self.deposit_store.given_agent()
        except IncompatiblePool as error:
            self.report("", "", str(error))

    # The second stage

    def _sources(
        self,
        number: int,
        there: bool,
        previous: MergeRecord | None,
        merged: MergeRecord | None,
        records: Mapping[Unit, UnitRecord],
    ) -> None:
        """Check that the sources list deposits as they are, and that the units of the second stage
        and the merge are made of them."""
        path = self.pool.layout.relative(self.pool.layout.iteration(number).sources)
        rule = self.pool.spec.merge
        second_stage = [r for r in records.values() if KINDS[r.kind].second_stage]
        if not there:
            if number > 0 and rule.has_two_stages and (second_stage or merged is not None):
                self.report(path, "", "missing, though there is what is made of them, or a merge")
            return
        sources = self._read(path, SourcesRecord)
        if sources is None or previous is None:
            return
        expected = sources_of(
            [r for r in records.values() if sources.lists(r.kind, r.index)],
            iteration=number,
            parent_sha256=previous.champion.sha256,
            spec_sha256=self.pool.spec_sha256,
        )
        self.result.discrepancies += compare(path, sources, expected, "by the records")
        sha256 = hashlib.sha256(encode(sources)).hexdigest()
        for record in second_stage:
            name = self.pool.layout.relative(self.pool.layout.iteration(number).record(record.unit))
            if record.sources_sha256 != sha256:
                self.report(name, "sources_sha256", f"{record.sources_sha256}, they are {sha256}")
            if record.kind == "update" and record.training is not None:
                branches = [records.get(Unit(number, "branch", index)) for index in sources.done]
                parts = [each.training for each in branches if each and each.training]
                for key in ("episodes", "environment_steps"):
                    own = getattr(record.training, key)
                    total = sum(getattr(part, key) for part in parts)
                    if own != total:
                        self.report(name, f"training.{key}", f"{own}, its branches have {total}")
        if merged is not None:
            first_stage = tuple(d for d in merged.deposits if rule.is_source(d.kind))
            if first_stage != sources.deposits:
                merge_path = self.pool.layout.relative(self.pool.layout.iteration(number).merge)
                self.report(merge_path, "deposits", f"are not those of {path}")

    # Merges

    def _window(self) -> None:
        """Note which windows of a shared replay are whole, and check the files of the newest,
        which the next branches read, and those of other chunks that are there."""
        if not self.result.merges:
            return
        self.result.lost_windows = {
            number
            for number, merged in self.result.merges.items()
            if any(chunk.path not in self._chunks for chunk in merged.window)
        }
        newest = self.result.merges[max(self.result.merges)]
        after = self.pool.layout.iteration(newest.iteration + 1).merge
        for chunk in newest.window:
            path = self.pool.layout.root / chunk.path
            message = self._damage_of(path, files.ROLLOUT, chunk.sha256)
            # A newer merge than our listing may have left it out.
            if message is not None and self.pool.store.read_if_there(after, files.MERGE) is None:
                self.report(chunk.path, "", f"{message}; in the window of the shared replay")
        checked = {(chunk.iteration, chunk.index) for chunk in newest.window}
        for record, merged in self._sampled:
            if (record.iteration, record.index) not in checked:
                self._rollout(record, merged)

    def _merge(
        self,
        path: str,
        merged: MergeRecord,
        previous: MergeRecord | None,
        records: Mapping[Unit, UnitRecord],
    ) -> None:
        champion = merged.champion
        if (message := self._damage(_reference(champion))) is not None:
            self.report(champion.path, "", f"{message}; iteration {merged.iteration}'s champion")
        listed = []
        for deposit in merged.deposits:
            record = records.get(Unit(merged.iteration, deposit.kind, deposit.index))
            if record is None:
                stem = Unit(merged.iteration, deposit.kind, deposit.index).stem
                self.report(path, f"deposits.{stem}", "listed, but there is no such record")
            else:
                listed.append(record)
        used = {record.unit for record in listed}
        if not merged.timing_dependent:
            for unit in self._units(merged.iteration):
                if unit in records and unit not in used:
                    self.report(path, f"deposits.{unit.stem}", "not listed, but there is a record")
        if len(listed) < len(merged.deposits) or (previous is None and merged.iteration > 0):
            return  # reported; without them the merge cannot be computed
        try:
            expected = merge(
                previous,
                listed,
                iteration=merged.iteration,
                branches=self.pool.spec.pool.branches(merged.iteration),
                selection=self.pool.spec.selection,
                spec_sha256=self.pool.spec_sha256,
                rule=self.pool.spec.merge,
                evolving=self.pool.spec.evolving,
                # Whether it follows from the branches is seen by computing it again.
                mean=lambda weights: _reference(champion) if merged.rule == "mean" else None,
                replay_window=window_size(self.pool.spec),
            )
        except (NothingToSelect, ValueError) as error:
            self.report(path, "", f"cannot follow from its deposits: {error}")
            return
        self.result.discrepancies += compare(
            path, _decision(merged), _decision(expected), "by the rules"
        )


def _reference(champion: Champion) -> AgentRef:
    return AgentRef(path=champion.path, sha256=champion.sha256)


def _decision(merged: MergeRecord) -> dict[str, Any]:
    """Convert a merge to plain data, without worker and time; its deposits by the unit's name."""
    table: dict[str, Any] = msgspec.to_builtins(merged)
    deposits = {
        Unit(merged.iteration, each.kind, each.index).stem: msgspec.to_builtins(each)
        for each in merged.deposits
    }
    return {k: v for k, v in table.items() if k not in ("schema", "worker", "finished")} | {
        "deposits": deposits
    }
