"""The typed files of one pool: deposits, merges, champions."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

from poolrl import files
from poolrl.errors import IncompatiblePool
from poolrl.pool.directory import Pool
from poolrl.records.records import (
    AgentRef,
    Attempt,
    MergeRecord,
    NewerSchema,
    UnitRecord,
    Unreadable,
    decode,
    encode,
)
from poolrl.records.work_units import Unit
from poolrl.storage import plain_files as plain
from poolrl.storage import store
from poolrl.storage.layout import Layout

log = logging.getLogger("poolrl.pool")


MOST_SET_ASIDE = 5
"""How often one unit's deposit may be found damaged before that is the pool's failure."""


def iterations_in(layout: Layout) -> list[int]:
    """The numbers of a pool's iterations that have a folder, in order."""
    numbers = map(layout.iteration_number, store.names_in(layout.iterations))
    return sorted(number for number in numbers if number is not None)


class Archive:
    """Reads and writes what a pool has deposited; nothing here decides or computes."""

    def __init__(self, pool: Pool) -> None:
        self._layout = pool.layout
        self._spec_sha256 = pool.spec_sha256
        self._spec = pool.spec
        self._initial_sha256 = pool.spec.initial_agent_sha256

    # Deposits

    def publish_agent(self, unit: Unit, data: bytes) -> AgentRef:
        """Deposit an agent; its record, which comes after it, names it."""
        sha256 = hashlib.sha256(data).hexdigest()
        path = self._layout.iteration(unit.iteration).agent(unit, sha256)
        if not store.publish(path, data):
            # The name says what the content should be, and it is not.
            store.set_aside(path)
            store.publish(path, data)
        return AgentRef(path=self._layout.relative(path), sha256=sha256)

    def publish_record(self, record: UnitRecord) -> bool:
        """Deposit a record; whether it was the first one of its unit, which is what counts."""
        path = self._layout.iteration(record.iteration).record(record.unit)
        return store.publish(path, encode(record))

    def publish_attempt(self, attempt: Attempt) -> None:
        """Note a try that failed for reasons of its worker; one a worker and unit."""
        unit = Unit(attempt.iteration, attempt.kind, attempt.index)
        path = self._layout.iteration(unit.iteration).attempt(unit, attempt.worker.id)
        store.publish(path, encode(attempt))

    def deposit(self, unit: Unit, parent_sha256: str | None = None) -> UnitRecord | None:
        """A unit's record; ``None`` where there is none. One that does not parse, belongs
        elsewhere, or started from another agent, is set aside, so that its unit is done again.

        Args:
            unit: whose record it is.
            parent_sha256: of the champion that it must have started from, where that is known.
        """
        try:
            record = self.record(unit)
            if record is not None and parent_sha256 not in (None, record.parent_sha256):
                raise Unreadable("it started from another agent than the champion")
            return record
        except NewerSchema as error:
            path = self._layout.iteration(unit.iteration).record(unit)
            raise IncompatiblePool(f"{path}: {error}") from error
        except Unreadable as error:
            self._set_aside(unit, files.printable(str(error)))
            return None

    def record(self, unit: Unit) -> UnitRecord | None:
        """A unit's record, read without changing anything; ``None`` where there is none.

        Raises:
            Unreadable: it is damaged, or belongs to another unit or pool.
            NewerSchema: a later version wrote it.
        """
        try:
            data = store.read_if_there(self._layout.iteration(unit.iteration).record(unit))
        except store.Strange as error:
            raise Unreadable(error.reason) from error
        if data is None:
            return None
        record = decode(data, UnitRecord)
        if record.unit != unit or record.spec_sha256 != self._spec_sha256:
            raise Unreadable("it belongs to another unit or another pool")
        pool, evaluation = self._spec.pool, record.evaluation
        episodes = pool.closing_episodes if unit.kind == "closing" else pool.evaluate_episodes
        if evaluation is not None and len(evaluation.returns) != episodes:
            raise Unreadable(f"{len(evaluation.returns)} episodes of evaluation, not {episodes}")
        return record

    # Merges

    def newest_merge(self) -> MergeRecord | None:
        """The last merge; the search begins at the newest folder."""
        for number in reversed(self.iterations()):
            folder = self._layout.iteration(number)
            if folder.merge.name in store.names_in(folder.folder):
                return self.merge(number)
        return None

    def iterations(self) -> list[int]:
        """The numbers of the iterations that have a folder, in order."""
        return iterations_in(self._layout)

    def merge(self, iteration: int) -> MergeRecord:
        """The merge that is published, whoever wrote it.

        Raises:
            IncompatiblePool: it is missing or damaged, or belongs to another pool.
        """
        path = self._layout.iteration(iteration).merge
        try:
            record = decode(store.read(path, files.MERGE), MergeRecord)
        except (Unreadable, NewerSchema, FileNotFoundError) as error:
            raise IncompatiblePool(f"{path}: {error}") from error
        if record.spec_sha256 != self._spec_sha256 or record.iteration != iteration:
            raise IncompatiblePool(f"{path}: belongs to another pool or iteration")
        return record

    def publish_merge(self, record: MergeRecord) -> bool:
        """Publish a merge, unless its champion's agent is missing or damaged: then the deposit
        that named it is set aside, so that its unit is done again.

        Returns:
            Whether there is a merge now, this one or an earlier one.

        Raises:
            IncompatiblePool: the agent of a champion that an earlier merge named is lost.
        """
        champion = record.champion
        if champion.iteration != record.iteration:
            self.champion(record)
        elif self._read_agent(champion.path, champion.sha256) is None:
            unit = Unit(champion.iteration, champion.kind, champion.index)
            self._set_aside(unit, "its agent is missing or damaged")
            return False
        store.publish(self._layout.iteration(record.iteration).merge, encode(record))
        return True

    def losers(self, merged: MergeRecord) -> list[str]:
        """The names of an iteration's agents that its merge did not name; never the agent that
        the pool was given."""
        layout = self._layout.iteration(merged.iteration)
        stay = {merged.champion.path}
        if self._initial_sha256:
            stay.add(self._layout.relative(self._given_path()))
        return [
            name
            for name in sorted(store.names_in(layout.folder))
            if layout.is_agent(name) and self._layout.relative(layout.folder / name) not in stay
        ]

    def remove_losers(self, merged: MergeRecord) -> None:
        """Remove the agents of an iteration that its merge did not name.

        Raises:
            StoreError: the file system refused.
        """
        folder = self._layout.relative(self._layout.iteration(merged.iteration).folder)
        plain.remove_files(self._layout.root, folder, self.losers(merged))

    # Agents

    def champion(self, merged: MergeRecord) -> bytes:
        """The file of a champion.

        Raises:
            IncompatiblePool: it is missing, or its hash is another.
        """
        data = self._read_agent(merged.champion.path, merged.champion.sha256)
        if data is None:
            path = self._layout.resolve(merged.champion.path)
            raise IncompatiblePool(f"{path}: the champion's agent is missing or damaged")
        return data

    def given_agent(self) -> bytes | None:
        """The file that the pool was made from; ``None`` where its seed draws the first agent.

        Raises:
            IncompatiblePool: it is missing, or its hash is another.
        """
        sha256 = self._initial_sha256
        if not sha256:
            return None
        path = self._given_path()
        data = self._read_agent(self._layout.relative(path), sha256)
        if data is None:
            raise IncompatiblePool(f"{path}: the agent to start from is missing or damaged")
        return data

    def _given_path(self) -> Path:
        return self._layout.iteration(0).agent(Unit(0, "initial", 0), self._initial_sha256)

    def _read_agent(self, relative: str, sha256: str) -> bytes | None:
        try:
            data = store.read_if_there(self._layout.resolve(relative), files.AGENT)
        except store.Strange:
            return None
        return data if data is not None and hashlib.sha256(data).hexdigest() == sha256 else None

    def _set_aside(self, unit: Unit, reason: str) -> None:
        path = self._layout.iteration(unit.iteration).record(unit)
        before = [n for n in store.names_in(path.parent) if n.startswith(f"{path.name}.corrupt-")]
        if len(before) >= MOST_SET_ASIDE:
            raise IncompatiblePool(
                f"{path}: {reason}, as {len(before)} times before; something damages this file"
            )
        aside = store.set_aside(path)
        log.warning("%s: %s; set aside as %s", path, reason, aside.name)
