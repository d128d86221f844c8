"""Recurrent layers over shared arrays: single steps, and batches of sequences with derivatives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poolrl.networks.cells import CELLS, GATE_ORDER, NUM_STATES, Cells, by_gate
from poolrl.networks.recurrence import GRU, LSTM, RNN, Recurrence, Workspace

F32 = NDArray[np.float32]

PLAIN: dict[str, type[RNN] | type[LSTM]] = {"rnn": RNN, "lstm": LSTM}


class RecurrentLayer:
    """k recurrent layers of one width, each of inputs of its own.

    Args:
        arrays: contain ``NAME.weight_ih_l0`` (g·h, inputs), ``NAME.weight_hh_l0`` (g·h, h),
            ``NAME.bias_ih_l0`` and ``NAME.bias_hh_l0`` (g·h,), as in ``torch.nn.LSTM``; not copied.
        names: of the k layers in ``arrays``.
        cell: a key of ``poolrl.networks.cells.CELLS``.

    Attributes:
        size: width h.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]], names: Sequence[str], cell: str) -> None:
        self._arrays, self._names, self._cell = arrays, names, cell
        self._order = GATE_ORDER[cell]
        self.size = int(arrays[f"{names[0]}.weight_hh_l0"].shape[1])
        self._cells: dict[int, Cells] = {}
        self._workspace = Workspace()
        self._rows: list[F32] = []
        self._steps: Steps
        self._recurrence: Recurrence

    def changed(self) -> None:
        """Called when the arrays have changed."""
        self._cells.clear()

    def initial_state(self, n: int) -> tuple[F32, ...]:
        """The memory at the start of n episodes, arrays of shape (n, k, h)."""
        shape = n, len(self._names), self.size
        return tuple(np.zeros(shape, np.float32) for _ in range(NUM_STATES[self._cell]))

    def step(self, xs: Sequence[F32], state: tuple[F32, ...]) -> tuple[F32, tuple[F32, ...]]:
        """One step of the first layers, as many as there are inputs.

        Args:
            xs: (n, inputs) of each of them.
            state: their memory, arrays of shape (n, len(xs), h).

        Returns:
            The outputs (len(xs), n, h), and the memory after the step.
        """
        count = len(xs)
        if count not in self._cells:
            self._cells[count] = CELLS[self._cell](
                [self._array(k, "weight_ih_l0") for k in range(count)],
                self._stacked("weight_hh_l0")[:count],
                self._stacked("bias_ih_l0")[:count],
                self._stacked("bias_hh_l0")[:count],
            )
        return self._cells[count](xs, state)

    def forward(self, rows: list[F32], steps: Steps, state: tuple[F32, ...]) -> list[F32]:
        """Outputs of sequences, kept for ``backward``.

        Args:
            rows: (m, inputs) of each layer.
            steps: the sequences that the rows are of.
            state: the memory before each sequence, arrays of shape (sequences, k, h).

        Returns:
            (m, h) of each layer.
        """
        self._rows, self._steps = rows, steps
        gates = self._padded("gates", steps.shape(len(self._order), len(rows), size=self.size))
        for k, x in enumerate(rows):
            projection = x @ self._array(k, "weight_ih_l0").T
            projection += self._array(k, "bias_ih_l0")
            if self._cell != "gru":
                projection += self._array(k, "bias_hh_l0")
            steps.put_gates(projection, gates, k, self._order)
        before = tuple(part.transpose(1, 0, 2) for part in state)
        weights = by_gate(self._stacked("weight_hh_l0").swapaxes(-1, -2), self._order)
        if self._cell == "gru":
            biases = by_gate(self._stacked("bias_hh_l0"), self._order)[:, :, None]
            self._recurrence = GRU(gates, weights, before, self._workspace, biases)
        else:
            self._recurrence = PLAIN[self._cell](gates, weights, before, self._workspace)
        return [steps.get(self._recurrence.outputs, k) for k in range(len(rows))]

    def backward(
        self,
        by_outputs: Sequence[F32 | None],
        gradient: Mapping[str, F32],
        *,
        to_inputs: Sequence[bool],
    ) -> list[F32 | None]:
        """Back-propagate through time, after ``forward``.

        Args:
            by_outputs: of each layer (m, h), derivative of the loss; ``None`` for zeros.
            gradient: arrays that receive the derivatives by the parameters.
            to_inputs: of each layer, whether to return the derivative by its inputs.

        Returns:
            (m, inputs) of each layer, or ``None``.
        """
        steps = self._steps
        shape = steps.shape(len(self._names), size=self.size)
        padded = self._workspace.zeros("by_outputs", shape)
        for k, by_rows in enumerate(by_outputs):
            if by_rows is not None:
                steps.put(by_rows, padded, k)
        by_gates = self._recurrence.backward(padded)
        by_rows_of = []
        for k, (x, wanted) in enumerate(zip(self._rows, to_inputs, strict=True)):
            by_inputs = steps.get_gates(by_gates.by_inputs, k, self._order)
            by_memory = by_inputs
            if by_gates.by_memory is not by_gates.by_inputs:
                by_memory = steps.get_gates(by_gates.by_memory, k, self._order)
            ones = np.ones(len(x), np.float32)
            before = steps.get(self._recurrence.before, k)
            np.matmul(by_inputs.T, x, out=gradient[self._name(k, "weight_ih_l0")])
            np.matmul(by_memory.T, before, out=gradient[self._name(k, "weight_hh_l0")])
            np.matmul(ones, by_inputs, out=gradient[self._name(k, "bias_ih_l0")])
            np.matmul(ones, by_memory, out=gradient[self._name(k, "bias_hh_l0")])
            by_rows_of.append(by_inputs @ self._array(k, "weight_ih_l0") if wanted else None)
        return by_rows_of

    def _name(self, k: int, name: str) -> str:
        return f"{self._names[k]}.{name}"

    def _array(self, k: int, name: str) -> F32:
        array: F32 = self._arrays[self._name(k, name)]
        return array

    def _stacked(self, name: str) -> F32:
        if len(self._names) == 1:
            return self._array(0, name)[None]
        return np.stack([self._array(k, name) for k in range(len(self._names))])

    def _padded(self, name: str, shape: tuple[int, ...]) -> F32:
        """An array for all steps, with zeros if there are some that no row reaches."""
        if self._steps.is_padded:
            return self._workspace.zeros(name, shape)
        return self._workspace.empty(name, shape)


