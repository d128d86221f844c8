"""Recurrent layers over sequences in NumPy, with hand-written back-propagation through time.

Each layer is a loop over steps of small arrays, whose time is the number of calls. So several
layers of one width, an actor's and a critic's, run as one; input projections, the factors of
derivatives and the weights' gradients are computed for all steps at once; σ(x) = tanh(x/2)/2 + 1/2
serves all gates with one call of tanh; the gates are the outer axis, so that each is one piece of
memory; and large arrays are used again. torch's layers take at least as long (LSTM), and up to 10
times (GRU over long sequences).

Shapes: T steps, g gates in the order of ``cells.GATE_ORDER``, k layers, s sequences, memory h.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from poolrl.networks.cells import contiguous

F32 = NDArray[np.float32]

HALF = np.float32(0.5)


class Workspace:
    """Arrays that are used again, since fresh ones cost more than the arithmetic in them."""

    def __init__(self) -> None:
        self._arrays: dict[str, F32] = {}

    def empty(self, name: str, shape: tuple[int, ...]) -> F32:
        """An array of this name and shape with any content."""
        array = self._arrays.get(name)
        if array is None or array.size < np.prod(shape):
            array = self._arrays[name] = np.empty(shape, np.float32)
        return array.ravel()[: np.prod(shape)].reshape(shape)

    def zeros(self, name: str, shape: tuple[int, ...]) -> F32:
        """As ``empty``, with zeros."""
        array = self.empty(name, shape)
        array.fill(0)
        return array


class GateGradients(NamedTuple):
    """Derivatives of the loss.

    Attributes:
        by_inputs: (T, g, k, s, h), by the projections of the inputs.
        by_memory: (T, g, k, s, h), by the projections of the memory.
    """

    by_inputs: F32
    by_memory: F32


class Recurrence(ABC):
    """The forward pass of k recurrent layers, kept for the backward pass.

    Args:
        inputs: (T, g, k, s, h): projections of the inputs with both biases, but for ``GRU``;
            overwritten.
        weights: (g, k, h, h): map the memory to the gates.
        state: the memory before the first step, arrays of shape (k, s, h).
        workspace: of the arrays that are kept until the next forward pass.

    Attributes:
        outputs: (T, k, s, h).
        before: (T, k, s, h): the outputs one step before.
    """

    outputs: F32
    before: F32

    def _keep_outputs(self, inputs: F32, first: F32, workspace: Workspace) -> F32:
        """An array (T + 1, k, s, h) that starts with the memory before the first step."""
        steps, _, *shape = inputs.shape
        kept = workspace.empty("outputs", (steps + 1, *shape))
        kept[0] = first
        self.before, self.outputs = kept[:-1], kept[1:]
        return kept

    @abstractmethod
    def backward(self, by_outputs: F32) -> GateGradients:
        """Back-propagate through time.

        Args:
            by_outputs: (T, k, s, h): derivative of the loss by the outputs; overwritten.
        """


class RNN(Recurrence):
    """h' = tanh(W x + b + U h + c) (Elman 1990)."""

    def __init__(
        self, inputs: F32, weights: F32, state: tuple[F32, ...], workspace: Workspace
    ) -> None:
        self._weights = weights[0]
        outputs = self._keep_outputs(inputs, state[0], workspace)
        for t in range(len(inputs)):
            y = np.matmul(outputs[t], self._weights, out=outputs[t + 1])
            y += inputs[t, 0]
            np.tanh(y, out=y)

    def backward(self, by_outputs: F32) -> GateGradients:
        derivative = np.square(self.outputs)
        np.subtract(1, derivative, out=derivative)
        back = np.ascontiguousarray(self._weights.transpose(0, 2, 1))
        by_before = np.empty(by_outputs.shape[1:], np.float32)
        for t in range(len(by_outputs) - 1, -1, -1):
            by_gate = by_outputs[t]
            by_gate *= derivative[t]
            if t:
                by_outputs[t - 1] += np.matmul(by_gate, back, out=by_before)
        return GateGradients(by_outputs[:, None], by_outputs[:, None])


