"""Reading of files that ``record_activations`` has written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poolrl.activations.recording import RUNNING
from poolrl.errors import UsageError
from poolrl.hdf5 import ReadFile, damage_named, dataset

F64 = NDArray[np.float64]

LATENTS = tuple(f"activations/encoder/bottleneck/{name}" for name in ("latent", "signal"))
"""Where latent variables are; those of deterministic actions have no noise."""


class ActivationsFile(ReadFile):
    """A file of activations; a context manager.

    Args:
        path: of the file.

    Attributes:
        path: of the file.
        labels: of the clips.
        bodies: names of the tracked bodies.
        played: (steps, clips): the steps up to the first end of each clip, and that one.

    Raises:
        UsageError: the file is none of activations, or damaged; one line that names file and field.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        try:
            status = self._array("status", 2)
            with damage_named(path, "clip_labels"):
                self.labels = [str(label) for label in self._file["clip_labels"].asstr()[:]]
            with damage_named(path, "attribute tracked_bodies"):
                self.bodies = [str(name) for name in self._file.attrs["tracked_bodies"]]
            if len(self.labels) != status.shape[1] or not status.size:
                raise UsageError(
                    f"{path}: status: {status.shape[1]} clips of {len(status)} steps, but "
                    f"{len(self.labels)} clip_labels"
                )
            before = np.vstack((np.full(status.shape[1], RUNNING), status[:-1]))
            self.played: NDArray[np.bool_] = (before == RUNNING) & (status >= RUNNING)
        except BaseException:
            self.close()
            raise

    def body_errors(self) -> F64:
        """Return the mean distances of the tracked bodies from where the clips have them, over the
        steps that ``played`` says, in m, (clips, bodies).

        Raises:
            UsageError: the file lacks them, or cannot be read.
        """
        if not self.bodies:
            raise UsageError(f"{self.path}: the task has no tracked bodies")
        sums = [
            np.where(self.played, self._of_steps(f"infos/global_error_{name}"), 0.0).sum(axis=0)
            for name in self.bodies
        ]
        means: F64 = np.stack(sums, axis=1) / self.played.sum(axis=0)[:, None]
        return means

    def latents(self) -> tuple[F64, NDArray[np.intp]]:
        """Return the latent variables of the steps that ``played`` says, (n, latents), and the
        numbers of their clips, (n,).

        Raises:
            UsageError: the file has none, or cannot be read.
        """
        name = next((name for name in LATENTS if name in self._file), LATENTS[0])
        values = self._of_steps(name, dimensions=3)
        return values[self.played], np.nonzero(self.played)[1]

    def _of_steps(self, name: str, dimensions: int = 2) -> F64:
        values = self._array(name, dimensions)
        if values.shape[:2] != self.played.shape:
            raise UsageError(f"{self.path}: {name}: its steps and clips are not those of status")
        return values.astype(np.float64)

    def _array(self, name: str, dimensions: int) -> NDArray[Any]:
        found = dataset(self.path, self._file, name)
        with damage_named(self.path, name):
            array: NDArray[Any] = found[()]
        if array.ndim != dimensions:
            raise UsageError(f"{self.path}: {name}: expected {dimensions} dimensions")
        return array
