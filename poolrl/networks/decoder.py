"""Decoder: layers with or without a memory, and outputs within ±1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from poolrl.config.networks import EncoderDecoderSpec
from poolrl.networks.base import Sequences, State
from poolrl.networks.mlp import MLP, Cache
from poolrl.networks.recurrent_layer import RecurrentLayer, Steps

F32 = NDArray[np.float32]


class Decoder:
    """LSTMs one after another, or a perceptron; then linear with tanh, or one more LSTM.

    The state has two arrays of shape (n, width) for each LSTM: its output and its cell.

    Args:
        arrays: contain ``actor.decoder.0.weight_ih_l0``, … of LSTMs, or ``actor.decoder.0.weight``,
            ``actor.decoder.2.weight``, … of a perceptron, and ``actor.head.weight`` of a linear
            output, with their biases; not copied.
        spec: architecture.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]], spec: EncoderDecoderSpec) -> None:
        count = len(spec.lstm_widths(1))
        self._memory = [
            RecurrentLayer(arrays, [f"actor.decoder.{i}"], "lstm") for i in range(count)
        ]
        dense = len(spec.decoder) if spec.decoder_kind == "mlp" else 0
        self._dense = MLP(arrays, "actor.decoder", dense, spec.activation, activate_last=True)
        self._head: MLP | None = None
        if spec.decoder_output == "linear":
            self._head = MLP(
                *(arrays, "actor", 1, "tanh"), activate_last=True, layer_names=("head",)
            )
        self._forward: _Forward | None = None

    def changed(self) -> None:
        """Called when the arrays have changed."""
        for layer in self._memory:
            layer.changed()

    def initial_state(self, n: int) -> State:
        """The memory at the start of n episodes; empty without LSTMs."""
        return tuple(part[:, 0] for layer in self._memory for part in layer.initial_state(n))

    def step(self, x: F32, state: State) -> tuple[F32, State]:
        """One step.

        Args:
            x: (n, inputs).
            state: the memory before it.

        Returns:
            (n, outputs), and the memory after it.
        """
        after: list[F32] = []
        x = self._dense(x)
        for i, layer in enumerate(self._memory):
            outputs, new = layer.step([x], _of_layer(state, i))
            x = outputs[0]
            after += [part[:, 0] for part in new]
        return x if self._head is None else self._head(x), tuple(after)

    def forward(self, x: F32, sequences: Sequences | None) -> F32:
        """Outputs (m, outputs) of a batch (m, inputs), kept for ``backward``."""
        x, dense = self._dense.forward_with_cache(x)
        if self._memory:
            assert sequences is not None
            steps = Steps(sequences.lengths)
            for i, layer in enumerate(self._memory):
                (x,) = layer.forward([x], steps, _of_layer(sequences.state, i))
        head = None
        if self._head is not None:
            x, head = self._head.forward_with_cache(x)
        self._forward = _Forward(dense, head)
        return x

    def backward(
        self, by_outputs: F32, gradient: Mapping[str, F32], *, to_input: bool
    ) -> F32 | None:
        """Derivative by the inputs, (m, inputs), after ``forward``.

        Args:
            by_outputs: (m, outputs): derivative of the loss; overwritten.
            gradient: arrays that receive the derivatives by the parameters.
            to_input: whether it is wanted; otherwise ``None`` is returned.
        """
        assert self._forward is not None
        by_x: F32 | None = by_outputs
        if self._head is not None and self._forward.head is not None:
            by_x = self._head.backward(self._forward.head, by_outputs, gradient, to_input=True)
        for i in range(len(self._memory) - 1, -1, -1):
            wanted = i > 0 or to_input
            (by_x,) = self._memory[i].backward([by_x], gradient, to_inputs=[wanted])
        if self._memory:
            return by_x
        assert by_x is not None
        return self._dense.backward(self._forward.dense, by_x, gradient, to_input=to_input)

    def activations(self, x: F32, state: State) -> dict[str, F32]:
        """What a step computes, (n, width) by name: ``0``, … of a perceptron's layers, ``0/h`` and
        ``0/c``, … of LSTMs, and ``output`` of a linear one.

        Args:
            x, state: as for ``step``.
        """
        found = {str(i): y for i, y in enumerate(self._dense.layer_outputs(x))}
        outputs, after = self.step(x, state)
        for i, (h, c) in enumerate(zip(after[::2], after[1::2], strict=True)):
            found |= {f"{i}/h": h, f"{i}/c": c}
        return found if self._head is None else found | {"output": outputs}


class _Forward(NamedTuple):
    """What ``backward`` needs."""

    dense: Cache
    head: Cache | None


def _of_layer(state: State, i: int) -> State:
    """That of an LSTM, arrays of shape (n, 1, width)."""
    return tuple(part[:, None] for part in state[2 * i : 2 * i + 2])
