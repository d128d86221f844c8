"""One step of recurrent layers in NumPy, for acting; they learn in torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poolrl.networks.base import State

F32 = NDArray[np.float32]

HALF = np.float32(0.5)

NUM_STATES = {"rnn": 1, "gru": 1, "lstm": 2}
"""Arrays of shape (n, memory) that a cell carries."""


class Cell:
    """A recurrent layer over shared arrays, which are not copied.

    Args:
        arrays: contain ``NAME.weight_ih_l0``, ``NAME.weight_hh_l0``, ``NAME.bias_ih_l0`` and
            ``NAME.bias_hh_l0``, as in ``torch.nn.RNN``, ``GRU`` and ``LSTM``.
        name: of the layer in ``arrays``.
        kind: ``rnn``, ``gru`` or ``lstm``.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]], name: str, kind: str) -> None:
        self._inputs: F32 = arrays[f"{name}.weight_ih_l0"].T
        self._memory: F32 = arrays[f"{name}.weight_hh_l0"].T
        self._biases: tuple[F32, F32] = (
            arrays[f"{name}.bias_ih_l0"],
            arrays[f"{name}.bias_hh_l0"],
        )
        self._size = len(self._memory)
        steps: dict[str, Callable[..., State]] = {
            "rnn": self._rnn,
            "gru": self._gru,
            "lstm": self._lstm,
        }
        self._step = steps[kind]

    def __call__(self, x: F32, state: State) -> tuple[F32, State]:
        """One step: (n, inputs) -> (n, memory), and the state after it."""
        new = self._step(x, *state)
        return new[0], new

    def _rnn(self, x: F32, h: F32) -> State:
        y = x @ self._inputs
        y += h @ self._memory
        y += self._biases[0]
        y += self._biases[1]
        np.tanh(y, out=y)
        return (y,)

    def _gru(self, x: F32, h: F32) -> State:
        size = self._size
        own = x @ self._inputs
        own += self._biases[0]
        old = h @ self._memory
        old += self._biases[1]
        gates = own[:, : 2 * size] + old[:, : 2 * size]
        _sigmoid(gates)
        new = gates[:, :size] * old[:, 2 * size :]
        new += own[:, 2 * size :]
        np.tanh(new, out=new)
        # h' = (1 − z) n + z h
        y: F32 = h - new
        y *= gates[:, size:]
        y += new
        return (y,)

    def _lstm(self, x: F32, h: F32, c: F32) -> State:
        size = self._size
        gates = x @ self._inputs
        gates += h @ self._memory
        gates += self._biases[0]
        gates += self._biases[1]
        # σ(x) = tanh(x/2)/2 + 1/2, so that one call serves all four gates.
        gates[:, : 2 * size] *= HALF
        gates[:, 3 * size :] *= HALF
        np.tanh(gates, out=gates)
        gates[:, : 2 * size] *= HALF
        gates[:, : 2 * size] += HALF
        gates[:, 3 * size :] *= HALF
        gates[:, 3 * size :] += HALF
        new_c = gates[:, size : 2 * size] * c
        new_c += gates[:, :size] * gates[:, 2 * size : 3 * size]
        y: F32 = np.tanh(new_c)
        y *= gates[:, 3 * size :]
        return y, new_c


def _sigmoid(x: F32) -> None:
    x *= HALF
    np.tanh(x, out=x)
    x *= HALF
    x += HALF
