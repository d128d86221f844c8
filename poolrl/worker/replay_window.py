"""The chunks of a shared replay that a branch learns from, mapped into memory."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from poolrl.agent import Agent
from poolrl.errors import IncompatiblePool, UsageError
from poolrl.records.records import MergeRecord, ReplayChunk
from poolrl.rollouts.replay_chunk import Chunk, from_buffer
from poolrl.storage.deposits import DepositStore


class WindowReader:
    """Reads the window of a merge. A chunk's hash is checked once, and the chunk kept while it is
    in the window.

    Args:
        deposit_store: files of the pool.
        root: of the pool.
    """

    def __init__(self, deposit_store: DepositStore, root: Path) -> None:
        self._deposit_store, self._root = deposit_store, root
        self._known: dict[str, Chunk] = {}

    def read(self, merged: MergeRecord, champion: Agent) -> list[Chunk]:
        """The chunks that a merge lists, in its order.

        Args:
            merged: the merge.
            champion: says the sizes of observations and actions.

        Raises:
            IncompatiblePool: a chunk is missing or damaged.
        """
        self._known = {
            chunk.sha256: self._known.get(chunk.sha256) or self._chunk(chunk, champion)
            for chunk in merged.window
        }
        return [self._known[chunk.sha256] for chunk in merged.window]

    def _chunk(self, chunk: ReplayChunk, champion: Agent) -> Chunk:
        data: Any = self._deposit_store.chunk(chunk)
        if data is not None:
            with suppress(OSError):  # of a pool that is in memory
                # Its pages can be dropped, which a copy's cannot.
                data = np.memmap(self._root / chunk.path, np.uint8, "r")
        return parsed(chunk, data, champion)


def parsed(chunk: ReplayChunk, data: Any, champion: Agent) -> Chunk:
    """The transitions of a chunk.

    Args:
        chunk: as a merge lists it.
        data: content of its file, with its hash; ``None`` if there is none.
        champion: says the sizes of observations and actions.

    Raises:
        IncompatiblePool: there is none, or it is another task's.
    """
    if data is None:
        raise IncompatiblePool(f"{chunk.path}: missing or damaged, and in the window of the replay")
    metadata = champion.metadata
    (size,), (actions,) = metadata.observation_space.shape, metadata.action_space.shape
    try:
        return from_buffer(data, size, actions, chunk.path)
    except UsageError as error:
        raise IncompatiblePool(str(error)) from error
