"""The windows of a shared replay for units that are computed again, whose files may be gone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping

from poolrl.agent import Agent
from poolrl.errors import IncompatiblePool
from poolrl.records.records import MergeRecord, ReplayChunk
from poolrl.records.work_units import Unit
from poolrl.rollouts.replay_chunk import Chunk, to_bytes
from poolrl.storage.deposits import DepositStore
from poolrl.worker.replay_window import parsed

Sample = Callable[[Unit, MergeRecord], Chunk]
"""Computes a branch again that starts from a merge, and returns its transitions."""


class RecomputedWindows:
    """Chunks from their files, or of branches that are computed again, and those that these need.

    Args:
        deposit_store: files of the pool.
        merges: of the pool, by iteration.
        sample: may ask for the windows of earlier iterations.
    """

    def __init__(
        self, deposit_store: DepositStore, merges: Mapping[int, MergeRecord], sample: Sample
    ) -> None:
        self._deposit_store, self._merges, self._sample = deposit_store, merges, sample
        self._chunks: dict[str, Chunk] = {}
        self._sampled: dict[Unit, str] = {}

    def of(self, start: MergeRecord, champion: Agent) -> list[Chunk]:
        """The chunks that a merge lists, in its order.

        Args:
            start: the merge.
            champion: says the sizes of observations and actions.

        Raises:
            IncompatiblePool: one can neither be read nor be computed again.
        """
        self._restore(start, champion)
        return [self._chunks[chunk.sha256] for chunk in start.window]

    def remember(self, unit: Unit, transitions: Chunk, start: MergeRecord) -> None:
        """Keep what a branch has sampled for the branches of later iterations; and of earlier ones
        what is still in the window.

        Args:
            unit: the branch.
            transitions: what it has sampled.
            start: the merge that it starts from.
        """
        window = {chunk.sha256 for chunk in start.window}
        self._sampled = {
            known: sha256
            for known, sha256 in self._sampled.items()
            if known.iteration == unit.iteration or sha256 in window
        }
        sha256 = hashlib.sha256(to_bytes(transitions)).hexdigest()
        self._sampled[unit], self._chunks[sha256] = sha256, transitions
        self._keep({*self._sampled.values(), *window})

    def _is_there(self, chunk: ReplayChunk, champion: Agent) -> bool:
        if chunk.sha256 in self._chunks:
            return True
        data = self._deposit_store.chunk(chunk)
        if data is not None:
            self._chunks[chunk.sha256] = parsed(chunk, data, champion)
        return data is not None

    def _restore(self, start: MergeRecord, champion: Agent) -> None:
        """Read a window; of what is lost, compute branches again in the order of their
        iterations."""
        lost: dict[Unit, ReplayChunk] = {}
        starts = [start]
        while starts:
            for chunk in starts.pop().window:
                unit = Unit(chunk.iteration, "branch", chunk.index)
                if unit in lost or self._is_there(chunk, champion):
                    continue
                before = self._merges.get(chunk.iteration - 1)
                if before is None:
                    parsed(chunk, None, champion)  # which says so
                    continue
                lost[unit] = chunk
                starts.append(before)
        order = sorted(lost, key=lambda unit: (unit.iteration, unit.index))
        for place, unit in enumerate(order):
            chunk = lost[unit]
            transitions = self._sample(unit, self._merges[unit.iteration - 1])
            if hashlib.sha256(to_bytes(transitions)).hexdigest() != chunk.sha256:
                raise IncompatiblePool(f"{chunk.path}: removed, and another one is computed here")
            self._chunks[chunk.sha256] = transitions
            following = [self._merges[later.iteration - 1] for later in order[place + 1 :]]
            self._keep({each.sha256 for merged in (start, *following) for each in merged.window})

    def _keep(self, needed: Iterable[str]) -> None:
        self._chunks = {name: self._chunks[name] for name in needed if name in self._chunks}
