"""Parameters of networks as one flat vector, with their gradient and optimiser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poolrl.algorithms.optimizer import EPSILON, Adam, load_state, state_arrays

F32 = NDArray[np.float32]


class ParameterGroup:
    """Parameters with an optimiser of their own.

    Args:
        arrays: of an agent, with the optimiser's moments, if there are some.
        names: of the parameters, in the order of the vector.
        vector: takes their values; the caller keeps it.
        epsilon: of the optimiser.

    Attributes:
        slices: of each parameter in the vector, by name.
        derivatives: of the loss by the parameters, a vector like that of their values.
        arrays, gradient: by name, views of the vector and of the derivatives.
        optimizer: updates the vector.
    """

    def __init__(
        self,
        arrays: Mapping[str, NDArray[Any]],
        names: Sequence[str],
        vector: F32,
        epsilon: float = EPSILON,
    ) -> None:
        self.slices: dict[str, slice] = {}
        self._shapes = {name: arrays[name].shape for name in names}
        start = 0
        for name in names:
            self.slices[name] = slice(start, start + arrays[name].size)
            start += arrays[name].size
        self.derivatives = np.zeros_like(vector)
        self.arrays, self.gradient = self._views(vector), self._views(self.derivatives)
        for name in names:
            self.arrays[name][...] = arrays[name]
        self.optimizer = Adam(vector, self.derivatives, epsilon)
        load_state(self.optimizer, arrays, self.slices)

    def step(self, rate: float, max_norm: float) -> None:
        """Clip the gradient to a norm, 0 for no clipping, and take a step."""
        self.optimizer.clip(max_norm)
        self.optimizer.step([(slice(None), rate)])

    def optimizer_arrays(self) -> dict[str, NDArray[Any]]:
        """Copies of the optimiser's moments, by the names that agents have for them."""
        return state_arrays(self.optimizer, self.slices, self._shapes)

    def _views(self, vector: F32) -> dict[str, NDArray[Any]]:
        return {name: vector[s].reshape(self._shapes[name]) for name, s in self.slices.items()}