class Steps:
    """Rows, one sequence after another, as arrays of shape (longest, layers, sequences, size).

    What comes after the end of the shorter sequences reaches no row.

    Args:
        lengths: (sequences,).

    Attributes:
        is_padded: whether some sequences are shorter.
    """

    def __init__(self, lengths: NDArray[np.intp]) -> None:
        self._count, self._longest = len(lengths), int(lengths.max())
        self.is_padded = int(lengths.min()) < self._longest
        self._sequence = np.repeat(np.arange(self._count), lengths)
        starts = np.cumsum(lengths) - lengths
        self._time = np.arange(lengths.sum()) - starts[self._sequence]

    def shape(self, *inner: int, size: int) -> tuple[int, ...]:
        """Of an array of all steps, with further axes before that of the sequences."""
        return self._longest, *inner, self._count, size

    def put_gates(self, rows: F32, padded: F32, layer: int, order: Sequence[int]) -> None:
        """Put rows (m, g·h), blocks in torch's order, into (longest, g, layers, sequences, h)."""
        blocks = rows.reshape(len(rows), len(order), -1)
        for gate, block in enumerate(order):
            padded[self._time, gate, layer, self._sequence] = blocks[:, block]

    def get_gates(self, padded: F32, layer: int, order: Sequence[int]) -> F32:
        """The inverse of ``put_gates``."""
        blocks = np.empty((len(self._time), len(order), padded.shape[-1]), np.float32)
        for gate, block in enumerate(order):
            blocks[:, block] = padded[self._time, gate, layer, self._sequence]
        return blocks.reshape(len(blocks), -1)

    def put(self, rows: F32, padded: F32, layer: int) -> None:
        """Put rows (m, h) into (longest, layers, sequences, h)."""
        padded[self._time, layer, self._sequence] = rows

    def get(self, padded: F32, layer: int) -> F32:
        """The inverse of ``put``."""
        rows: F32 = padded[self._time, layer, self._sequence]
        return rows
