"""The second stage of an iteration: candidates that are made of its branches.

Once all deposits of the first stage are there, or those missing are overdue, the worker that holds
the lease of the merge publishes which they are: the sources. From then on candidates are units like
others, which any worker makes of the same branches.
"""

from __future__ import annotations

from poolrl.agent import Agent
from poolrl.pool.merge_rules import listed_in
from poolrl.records.records import SourcesRecord, UnitRecord
from poolrl.records.work_units import Unit
from poolrl.storage.deposits import DepositStore
from poolrl.worker.mean_merge import MissingAgent, read_branch


def agrees(deposit_store: DepositStore, sources: SourcesRecord, record: UnitRecord) -> bool:
    """Whether a deposit is as the sources list it; sets them aside if it is not."""
    if listed_in(sources, record):
        return True
    reason = f"{record.unit.stem} is not what it lists"
    deposit_store.set_sources_aside(sources.iteration, reason)
    return False


class SourceAgents:
    """Reads the agents that the candidates of an iteration are made of, once for all of them."""

    def __init__(self, deposit_store: DepositStore) -> None:
        self._deposit_store = deposit_store
        self._known: tuple[str, list[Agent]] | None = None

    def read(self, iteration: int) -> tuple[str, list[Agent]]:
        """Return the SHA-256 of the sources of an iteration, and their agents by ascending index.

        Raises:
            MissingAgent: sources, a deposit or an agent are missing or damaged, or differ. What is
                wrong was set aside, or the iteration has been merged by another worker.
        """
        found = self._deposit_store.sources(iteration)
        if found is None:
            raise MissingAgent("sources")
        sources, sha256 = found
        if self._known is None or self._known[0] != sha256:
            agents = [self._agent(sources, index) for index in sources.done]
            self._known = (sha256, agents)
        return self._known

    def _agent(self, sources: SourcesRecord, index: int) -> Agent:
        unit = Unit(sources.iteration, "branch", index)
        record = self._deposit_store.deposit(unit, sources.parent_sha256)
        if record is None or not agrees(self._deposit_store, sources, record):
            raise MissingAgent(unit.stem)
        return read_branch(self._deposit_store, record)