class GRU(Recurrence):
    """Gated recurrent unit (Cho et al. 2014), as in torch: h' = (1 − z) n + z h with
    n = tanh(W x + b + r (U h + c)).

    Args:
        inputs: with the biases of the inputs alone.
        biases: (g, k, 1, h): of the memory.
    """

    def __init__(
        self,
        inputs: F32,
        weights: F32,
        state: tuple[F32, ...],
        workspace: Workspace,
        biases: F32,
    ) -> None:
        self._weights = weights
        inputs[:, :2] *= HALF
        half, half_biases = contiguous(weights), biases.copy()
        half[:2] *= HALF
        half_biases[:2] *= HALF
        self._memory = workspace.empty("memory", inputs.shape)  # projections of the memory
        self._workspace = workspace
        outputs = self._keep_outputs(inputs, state[0], workspace)
        product = np.empty(outputs.shape[1:], np.float32)
        for t in range(len(inputs)):
            gates, memory, h, y = inputs[t], self._memory[t], outputs[t], outputs[t + 1]
            np.matmul(h, half, out=memory)
            memory += half_biases
            sigmoids, new = gates[:2], gates[2]
            sigmoids += memory[:2]
            np.tanh(sigmoids, out=sigmoids)
            sigmoids *= HALF
            sigmoids += HALF
            new += np.multiply(gates[0], memory[2], out=product)
            np.tanh(new, out=new)
            np.subtract(h, new, out=y)
            y *= gates[1]
            y += new
        self._gates = inputs

    def backward(self, by_outputs: F32) -> GateGradients:
        r, z, n = (self._gates[:, i] for i in range(3))
        # Factors of the derivatives: by n, (1 − z) (1 − n²); by n's, of r, (U h + c) r (1 − r); by
        # the output, of z, (h − n) z (1 − z).
        factors = self._workspace.empty("factors", self._gates.shape)
        by_reset, by_update, by_new = (factors[:, i] for i in range(3))
        np.subtract(1, self._gates[:, :2], out=factors[:, :2])
        np.square(n, out=by_new)
        np.subtract(1, by_new, out=by_new)
        by_new *= by_update
        factors[:, :2] *= self._gates[:, :2]
        by_reset *= self._memory[:, 2]
        by_update *= self.before - n
        back = np.ascontiguousarray(self._weights.transpose(0, 1, 3, 2))
        by_memory = self._workspace.empty("by_memory", self._gates.shape)
        by_inputs = self._workspace.empty("by_inputs", self._gates.shape)
        by_gates = np.empty(self._gates.shape[1:], np.float32)
        for t in range(len(by_outputs) - 1, -1, -1):
            by_h, own, by_n = by_outputs[t], by_memory[t], by_inputs[t, 2]
            np.multiply(by_h, by_new[t], out=by_n)
            np.multiply(by_n, by_reset[t], out=own[0])
            np.multiply(by_h, by_update[t], out=own[1])
            np.multiply(by_n, r[t], out=own[2])
            if t:
                by_h *= z[t]
                by_h += np.add.reduce(np.matmul(own, back, out=by_gates))
                by_outputs[t - 1] += by_h
        by_inputs[:, :2] = by_memory[:, :2]
        return GateGradients(by_inputs, by_memory)


class LSTM(Recurrence):
    """Long short-term memory (Hochreiter & Schmidhuber 1997; Gers et al. 2000), as in torch: gates
    i, f, g, o; c' = f c + i g; h' = o tanh(c')."""

    def __init__(
        self, inputs: F32, weights: F32, state: tuple[F32, ...], workspace: Workspace
    ) -> None:
        self._weights = weights
        self._workspace = workspace
        inputs[:, :3] *= HALF
        half = contiguous(weights)
        half[:3] *= HALF
        outputs = self._keep_outputs(inputs, state[0], workspace)
        cells = self._cells = workspace.empty("cells", outputs.shape)
        cells[0] = state[1]
        self._tanh = workspace.empty("tanh", self.outputs.shape)
        memory, product = np.empty(inputs.shape[1:], np.float32), np.empty_like(cells[0])
        for t in range(len(inputs)):
            gates, c = inputs[t], cells[t + 1]
            gates += np.matmul(outputs[t], half, out=memory)
            np.tanh(gates, out=gates)
            sigmoids = gates[:3]
            sigmoids *= HALF
            sigmoids += HALF
            np.multiply(gates[2], cells[t], out=c)
            c += np.multiply(gates[1], gates[3], out=product)
            np.multiply(gates[0], np.tanh(c, out=self._tanh[t]), out=outputs[t + 1])
        self._gates = inputs

    def backward(self, by_outputs: F32) -> GateGradients:
        o, i, f, g = (self._gates[:, j] for j in range(4))
        # Factors of the derivative by the output, for o; and by the cell, for i, f and g.
        factors = self._workspace.empty("factors", self._gates.shape)
        np.subtract(1, self._gates[:, :3], out=factors[:, :3])
        factors[:, :3] *= self._gates[:, :3]
        for j, other in enumerate((self._tanh, g, self._cells[:-1])):
            factors[:, j] *= other
        np.square(g, out=factors[:, 3])
        np.subtract(1, factors[:, 3], out=factors[:, 3])
        factors[:, 3] *= i
        by_cell_of_output = np.square(self._tanh, out=self._workspace.empty("by_cell", o.shape))
        np.subtract(1, by_cell_of_output, out=by_cell_of_output)
        by_cell_of_output *= o  # o (1 − tanh²)
        back = np.ascontiguousarray(self._weights.transpose(0, 1, 3, 2))
        by_gates = self._workspace.empty("by_gates", self._gates.shape)
        by_memory = np.empty(self._gates.shape[1:], np.float32)
        by_cell, product = np.zeros((2, *by_outputs.shape[1:]), np.float32)
        for t in range(len(by_outputs) - 1, -1, -1):
            by_h, own = by_outputs[t], by_gates[t]
            by_cell += np.multiply(by_h, by_cell_of_output[t], out=product)
            np.multiply(by_h, factors[t, 0], out=own[0])
            np.multiply(by_cell, factors[t, 1:], out=own[1:])
            if t:
                by_cell *= f[t]
                np.add.reduce(np.matmul(own, back, out=by_memory), out=product)
                by_outputs[t - 1] += product
        return GateGradients(by_gates, by_gates)
