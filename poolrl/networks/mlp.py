"""Multi-layer perceptron in NumPy, with a hand-written backward pass.

Policies here are small: on one core, most of the time of automatic differentiation is overhead; see
benchmarks/train.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


class MLP:
    """Linear layers with activations in between, over shared arrays, which are not copied.

    Args:
        arrays: contain ``NAME.0.weight`` (outputs, inputs), ``NAME.0.bias``, ``NAME.2.weight``, …,
            named as in ``torch.nn.Sequential``, and optionally ``NAME.free``: learned outputs that
            do not depend on the input, appended to the others.
        name: of the network in ``arrays``.
        hidden: number of hidden layers.
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
        """Forward pass: (n, inputs) -> (n, outputs)."""
        last = len(self._names) - 1
        for i in range(last):
            x = x @ self._transposed[i]
            x += self._biases[i]
            self._activate(x)
        y = x @ self._transposed[last]
        y += self._biases[last]
        return self._append_free(y)

    def forward_with_cache(self, x: F32) -> tuple[F32, list[F32]]:
        """Forward pass that also returns the input of every layer, for ``backward``."""
        inputs = [x]
        last = len(self._names) - 1
        for i in range(last):
            x = x @ self._transposed[i]
            x += self._biases[i]
            self._activate(x)
            inputs.append(x)
        y = x @ self._transposed[last]
        y += self._biases[last]
        return self._append_free(y), inputs

    def backward(self, inputs: list[F32], by_output: F32, gradient: Mapping[str, F32]) -> None:
        """Back-propagation (Rumelhart et al. 1986).

        Args:
            inputs: the cache of ``forward_with_cache``; overwritten.
            by_output: (n, outputs): derivative of the loss with respect to the output.
            gradient: arrays that receive the derivative with respect to every parameter.
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

    def _append_free(self, y: F32) -> F32:
        if self._free is None:
            return y
        whole = np.empty((len(y), y.shape[1] + len(self._free)), np.float32)
        whole[:, : y.shape[1]] = y
        whole[:, y.shape[1] :] = self._free
        return whole


def _tanh(x: F32) -> None:
    np.tanh(x, out=x)


def _tanh_derivative(y: F32) -> F32:
    """1 − tanh², overwriting the values of tanh."""
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
"""Each activation, in place, and its derivative as a function of its value, which may be
overwritten."""
