"""Writing of steps of many clips into an HDF5 file, some at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from poolrl.errors import UsageError

BLOCK_STEPS = 32
"""Control steps that are in memory at a time, and in a chunk of the file."""

PADDING = -1
"""Of integers, where a clip has no such step; floating-point numbers are NaN there."""


class StepWriter:
    """Writes values of steps as datasets (steps, clips, …), which it makes as they come.

    Args:
        file: the new file.
        steps: of the longest clip.
        clips: their number.
        simulations: number of clips that are played side by side.
    """

    def __init__(self, file: h5py.File, steps: int, clips: int, simulations: int) -> None:
        self._file = file
        self._steps, self._clips, self._simulations = steps, clips, simulations
        self._blocks: dict[str, tuple[h5py.Dataset, NDArray[Any]]] = {}
        self._start = self._first = 0

    def start(self, first: int) -> None:
        """Begin with clips that are played side by side.

        Args:
            first: number of the first of them.
        """
        self._start, self._first = 0, first

    def add(self, step: int, rows: NDArray[np.intp], values: Mapping[str, NDArray[Any]]) -> None:
        """Add values of a step; steps are added in order, from 0.

        Args:
            step: its number.
            rows: (m,): simulations that have it.
            values: (simulations, …) by the name of the dataset; those that begin with ``states/``
                are before the step, and so the last of them come one step after all others.

        Raises:
            UsageError: a name is the folder of another one.
        """
        for name, array in values.items():
            if name not in self._blocks:
                self._require_place(name)
                self._blocks[name] = self._make(name, array)
            _, block = self._blocks[name]
            block[step - self._start, rows] = array[rows]

    def is_full(self, step: int) -> bool:
        """Whether ``flush`` must be called after this step."""
        return step + 1 - self._start == BLOCK_STEPS

    def flush(self) -> None:
        """Write what was added."""
        clips = slice(self._first, min(self._first + self._simulations, self._clips))
        for dataset, block in self._blocks.values():
            steps = slice(self._start, min(self._start + BLOCK_STEPS, len(dataset)))
            count, width = steps.stop - steps.start, clips.stop - clips.start
            if count > 0:
                dataset[steps, clips] = block[:count, :width]
            block[...] = dataset.fillvalue
        self._start += BLOCK_STEPS

    def _require_place(self, name: str) -> None:
        """Check that HDF5 can have a name, of which all up to a slash is a folder."""
        own = f"{name.rstrip('/')}/"
        for other in self._blocks:
            theirs = f"{other.rstrip('/')}/"
            if theirs.startswith(own) or own.startswith(theirs):
                raise UsageError(
                    f"{name}: {other} is recorded too, and HDF5 cannot have both; name other "
                    "bodies or sensors"
                )

    def _make(self, name: str, array: NDArray[Any]) -> tuple[h5py.Dataset, NDArray[Any]]:
        """Make a dataset, and its block."""
        size, fill = array.shape[1:], np.nan if array.dtype.kind == "f" else PADDING
        steps = self._steps + name.startswith("states/")
        dataset = self._file.create_dataset(
            name,
            shape=(steps, self._clips, *size),
            dtype=array.dtype,
            chunks=(min(BLOCK_STEPS, steps), 1, *size) if all(size) else None,
            fillvalue=fill,
        )
        return dataset, np.full((BLOCK_STEPS, self._simulations, *size), fill, array.dtype)
