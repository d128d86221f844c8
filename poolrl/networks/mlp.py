"""A multi-layer perceptron in NumPy: for acting, and for learning with its own backward pass.

Policies here are small, so that on one core most of an automatic differentiator's time is overhead;
see benchmarks/train.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


class Perceptron:
    """Linear layers with activations in between, over arrays that it shares and does not copy.

    Args:
        arrays: hold ``NAME.0.weight`` (outputs, inputs), ``NAME.0.bias``, ``NAME.2.weight``, … as
            ``torch.nn.Sequential`` names them, and maybe ``NAME.free``: outputs that do not depend
            on the input, put behind the others.
        name: of the network in ``arrays``.
        hidden: the number of hidden layers.
        activation: a key of ``ACTIVATIONS``.
    """

    def __init__(
        self, arrays: Mapping[str, NDArray[Any]], name: str, hidden: int, activation: str
    ) -> None:
        self._names = [f"{name}.{2 * i}" for i in range(hidden + 1)]
        self._free_name = f"{name}.free"
        self._weights: list[F32] = [arrays[f"{layer}.weight"] for layer in self._names]
        self._transposed = [weight.T for weight in self._weights]
        self._biases: list[F32] = [arrays[f"{layer}.bias"] for layer in self._names]
        self._free: F32 | None = arrays.get(self._free_name)
        self._activate, self._differentiate = ACTIVATIONS[activation]

    def __call__(self, x: F32) -> F32:
        """(n, outputs) of (n, inputs)."""
        last = len(self._names) - 1
        for i in range(last):
            x = x @ self._transposed[i]
            x += self._biases[i]
            self._activate(x)
        y = x @ self._transposed[last]
        y += self._biases[last]
        return self._with_free(y)

    def record(self, x: F32) -> tuple[F32, list[F32]]:
        """As a call, with the layers' inputs, which ``backward`` needs and uses up."""
        inputs = [x]
        last = len(self._names) - 1
        for i in range(last):
            x = x @ self._transposed[i]
            x += self._biases[i]
            self._activate(x)
            inputs.append(x)
        y = x @ self._transposed[last]
        y += self._biases[last]
        return self._with_free(y), inputs

    def backward(self, inputs: list[F32], by_output: F32, gradient: Mapping[str, F32]) -> None:
        """Back-propagation (Rumelhart et al. 1986).

        Args:
            inputs: what ``record`` gave.
            by_output: (n, outputs): the derivative of the loss by what ``record`` gave.
            gradient: receives the derivative by every array of this network.
        """
        ones = np.ones(len(by_output), np.float32)
        if self._free is not None:
            outputs = by_output.shape[1] - len(self._free)
            np.matmul(ones, by_output[:, outputs:], out=gradient[self._free_name])
            by_output = np.ascontiguousarray(by_output[:, :outputs])
        for i in range(len(self._names) - 1, -1, -1):
            layer = self._names[i]
            np.matmul(by_output.T, inputs[i], out=gradient[f"{layer}.weight"])
            np.matmul(ones, by_output, out=gradient[f"{layer}.bias"])  # a sum, but faster
            if i:
                by_output = by_output @ self._weights[i]
                by_output *= self._differentiate(inputs[i])

    def _with_free(self, y: F32) -> F32:
        if self._free is None:
            return y
        whole = np.empty((len(y), y.shape[1] + len(self._free)), np.float32)
        whole[:, : y.shape[1]] = y
        whole[:, y.shape[1] :] = self._free
        return whole


def _tanh(x: F32) -> None:
    np.tanh(x, out=x)


def _tanh_derivative(y: F32) -> F32:
    """1 − tanh², in place of tanh."""
    np.square(y, out=y)
    np.subtract(1, y, out=y)
    return y


def _relu(x: F32) -> None:
    np.maximum(x, 0, out=x)


def _relu_derivative(y: F32) -> NDArray[np.bool_]:
    return y > 0


ACTIVATIONS: dict[str, tuple[Callable[[F32], None], Callable[[F32], NDArray[Any]]]] = {
    "tanh": (_tanh, _tanh_derivative),
    "relu": (_relu, _relu_derivative),
}
"""The activation in place, and its derivative from its value, which may be overwritten."""
