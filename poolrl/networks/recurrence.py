"""Recurrent layers over sequences in NumPy, with hand-written back-propagation through time.

Each layer is a loop over steps of small arrays, whose time is the number of calls. So several
layers of one width, an actor's and a critic's, run as one; input projections, the factors of
derivatives and the weights' gradients are computed for all steps at once; σ(x) = tanh(x/2)/2 + 1/2
serves all gates with one call of tanh; and large arrays are used again. torch's layers take 1
(LSTM) to 10 times (GRU over long sequences) as long.

Shapes: T steps, k layers, s sequences, memory h, g gates.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

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
        by_inputs: (T, k, s, g·h), by the projections of the inputs.
        by_memory: (T, k, s, g·h), by the projections of the memory.
    """

    by_inputs: F32
    by_memory: F32


class Recurrence(ABC):
    """The forward pass of k recurrent layers, kept for the backward pass.

    Args:
        inputs: (T, k, s, g·h): projections of the inputs with both biases, but for ``GRU``;
            overwritten.
        weights: (k, h, g·h): maps the memory to the gates.
        state: the memory before the first step, arrays of shape (k, s, h).
        workspace: of the arrays that are kept until the next forward pass.

    Attributes:
        outputs: (T, k, s, h).
        before: (T, k, s, h): the outputs one step before.
    """

    outputs: F32
    before: F32

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
        self._weights = weights
        self.before = workspace.empty("before", inputs.shape)
        h = self.before[0]
        h[...] = state[0]
        for t in range(len(inputs)):
            y = inputs[t]
            self.before[t] = h
            y += h @ weights
            h = np.tanh(y, out=y)
        self.outputs = inputs

    def backward(self, by_outputs: F32) -> GateGradients:
        derivative = np.square(self.outputs)
        np.subtract(1, derivative, out=derivative)
        back = self._weights.transpose(0, 2, 1)
        for t in range(len(by_outputs) - 1, -1, -1):
            by_gate = by_outputs[t]
            by_gate *= derivative[t]
            if t:
                by_outputs[t - 1] += by_gate @ back
        return GateGradients(by_outputs, by_outputs)


