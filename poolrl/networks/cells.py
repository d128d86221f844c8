"""One step of k recurrent layers of one width in NumPy, for acting.

Shapes: k layers, n rows, memory h, g gates. What stays from step to step is computed once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]

HALF = np.float32(0.5)

GATES = {"rnn": 1, "gru": 3, "lstm": 4}
"""Blocks of rows in the weights of a recurrent layer, in torch's order."""

GATE_ORDER = {"rnn": (0,), "gru": (0, 1, 2), "lstm": (3, 0, 1, 2)}
"""The block of each gate, in the order of the arithmetic: of a GRU r, z, n, of an LSTM o, i, f, g,
so that the sigmoids are side by side, and the gates that an LSTM's cell reaches."""

NUM_STATES = {"rnn": 1, "gru": 1, "lstm": 2}
"""Arrays that a layer carries: its output, and an LSTM's cell."""


_BLOCK = 16
"""Columns that ``contiguous`` copies at a time: a line of a core's cache, in float32."""


def contiguous(array: F32) -> F32:
    """A copy in C order. That of transposed matrices goes block by block, which for a thousand rows
    takes a fifth of the time."""
    if array.ndim < 2 or array.strides[-1] <= array.strides[-2]:
        return array.copy()
    copy = np.empty(array.shape, array.dtype)
    for start in range(0, array.shape[-1], _BLOCK):
        block = slice(start, start + _BLOCK)
        copy[..., block] = array[..., block]
    return copy


def by_gate(blocks: F32, order: Sequence[int]) -> F32:
    """(…, g·h), blocks in torch's order -> (g, …, h), gates in another order, as a new array, with
    the strides of the old one."""
    split = blocks.reshape(*blocks.shape[:-1], len(order), -1)
    return np.moveaxis(split[..., list(order), :], -2, 0)


class Cells(ABC):
    """k recurrent layers with the weights at the time of construction.

    Args:
        inputs: of each layer, (g·h, inputs), as in ``torch.nn.RNN``, ``GRU`` and ``LSTM``.
        memory: (k, g·h, h).
        input_bias, memory_bias: (k, g·h).

    Attributes:
        order: the value of ``GATE_ORDER``. Gates are the outer axis, so that each is one piece of
            memory.
        sigmoids: number of the first gates that are σ(x) = tanh(x/2)/2 + 1/2: their weights are
            halved here, so that one call of tanh serves all gates.
    """

    order: ClassVar[tuple[int, ...]]
    sigmoids: ClassVar[int]

    def __init__(
        self, inputs: Sequence[F32], memory: F32, input_bias: F32, memory_bias: F32
    ) -> None:
        self._inputs = [self._halved(weight.T) for weight in inputs]
        self._memory = self._halved(memory.swapaxes(-1, -2))
        self._input_bias = self._halved(input_bias)[:, :, None]
        self._memory_bias = self._halved(memory_bias)[:, :, None]
        self._bias = self._input_bias + self._memory_bias

    def _halved(self, blocks: F32) -> F32:
        """(…, g·h) -> (g, …, h), the sigmoids' halved."""
        gates = contiguous(by_gate(blocks, self.order))
        gates[: self.sigmoids] *= HALF
        return gates

    def __call__(self, xs: Sequence[F32], state: tuple[F32, ...]) -> tuple[F32, tuple[F32, ...]]:
        """One step.

        Args:
            xs: (n, inputs) of each layer.
            state: arrays of shape (n, k, h).

        Returns:
            The outputs (k, n, h), and the state after the step.
        """
        gates = np.empty((len(self.order), len(xs), len(xs[0]), self._memory.shape[-1]), np.float32)
        for k, (x, weights) in enumerate(zip(xs, self._inputs, strict=True)):
            np.matmul(x, weights, out=gates[:, k])
        new = self._step(gates, *(part.transpose(1, 0, 2) for part in state))
        return new[0], tuple(part.transpose(1, 0, 2) for part in new)

    @abstractmethod
    def _step(self, gates: F32, *state: F32) -> tuple[F32, ...]:
        """One step from the projections of the inputs, (g, k, n, h), which may be overwritten, and
        the state, arrays of shape (k, n, h)."""


class RNNCells(Cells):
    """h' = tanh(W x + b + U h + c)."""

    order = GATE_ORDER["rnn"]
    sigmoids = 0

    def _step(self, gates: F32, *state: F32) -> tuple[F32, ...]:
        gates += state[0] @ self._memory
        gates += self._bias
        return (np.tanh(gates[0]),)


class GRUCells(Cells):
    """h' = (1 − z) n + z h with n = tanh(W x + b + r (U h + c))."""

    order = GATE_ORDER["gru"]
    sigmoids = 2

    def _step(self, gates: F32, *state: F32) -> tuple[F32, ...]:
        (h,) = state
        memory = h @ self._memory
        memory += self._memory_bias
        gates += self._input_bias
        sigmoids, new = gates[:2], gates[2]
        sigmoids += memory[:2]
        np.tanh(sigmoids, out=sigmoids)
        sigmoids *= HALF
        sigmoids += HALF
        memory[2] *= gates[0]
        new += memory[2]
        np.tanh(new, out=new)
        y: F32 = h - new
        y *= gates[1]
        y += new
        return (y,)


class LSTMCells(Cells):
    """Gates i, f, g, o; c' = f c + i g; h' = o tanh(c')."""

    order = GATE_ORDER["lstm"]
    sigmoids = 3

    def _step(self, gates: F32, *state: F32) -> tuple[F32, ...]:
        h, c = state
        gates += h @ self._memory
        gates += self._bias
        np.tanh(gates, out=gates)
        sigmoids = gates[:3]
        sigmoids *= HALF
        sigmoids += HALF
        new: F32 = gates[2] * c
        new += gates[1] * gates[3]
        y: F32 = np.tanh(new)
        y *= gates[0]
        return y, new


CELLS: dict[str, type[Cells]] = {"rnn": RNNCells, "gru": GRUCells, "lstm": LSTMCells}
