"""One step of k recurrent layers of one width in NumPy, for acting.

Shapes: k layers, n rows, memory h, g gates. What stays from step to step is computed once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]

HALF = np.float32(0.5)

GATES = {"rnn": 1, "gru": 3, "lstm": 4}
"""Blocks of rows in the weights of a recurrent layer, in torch's order."""

NUM_STATES = {"rnn": 1, "gru": 1, "lstm": 2}
"""Arrays that a layer carries: its output, and an LSTM's cell."""


class Cells(ABC):
    """k recurrent layers with the weights at the time of construction.

    Args:
        inputs: of each layer, (g·h, inputs), as in ``torch.nn.RNN``, ``GRU`` and ``LSTM``.
        memory: (k, g·h, h).
        input_bias, memory_bias: (k, g·h).
        sigmoids: of the gates, slices in units of h, that are σ(x) = tanh(x/2)/2 + 1/2: their
            weights are halved here, so that one call of tanh serves all gates.
    """

    def __init__(
        self,
        inputs: Sequence[F32],
        memory: F32,
        input_bias: F32,
        memory_bias: F32,
        sigmoids: Sequence[slice] = (),
    ) -> None:
        self._size = memory.shape[2]
        self._scale = np.ones(memory.shape[1], np.float32)
        for part in sigmoids:
            self._scale[part.start * self._size : part.stop * self._size] = HALF
        self._shift = np.where(self._scale == 1, np.float32(0), HALF)
        self._inputs = [weight.T * self._scale for weight in inputs]
        self._memory = memory.transpose(0, 2, 1) * self._scale
        self._input_bias = (input_bias * self._scale)[:, None]
        self._memory_bias = (memory_bias * self._scale)[:, None]

    def __call__(self, xs: Sequence[F32], state: tuple[F32, ...]) -> tuple[F32, tuple[F32, ...]]:
        """One step.

        Args:
            xs: (n, inputs) of each layer.
            state: arrays of shape (n, k, h).

        Returns:
            The outputs (k, n, h), and the state after the step.
        """
        gates = np.empty((len(xs), len(xs[0]), self._memory.shape[2]), np.float32)
        for k, (x, weights) in enumerate(zip(xs, self._inputs, strict=True)):
            np.matmul(x, weights, out=gates[k])
        new = self._step(gates, *(part.transpose(1, 0, 2) for part in state))
        return new[0], tuple(part.transpose(1, 0, 2) for part in new)

    @abstractmethod
    def _step(self, gates: F32, *state: F32) -> tuple[F32, ...]:
        """One step from the projections of the inputs, (k, n, g·h), which may be overwritten, and
        the state, arrays of shape (k, n, h)."""


class RNNCells(Cells):
    """h' = tanh(W x + b + U h + c)."""

    def _step(self, gates: F32, *state: F32) -> tuple[F32, ...]:
        gates += state[0] @ self._memory
        gates += self._input_bias + self._memory_bias
        return (np.tanh(gates, out=gates),)


class GRUCells(Cells):
    """h' = (1 − z) n + z h with n = tanh(W x + b + r (U h + c))."""

    def _step(self, gates: F32, *state: F32) -> tuple[F32, ...]:
        size, (h,) = self._size, state
        memory = h @ self._memory
        memory += self._memory_bias
        gates += self._input_bias
        sigmoids, new = gates[..., : 2 * size], gates[..., 2 * size :]
        sigmoids += memory[..., : 2 * size]
        np.tanh(sigmoids, out=sigmoids)
        sigmoids *= HALF
        sigmoids += HALF
        memory[..., 2 * size :] *= gates[..., :size]
        new += memory[..., 2 * size :]
        np.tanh(new, out=new)
        y: F32 = h - new
        y *= gates[..., size : 2 * size]
        y += new
        return (y,)


class LSTMCells(Cells):
    """Gates i, f, g, o; c' = f c + i g; h' = o tanh(c')."""

    def _step(self, gates: F32, *state: F32) -> tuple[F32, ...]:
        size, (h, c) = self._size, state
        gates += h @ self._memory
        gates += self._input_bias + self._memory_bias
        np.tanh(gates, out=gates)
        gates *= self._scale
        gates += self._shift
        new = gates[..., size : 2 * size] * c
        new += gates[..., :size] * gates[..., 2 * size : 3 * size]
        y: F32 = np.tanh(new)
        y *= gates[..., 3 * size :]
        return y, new


CELLS: dict[str, type[Cells]] = {"rnn": RNNCells, "gru": GRUCells, "lstm": LSTMCells}
SIGMOIDS: dict[str, list[slice]] = {
    "rnn": [],
    "gru": [slice(0, 2)],
    "lstm": [slice(0, 2), slice(3, 4)],
}
"""Gates that are sigmoids, in units of the memory's width."""
