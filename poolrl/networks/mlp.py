"""Multi-layer perceptrons in NumPy, with a hand-written backward pass.

Policies here are small: on one core, most of the time of automatic differentiation is overhead; see
benchmarks/train.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from poolrl.networks.activations import ACTIVATIONS

F32 = NDArray[np.float32]


class Cache(NamedTuple):
    """What ``MLP.backward`` needs of a forward pass.

    Attributes:
        inputs: of every layer.
        outputs: of every layer before its activation, if the activation's derivative needs them.
    """

    inputs: list[F32]
    outputs: list[F32]


class MLP:
    """Linear layers with activations in between, over shared arrays, which are not copied.

    Args:
        arrays: contain ``NAME.0.weight`` (outputs, inputs), ``NAME.0.bias``, ``NAME.2.weight``, …,
            named as in ``torch.nn.Sequential``, and optionally ``NAME.free``: learned outputs that
            do not depend on the input, appended to the others unless the last layer is activated.
        name: of the network in ``arrays``.
        layers: number of linear layers.
        activation: a key of ``ACTIVATIONS``.
        activate_last: whether the activation follows the last layer too.
        layer_names: of the layers, instead of ``0``, ``2``, ….
    """

    def __init__(
        self,
        arrays: Mapping[str, NDArray[Any]],
        name: str,
        layers: int,
        activation: str,
        *,
        activate_last: bool = False,
        layer_names: Sequence[str] = (),
    ) -> None:
        own = layer_names or [str(2 * i) for i in range(layers)]
        self._names = [f"{name}.{layer}" for layer in own]
        self._free_name = f"{name}.free"
        self._weights: list[F32] = [arrays[f"{layer}.weight"] for layer in self._names]
        self._transposed = [weight.T for weight in self._weights]
        self._biases: list[F32] = [arrays[f"{layer}.bias"] for layer in self._names]
        self._free: F32 | None = None if activate_last else arrays.get(self._free_name)
        self._activation = ACTIVATIONS[activation]
        self._activated = layers if activate_last else layers - 1

    def __call__(self, x: F32) -> F32:
        """Forward pass: (n, inputs) -> (n, outputs)."""
        for i, (transposed, bias) in enumerate(zip(self._transposed, self._biases, strict=True)):
            x = x @ transposed
            x += bias
            if i < self._activated:
                self._activation.apply(x)
        return self._append_free(x)

    def forward_with_cache(self, x: F32) -> tuple[F32, Cache]:
        """Forward pass with what ``backward`` needs of it."""
        cache = Cache([], [])
        for i, (transposed, bias) in enumerate(zip(self._transposed, self._biases, strict=True)):
            cache.inputs.append(x)
            x = x @ transposed
            x += bias
            if i < self._activated:
                if self._activation.of_input:
                    cache.outputs.append(x.copy())
                self._activation.apply(x)
        if self._activated == len(self._names):
            cache.inputs.append(x)
        return self._append_free(x), cache

    def layer_outputs(self, x: F32) -> list[F32]:
        """Outputs of all layers, after their activation, each (n, width)."""
        y, cache = self.forward_with_cache(x)
        outputs = cache.inputs[1:]
        return outputs if self._activated == len(self._names) else [*outputs, y]

    def backward(
        self,
        cache: Cache,
        by_output: F32,
        gradient: Mapping[str, F32],
        *,
        to_input: bool = False,
    ) -> F32 | None:
        """Back-propagation (Rumelhart et al. 1986).

        Args:
            cache: of ``forward_with_cache``.
            by_output: (n, outputs): derivative of the loss with respect to the output; overwritten
                if the last layer is activated.
            gradient: arrays that receive the derivative with respect to every parameter.
            to_input: whether to return the derivative with respect to the input, (n, inputs).
        """
        ones = np.ones(len(by_output), np.float32)
        if self._free is not None:
            outputs = by_output.shape[1] - len(self._free)
            np.matmul(ones, by_output[:, outputs:], out=gradient[self._free_name])
            by_output = np.ascontiguousarray(by_output[:, :outputs])
        for i in range(len(self._names) - 1, -1, -1):
            if i < self._activated:
                before = cache.outputs[i] if self._activation.of_input else None
                by_output *= self._activation.derivative(cache.inputs[i + 1], before)
            layer = self._names[i]
            np.matmul(by_output.T, cache.inputs[i], out=gradient[f"{layer}.weight"])
            np.matmul(ones, by_output, out=gradient[f"{layer}.bias"])  # a sum, but faster
            if i or to_input:
                by_output = by_output @ self._weights[i]
        return by_output if to_input else None

    def _append_free(self, y: F32) -> F32:
        if self._free is None:
            return y
        whole = np.empty((len(y), y.shape[1] + len(self._free)), np.float32)
        whole[:, : y.shape[1]] = y
        whole[:, y.shape[1] :] = self._free
        return whole
