"""The second stage of an iteration: candidates that are made of its branches, or an update on what
they have sampled.

Once all deposits of the first stage are there, or those missing are overdue, the worker that holds
the lease of the merge publishes which they are: the sources. From then on units of the second stage
are units like others, which any worker computes from the same branches.
"""

from __future__ import annotations

from collections.abc import Iterator

from poolrl.agent import Agent
from poolrl.errors import IncompatiblePool, UsageError
from poolrl.pool.merge_rules import listed_in
from poolrl.records.records import SourcesRecord, UnitRecord
from poolrl.records.work_units import KindName, Unit
from poolrl.rollouts.rollout_file import from_bytes
from poolrl.storage.deposits import DepositStore
from poolrl.worker.mean_merge import MissingAgent, read_branch
from poolrl.worker.unit_computation import Sources


def agrees(deposit_store: DepositStore, sources: SourcesRecord, record: UnitRecord) -> bool:
    """Whether a deposit is as the sources list it; sets them aside if it is not."""
    if listed_in(sources, record):
        return True
    reason = f"{record.unit.stem} is not what it lists"
    deposit_store.set_sources_aside(sources.iteration, reason)
    return False


class SourceReader:
    """Reads what units of the second stage are made of; agents once for all of an iteration."""

    def __init__(self, deposit_store: DepositStore) -> None:
        self._deposit_store = deposit_store
        self._known: tuple[str, Sources] | None = None

    def sha256(self, iteration: int) -> str:
        """SHA-256 of the sources of an iteration.

        Raises:
            MissingAgent: they are missing, or were damaged and set aside.
        """
        return self._sources(iteration)[1]

    def read(self, kind: KindName, iteration: int, champion: Agent) -> tuple[str, Sources]:
        """Return the SHA-256 of the sources of an iteration, and what they list.

        Args:
            kind: ``candidate`` or ``update``.
            iteration: its number.
            champion: that the branches started from.

        Raises:
            MissingAgent: sources, a deposit or its file are missing or damaged, or differ. What is
                wrong was set aside, or the iteration has been merged by another worker.
            IncompatiblePool: a rollout is none of the champion's.
        """
        sources, sha256 = self._sources(iteration)
        if kind == "update":
            # Not kept: they are large, and no other unit of the iteration needs them.
            rollouts = []
            for record in self._branches(sources):
                data = self._deposit_store.branch_rollout(record)
                if data is None:
                    raise MissingAgent(record.unit.stem)
                try:
                    rollouts.append(from_bytes(data, champion, record.unit.stem))
                except UsageError as error:
                    raise IncompatiblePool(f"iteration {iteration}: {error}") from error
            return sha256, Sources(rollouts=rollouts)
        if self._known is None or self._known[0] != sha256:
            agents = [read_branch(self._deposit_store, each) for each in self._branches(sources)]
            self._known = (sha256, Sources(agents))
        return self._known

    def _sources(self, iteration: int) -> tuple[SourcesRecord, str]:
        found = self._deposit_store.sources(iteration)
        if found is None:
            raise MissingAgent("sources")
        return found

    def _branches(self, sources: SourcesRecord) -> Iterator[UnitRecord]:
        """The records of the branches that are done, by ascending index."""
        for index in sources.done:
            unit = Unit(sources.iteration, "branch", index)
            record = self._deposit_store.deposit(unit, sources.parent_sha256)
            if record is None or not agrees(self._deposit_store, sources, record):
                raise MissingAgent(unit.stem)
            yield record
