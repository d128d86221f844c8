"""Adam over one flat vector of parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poolrl.agent import OPTIMIZER_PREFIX
from poolrl.parallel import in_threads

F32 = NDArray[np.float32]

BETA1, BETA2 = np.float32(0.9), np.float32(0.999)

EPSILON = 1e-5

_PIECE = 16_384
"""Parameters that are updated at a time, which then stay in the cache of a core."""


class Adam:
    """Adam (Kingma & Ba 2015, algorithm 1), by default with the ε = 1e-5 that Andrychowicz et al.
    (2021) advise.

    Args:
        parameters: flat vector, updated in place.
        gradient: flat vector of the same size; ``step`` reads and overwrites it.
        epsilon: added to the root of the running square.

    Attributes:
        mean, square: flat vectors, running averages of the gradient and of its square.
        steps: number of updates, for the bias correction.
    """

    def __init__(self, parameters: F32, gradient: F32, epsilon: float = EPSILON) -> None:
        self._parameters = parameters
        self._gradient = gradient
        self._epsilon = np.float32(epsilon)
        self.mean = np.zeros_like(parameters)
        self.square = np.zeros_like(parameters)
        self.steps = 0
        self._buffer = np.empty_like(parameters)

    def clip(self, max_norm: float, part: slice = slice(None)) -> None:
        """Clip the norm of a part of the gradient (Pascanu et al. 2013); 0 for no clipping."""
        gradient = self._gradient[part]
        norm = float(np.sqrt(np.dot(gradient, gradient)))
        if 0 < max_norm < norm:
            gradient *= np.float32(max_norm / (norm + 1e-6))

    def step(self, rates: list[tuple[slice, float]]) -> None:
        """Update the parameters.

        Args:
            rates: slices that make up the vector, with their learning rates.
        """
        self.steps += 1
        pieces = []
        for part, rate in rates:
            start, end, _ = part.indices(len(self._parameters))
            pieces += [(slice(k, min(k + _PIECE, end)), rate) for k in range(start, end, _PIECE)]
        in_threads(self._step, pieces)

    def _step(self, piece: tuple[slice, float]) -> None:
        part, rate = piece
        gradient, buffer, mean, square = (
            array[part] for array in (self._gradient, self._buffer, self.mean, self.square)
        )
        # m += (1 − β₁)(g − m),  v = β₂ v + (1 − β₂) g²
        np.subtract(gradient, mean, out=buffer)
        buffer *= 1 - BETA1
        mean += buffer
        np.square(gradient, out=gradient)
        gradient *= 1 - BETA2
        square *= BETA2
        square += gradient
        # The step is rate · m/(1 − β₁ᵗ) / (√(v/(1 − β₂ᵗ)) + ε).
        np.sqrt(square, out=buffer)
        buffer *= np.float32(1 / np.sqrt(1 - float(BETA2) ** self.steps))
        buffer += self._epsilon
        np.divide(mean, buffer, out=buffer)
        buffer *= np.float32(rate / (1 - float(BETA1) ** self.steps))
        self._parameters[part] -= buffer


def load_state(adam: Adam, arrays: Mapping[str, NDArray[Any]], slices: Mapping[str, slice]) -> None:
    """Load the moments from an agent's arrays; missing ones stay at zero.

    Args:
        adam: updated in place.
        arrays: of the agent.
        slices: of each named parameter in the flat vector.
    """
    for name, part in slices.items():
        prefix = f"{OPTIMIZER_PREFIX}{name}/"
        if f"{prefix}step" in arrays:
            adam.mean[part] = arrays[f"{prefix}exp_avg"].ravel()
            adam.square[part] = arrays[f"{prefix}exp_avg_sq"].ravel()
            adam.steps = int(arrays[f"{prefix}step"])


def state_arrays(
    adam: Adam, slices: Mapping[str, slice], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, NDArray[Any]]:
    """Copies of the moments, under the names of ``torch.optim.Adam``.

    Args:
        adam: to save.
        slices: of each named parameter in the flat vector.
        shapes: of each named parameter.
    """
    arrays: dict[str, NDArray[Any]] = {}
    for name, part in slices.items():
        prefix = f"{OPTIMIZER_PREFIX}{name}/"
        arrays[f"{prefix}exp_avg"] = adam.mean[part].reshape(shapes[name]).copy()
        arrays[f"{prefix}exp_avg_sq"] = adam.square[part].reshape(shapes[name]).copy()
        arrays[f"{prefix}step"] = np.array(adam.steps, np.float32)
    return arrays
