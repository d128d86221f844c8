"""Typed files of one pool: deposits, merges and champions."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection
from pathlib import Path

from msgspec import UNSET

from poolrl import files
from poolrl.errors import IncompatiblePool
from poolrl.records import consistency
from poolrl.records.codec import NewerSchema, Unreadable, decode, encode
from poolrl.records.records import (
    AgentRef,
    Attempt,
    Champion,
    MergeRecord,
    ReplayChunk,
    SourcesRecord,
    UnitRecord,
)
from poolrl.records.work_units import KINDS, Unit
from poolrl.storage.layout import Layout
from poolrl.storage.store import Store, UnusableFile

log = logging.getLogger("poolrl.storage")

MAX_SET_ASIDE = 5
"""Number of times that the deposit of one unit may be set aside as damaged."""


def iterations_in(store: Store, layout: Layout) -> list[int]:
    """Numbers of the iterations that have a folder, in ascending order."""
    numbers = map(layout.iteration_number, store.names_in(layout.iterations))
    return sorted(number for number in numbers if number is not None)


class DepositStore:
    """Reads and writes the deposits, merges and agents of a pool."""

    def __init__(
        self,
        store: Store,
        *,
        spec_sha256: str,
        evaluate_episodes: int,
        closing_episodes: int,
        initial_agent_sha256: str = "",
        evaluates_branches: bool = True,
        shares_experience: bool = False,
        shares_replay: bool = False,
        evolving: tuple[str, ...] = (),
    ) -> None:
        """
        Args:
            store: files of the pool.
            spec_sha256: identity of the pool, which every record repeats.
            evaluate_episodes: number of episodes of an evaluation.
            closing_episodes: number of episodes of the closing evaluation.
            initial_agent_sha256: of the agent file that the pool starts from; empty if the initial
                agent is drawn from the seed.
            evaluates_branches: whether branches, and the update made of them, are evaluated.
            shares_experience: whether branches deposit rollouts in place of agents.
            shares_replay: whether branches deposit their transitions beside their agents.
            evolving: names of the hyper-parameters that evolve, whose values branches record.
        """
        self._store = store
        self._layout = Layout(store.root)
        self._spec_sha256 = spec_sha256
        self._evaluate_episodes = evaluate_episodes
        self._closing_episodes = closing_episodes
        self._initial_sha256 = initial_agent_sha256
        self._evaluates_branches = evaluates_branches
        self._shares_experience = shares_experience
        self._shares_replay = shares_replay
        self._evolving = evolving

    def publish_agent(self, unit: Unit, data: bytes) -> AgentRef:
        """Publish an agent, which the unit's record then names."""
        sha256 = hashlib.sha256(data).hexdigest()
        path = self._layout.iteration(unit.iteration).agent(unit, sha256)
        self._publish_content(path, data)
        return AgentRef(path=self._layout.relative(path), sha256=sha256)

    def publish_rollout(self, unit: Unit, data: bytes) -> str:
        """Publish a rollout, and return its SHA-256, which the unit's record then holds."""
        sha256 = hashlib.sha256(data).hexdigest()
        self._publish_content(self._layout.iteration(unit.iteration).rollout(unit, sha256), data)
        return sha256

    def _publish_content(self, path: Path, data: bytes) -> None:
        if not self._store.publish(path, data):
            # The content is not what the hash in the name says.
            self._store.set_aside(path)
            self._store.publish(path, data)

    def publish_record(self, record: UnitRecord) -> bool:
        """Publish a record; whether it is the first one of its unit, which alone counts."""
        path = self._layout.iteration(record.iteration).record(record.unit)
        return self._store.publish(path, encode(record))

    def publish_attempt(self, attempt: Attempt) -> None:
        """Publish the record of an attempt; one per worker and unit."""
        unit = Unit(attempt.iteration, attempt.kind, attempt.index)
        path = self._layout.iteration(unit.iteration).attempt(unit, attempt.worker.id)
        self._store.publish(path, encode(attempt))

    def deposit(
        self,
        unit: Unit,
        parent_sha256: str | None = None,
        sources_sha256: str | None = None,
    ) -> UnitRecord | None:
        """Read a unit's record; ``None`` if there is none.

        A record that does not parse, belongs to another unit or pool, or started from another
        agent, is set aside, so that its unit is computed again.

        Args:
            unit: the unit.
            parent_sha256: of the champion that it must have started from; not checked by default.
            sources_sha256: of the sources that a unit of the second stage must have been made of;
                not checked by default.

        Raises:
            IncompatiblePool: a later version wrote it, or it was set aside too often.
        """
        try:
            record = self.record(unit)
            if record is not None and parent_sha256 not in (None, record.parent_sha256):
                raise Unreadable("it started from another agent than the champion")
            if (
                record is not None
                and KINDS[unit.kind].second_stage
                and sources_sha256 not in (None, record.sources_sha256)
            ):
                raise Unreadable("it was made of other branches")
            return record
        except NewerSchema as error:
            path = self._layout.iteration(unit.iteration).record(unit)
            raise IncompatiblePool(f"{path}: {error}") from error
        except Unreadable as error:
            self._set_aside(unit, files.printable(str(error)))
            return None

    def record(self, unit: Unit) -> UnitRecord | None:
        """Read a unit's record without changing anything; ``None`` if there is none.

        Raises:
            Unreadable: it is damaged, or belongs to another unit or pool.
            NewerSchema: a later version wrote it.
        """
        try:
            data = self._store.read_if_there(self._layout.iteration(unit.iteration).record(unit))
        except UnusableFile as error:
            raise Unreadable(error.reason) from error
        if data is None:
            return None
        record = decode(data, UnitRecord)
        if record.unit != unit or record.spec_sha256 != self._spec_sha256:
            raise Unreadable("it belongs to another unit or another pool")
        evaluation, closing = record.evaluation, unit.kind == "closing"
        if record.status == "done" and (evaluation is not None) != self.evaluates(unit):
            raise Unreadable(f"{'not ' if evaluation is None else ''}evaluated, against pool.toml")
        if record.status == "done" and unit.kind == "branch":
            plays = record.rollout_sha256 is not UNSET
            if plays != self._shares_experience:
                raise Unreadable(f"{'a' if plays else 'no'} rollout, against pool.toml")
            if (record.replay_sha256 is not UNSET) != self._shares_replay:
                raise Unreadable("its transitions are deposited, or not, against pool.toml")
        episodes = self._closing_episodes if closing else self._evaluate_episodes
        if evaluation is not None and len(evaluation.returns) != episodes:
            raise Unreadable(f"{len(evaluation.returns)} episodes of evaluation, not {episodes}")
        if (contradiction := consistency.of_evolved(record, self._evolving)) is not None:
            raise Unreadable(contradiction)
        return record

    def evaluates(self, unit: Unit) -> bool:
        """Whether a unit is evaluated."""
        return unit.kind not in ("branch", "update") or self._evaluates_branches

    def is_alone(self, unit: Unit) -> bool:
        """Whether no branch does what a unit does, so that their durations say nothing of it: an
        update, and the parent where it alone is evaluated."""
        return unit.kind == "update" or (unit.kind == "parent" and not self._evaluates_branches)

    def branch_agent(self, record: UnitRecord) -> bytes | None:
        """Read the agent of a branch that is not merged yet.

        Returns:
            The content of its file; ``None`` if it is missing or damaged. Unless the iteration was
            merged meanwhile, and the file removed, the deposit is then set aside, so that its unit
            is computed again.
        """
        assert record.agent is not None
        return self._unmerged(record, self.agent(record.agent), "agent")

    def branch_rollout(self, record: UnitRecord) -> bytes | None:
        """Read what a branch that is not merged yet has sampled; as ``branch_agent``."""
        return self._unmerged(record, self.rollout(record), "rollout")

    def _unmerged(self, record: UnitRecord, data: bytes | None, what: str) -> bytes | None:
        merge = self._layout.iteration(record.iteration).merge
        if data is None and self._store.read_if_there(merge, files.MERGE) is None:
            self._set_aside(record.unit, f"its {what} is missing or damaged")
        return data

    def rollout(self, record: UnitRecord) -> bytes | None:
        """Read what a branch has sampled; ``None`` if it is missing or has another hash."""
        sha256 = record.played_sha256
        path = self._layout.iteration(record.iteration).rollout(record.unit, sha256)
        return self._read_content(path, files.ROLLOUT, sha256)

    def sources(self, iteration: int) -> tuple[SourcesRecord, str] | None:
        """Read the sources of an iteration, and their SHA-256; ``None`` if there are none. What
        does not parse, or belongs to another pool or iteration, is set aside.

        Raises:
            IncompatiblePool: a later version wrote it, or it was set aside too often.
        """
        try:
            record = self.read_sources(iteration)
        except NewerSchema as error:
            path = self._layout.iteration(iteration).sources
            raise IncompatiblePool(f"{path}: {error}") from error
        except Unreadable as error:
            self.set_sources_aside(iteration, files.printable(str(error)))
            return None
        return None if record is None else (record, hashlib.sha256(encode(record)).hexdigest())

    def read_sources(self, iteration: int) -> SourcesRecord | None:
        """Read the sources of an iteration without changing anything; ``None`` if there are
        none.

        Raises:
            Unreadable: they are damaged, or belong to another iteration or pool.
            NewerSchema: a later version wrote them.
        """
        try:
            path = self._layout.iteration(iteration).sources
            data = self._store.read_if_there(path, files.MERGE)
        except UnusableFile as error:
            raise Unreadable(error.reason) from error
        if data is None:
            return None
        record = decode(data, SourcesRecord)
        if record.spec_sha256 != self._spec_sha256 or record.iteration != iteration:
            raise Unreadable("it belongs to another pool or iteration")
        if encode(record) != data:
            raise Unreadable("it is not written as workers write it")
        return record

    def publish_sources(self, record: SourcesRecord) -> None:
        """Publish the sources of an iteration, unless there are some."""
        self._store.publish(self._layout.iteration(record.iteration).sources, encode(record))

    def set_sources_aside(self, iteration: int, reason: str) -> None:
        """Set the sources of an iteration aside, unless it is merged.

        Raises:
            IncompatiblePool: they were set aside too often.
        """
        layout = self._layout.iteration(iteration)
        if self._store.read_if_there(layout.merge, files.MERGE) is None:
            self._set_path_aside(layout.sources, reason)

    def newest_merge(self) -> MergeRecord | None:
        """The last merge, searched from the newest folder on; ``None`` if there is none."""
        for number in reversed(self.iterations()):
            folder = self._layout.iteration(number)
            if folder.merge.name in self._store.names_in(folder.folder):
                return self.merge(number)
        return None

    def iterations(self) -> list[int]:
        """Numbers of the iterations that have a folder, in ascending order."""
        return iterations_in(self._store, self._layout)

    def merge(self, iteration: int) -> MergeRecord:
        """Read the published merge of an iteration.

        Raises:
            IncompatiblePool: it is missing or damaged, or belongs to another pool.
        """
        path = self._layout.iteration(iteration).merge
        try:
            record = decode(self._store.read(path, files.MERGE), MergeRecord)
        except (Unreadable, NewerSchema, FileNotFoundError) as error:
            raise IncompatiblePool(f"{path}: {error}") from error
        if record.spec_sha256 != self._spec_sha256 or record.iteration != iteration:
            raise IncompatiblePool(f"{path}: belongs to another pool or iteration")
        return record

    def publish_merge(self, record: MergeRecord) -> bool:
        """Publish a merge, unless its champion's agent is missing or damaged.

        Then the deposit that named the agent is set aside, so that its unit is computed again.

        Returns:
            Whether the iteration has a merge now, this one or an earlier one.

        Raises:
            IncompatiblePool: the agent of a champion that an earlier merge named is lost.
        """
        champion = record.champion
        if champion.iteration != record.iteration:
            self.champion(champion)
        elif self._read_agent(champion.path, champion.sha256) is None:
            unit = Unit(champion.iteration, champion.kind, champion.index)
            if unit.kind != "mean":  # which the next attempt makes again
                self._set_aside(unit, "its agent is missing or damaged")
            return False
        self._store.publish(self._layout.iteration(record.iteration).merge, encode(record))
        return True

    def losers(self, merged: MergeRecord, window: Collection[ReplayChunk] = ()) -> list[str]:
        """File names of the agents and rollouts of an iteration that are neither its champion, nor
        in the window of a shared replay, nor the initial agent file of the pool."""
        layout = self._layout.iteration(merged.iteration)
        kept = {merged.champion.path, *(chunk.path for chunk in window)}
        if self._initial_sha256:
            kept.add(self._layout.relative(self._initial_path()))
        return [
            name
            for name in sorted(self._store.names_in(layout.folder))
            if layout.is_agent(name) and self._layout.relative(layout.folder / name) not in kept
        ]

    def remove_losers(self, merged: MergeRecord, window: Collection[ReplayChunk] = ()) -> None:
        """Remove the files of ``losers``.

        Raises:
            StoreError: the file system refused.
        """
        folder = self._layout.iteration(merged.iteration).folder
        self._store.remove_files(folder, self.losers(merged, window))

    def chunk(self, chunk: ReplayChunk) -> bytes | None:
        """Read a chunk of a shared replay; ``None`` if it is missing or has another hash."""
        return self._read_content(self._layout.root / chunk.path, files.ROLLOUT, chunk.sha256)

    def champion(self, named: Champion) -> bytes:
        """Read the agent file of a champion that a merge named.

        Raises:
            IncompatiblePool: it is missing, or has another hash.
        """
        data = self._read_agent(named.path, named.sha256)
        if data is None:
            path = self._layout.resolve(named.path)
            raise IncompatiblePool(f"{path}: the champion's agent is missing or damaged")
        return data

    def given_agent(self) -> bytes | None:
        """Read the initial agent file of the pool; ``None`` if the agent is drawn from the seed.

        Raises:
            IncompatiblePool: it is missing, or has another hash.
        """
        sha256 = self._initial_sha256
        if not sha256:
            return None
        path = self._initial_path()
        data = self._read_agent(self._layout.relative(path), sha256)
        if data is None:
            raise IncompatiblePool(f"{path}: the agent to start from is missing or damaged")
        return data

    def _initial_path(self) -> Path:
        return self._layout.iteration(0).agent(Unit(0, "initial", 0), self._initial_sha256)

    def agent(self, reference: AgentRef) -> bytes | None:
        """Read an agent file; ``None`` if it is missing or has another hash."""
        return self._read_agent(reference.path, reference.sha256)

    def _read_agent(self, relative: str, sha256: str) -> bytes | None:
        return self._read_content(self._layout.resolve(relative), files.AGENT, sha256)

    def _read_content(self, path: Path, most: int, sha256: str) -> bytes | None:
        try:
            data = self._store.read_if_there(path, most)
        except UnusableFile:
            return None
        return data if data is not None and hashlib.sha256(data).hexdigest() == sha256 else None

    def _set_aside(self, unit: Unit, reason: str) -> None:
        self._set_path_aside(self._layout.iteration(unit.iteration).record(unit), reason)

    def _set_path_aside(self, path: Path, reason: str) -> None:
        prefix = f"{path.name}.corrupt-"
        before = [name for name in self._store.names_in(path.parent) if name.startswith(prefix)]
        if len(before) >= MAX_SET_ASIDE:
            raise IncompatiblePool(
                f"{path}: {reason}, as {len(before)} times before; something damages this file"
            )
        aside = self._store.set_aside(path)
        log.warning("%s: %s; set aside as %s", path, reason, aside.name)