class GRU(Recurrence):
    """Gated recurrent unit (Cho et al. 2014), as in torch: h' = (1 − z) n + z h with
    n = tanh(W x + b + r (U h + c)).

    Args:
        inputs: with the biases of the inputs alone.
        biases: (k, 1, 3h): of the memory.
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
        size = weights.shape[1]
        two = 2 * size
        steps, layers, sequences, _ = inputs.shape
        inputs[..., :two] *= HALF
        half = weights.copy()
        half[..., :two] *= HALF
        half_biases = biases.copy()
        half_biases[..., :two] *= HALF
        shape = steps, layers, sequences, size
        self.before = workspace.empty("before", shape)
        self.outputs = workspace.empty("outputs", shape)
        self._memory = workspace.empty("memory", inputs.shape)  # projections of the memory
        self._workspace = workspace
        h = state[0]
        for t in range(steps):
            gates, memory, y = inputs[t], self._memory[t], self.outputs[t]
            self.before[t] = h
            np.matmul(h, half, out=memory)
            memory += half_biases
            sigmoids, new = gates[..., :two], gates[..., two:]
            sigmoids += memory[..., :two]
            np.tanh(sigmoids, out=sigmoids)
            sigmoids *= HALF
            sigmoids += HALF
            new += gates[..., :size] * memory[..., two:]
            np.tanh(new, out=new)
            np.subtract(h, new, out=y)
            y *= gates[..., size:two]
            y += new
            h = y
        self._gates = inputs

    def backward(self, by_outputs: F32) -> GateGradients:
        size = by_outputs.shape[-1]
        r, z, n = (self._gates[..., i * size : (i + 1) * size] for i in range(3))
        new = partial(self._workspace.empty, shape=n.shape)
        rest = np.subtract(1, z, out=new("rest"))
        by_new = np.square(n, out=new("by_new"))  # (1 − z) (1 − n²)
        np.subtract(1, by_new, out=by_new)
        by_new *= rest
        by_update = np.subtract(self.before, n, out=new("by_update"))  # (h − n) z (1 − z)
        by_update *= z
        by_update *= rest
        by_reset = np.subtract(1, r, out=new("by_reset"))  # (U h + c) r (1 − r)
        by_reset *= r
        by_reset *= self._memory[..., 2 * size :]
        back = self._weights.transpose(0, 2, 1)
        by_memory = self._workspace.empty("by_memory", self._gates.shape)
        own = new("own")
        for t in range(len(by_outputs) - 1, -1, -1):
            by_h, by_gates, by_n = by_outputs[t], by_memory[t], own[t]
            np.multiply(by_h, by_new[t], out=by_n)
            np.multiply(by_n, by_reset[t], out=by_gates[..., :size])
            np.multiply(by_h, by_update[t], out=by_gates[..., size : 2 * size])
            np.multiply(by_n, r[t], out=by_gates[..., 2 * size :])
            if t:
                by_h *= z[t]
                by_h += by_gates @ back
                by_outputs[t - 1] += by_h
        by_inputs = self._workspace.empty("by_inputs", by_memory.shape)
        by_inputs[..., : 2 * size] = by_memory[..., : 2 * size]
        by_inputs[..., 2 * size :] = own
        return GateGradients(by_inputs, by_memory)


class LSTM(Recurrence):
    """Long short-term memory (Hochreiter & Schmidhuber 1997; Gers et al. 2000), as in torch: gates
    i, f, g, o; c' = f c + i g; h' = o tanh(c')."""

    def __init__(
        self, inputs: F32, weights: F32, state: tuple[F32, ...], workspace: Workspace
    ) -> None:
        self._weights = weights
        size = weights.shape[1]
        steps, layers, sequences, _ = inputs.shape
        scale = np.full(4 * size, HALF)
        scale[2 * size : 3 * size] = 1
        shift = np.where(scale == 1, np.float32(0), HALF)
        inputs *= scale
        scaled = weights * scale
        shape = steps, layers, sequences, size
        self.before = workspace.empty("before", shape)
        self.outputs = workspace.empty("outputs", shape)
        self._cells_before = workspace.empty("cells", shape)
        self._tanh = workspace.empty("tanh", shape)
        self._workspace = workspace
        h, c = state
        for t in range(steps):
            gates, y, bounded = inputs[t], self.outputs[t], self._tanh[t]
            self.before[t], self._cells_before[t] = h, c
            gates += h @ scaled
            np.tanh(gates, out=gates)
            gates *= scale
            gates += shift
            c = gates[..., size : 2 * size] * c
            c += gates[..., :size] * gates[..., 2 * size : 3 * size]
            np.tanh(c, out=bounded)
            np.multiply(gates[..., 3 * size :], bounded, out=y)
            h = y
        self._gates = inputs

    def backward(self, by_outputs: F32) -> GateGradients:
        steps, layers, sequences, size = by_outputs.shape
        gates = self._gates.reshape(steps, layers, sequences, 4, size)
        i, f, g, o = (gates[..., j, :] for j in range(4))
        # Factors of the derivative by the cell, for the gates i, f and g; and by the output, for o.
        factors = self._workspace.empty("factors", (steps, layers, sequences, 3, size))
        for j, (gate, other) in enumerate(((i, g), (f, self._cells_before))):
            np.subtract(1, gate, out=factors[..., j, :])
            factors[..., j, :] *= gate
            factors[..., j, :] *= other
        np.square(g, out=factors[..., 2, :])
        np.subtract(1, factors[..., 2, :], out=factors[..., 2, :])
        factors[..., 2, :] *= i
        by_o = np.subtract(1, o, out=self._workspace.empty("by_o", o.shape))
        by_o *= o
        by_o *= self._tanh
        by_cell_of_output = np.square(self._tanh, out=self._workspace.empty("by_cell", o.shape))
        np.subtract(1, by_cell_of_output, out=by_cell_of_output)
        by_cell_of_output *= o  # o (1 − tanh²)
        back = self._weights.transpose(0, 2, 1)
        by_gates = self._workspace.empty("by_gates", gates.shape)
        by_cell = np.zeros((layers, sequences, size), np.float32)
        for t in range(steps - 1, -1, -1):
            by_h, own = by_outputs[t], by_gates[t]
            by_cell += by_h * by_cell_of_output[t]
            np.multiply(by_cell[..., None, :], factors[t], out=own[..., :3, :])
            np.multiply(by_h, by_o[t], out=own[..., 3, :])
            if t:
                by_cell *= f[t]
                by_outputs[t - 1] += own.reshape(layers, sequences, 4 * size) @ back
        whole = by_gates.reshape(self._gates.shape)
        return GateGradients(whole, whole)
