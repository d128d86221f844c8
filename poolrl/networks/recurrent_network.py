"""Actor and critic with a memory, in NumPy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from poolrl.config.networks import RecurrentSpec
from poolrl.networks.base import Inputs, Network, NetworkOutput, State
from poolrl.networks.cells import CELLS, GATE_ORDER, NUM_STATES, Cells, by_gate
from poolrl.networks.mlp import MLP, Cache
from poolrl.networks.recurrence import GRU, LSTM, RNN, Recurrence, Workspace

F32 = NDArray[np.float32]

PLAIN: dict[str, type[RNN] | type[LSTM]] = {"rnn": RNN, "lstm": LSTM}


class RecurrentNetwork(Network):
    """Hidden layers, a recurrent layer and a linear one, for each of actor and critic, or with one
    trunk for both.

    The state has arrays of shape (n, trunks, memory): the outputs, and an LSTM's cells.

    Args:
        arrays: named tensors of an agent.
        spec: architecture.
        gradient: arrays that receive the derivatives; ``None`` for a network that is not trained.
        actor_columns: numbers of the observed values that the actor sees; ``None`` for all.
    """

    value_head = ("critic.head.weight", "critic.head.bias")

    def __init__(
        self,
        arrays: Mapping[str, NDArray[Any]],
        spec: RecurrentSpec,
        gradient: Mapping[str, F32] | None = None,
        actor_columns: NDArray[np.intp] | None = None,
    ) -> None:
        self._columns = actor_columns
        self._arrays, self._gradient, self._spec = arrays, gradient, spec
        self._order = GATE_ORDER[spec.cell]
        self._trunks = ("shared",) if spec.shared else ("actor", "critic")
        hidden = {"shared": spec.actor, "actor": spec.actor, "critic": spec.critic}
        self._dense = [
            MLP(arrays, name, len(hidden[name]), spec.activation, activate_last=True)
            for name in self._trunks
        ]
        # The free parameters, which do not depend on the observation, belong to the actor's.
        self._heads = {
            part: MLP(arrays, part, 1, spec.activation, layer_names=("head",))
            for part in ("actor", "critic")
        }
        self._cells: list[Cells] = []
        self._forward: _Forward | None = None
        self._workspace = Workspace()

    def changed(self) -> None:
        self._cells.clear()

    def initial_state(self, n: int) -> State:
        shape = n, len(self._trunks), self._spec.memory
        return tuple(np.zeros(shape, np.float32) for _ in range(NUM_STATES[self._spec.cell]))

    def act(self, observation: F32, state: State, noise: F32 | None = None) -> tuple[F32, State]:
        features, new = self._step(observation, tuple(part[:, :1] for part in state), 1)
        if len(self._trunks) == 2:
            new = tuple(
                np.concatenate((own, part[:, 1:]), axis=1)
                for own, part in zip(new, state, strict=True)
            )
        return self._heads["actor"](features[0]), new

    def step(
        self, observation: F32, state: State, noise: F32 | None = None
    ) -> tuple[NetworkOutput, State]:
        features, new = self._step(observation, state, len(self._trunks))
        parameters = self._heads["actor"](features[0])
        return NetworkOutput(parameters, self._heads["critic"](features[-1])[:, 0]), new

    def forward(self, inputs: Inputs) -> NetworkOutput:
        assert inputs.sequences is not None
        lengths = inputs.sequences.lengths
        steps = _Steps(lengths)
        dense = [
            layer.forward_with_cache(self._seen(k, inputs.observation))
            for k, layer in enumerate(self._dense)
        ]
        gates = self._workspace.zeros(
            "gates", steps.shape(len(self._order), len(dense), size=self._spec.memory)
        )
        for k, (x, _) in enumerate(dense):
            projection = x @ self._array(k, "weight_ih_l0").T
            projection += self._array(k, "bias_ih_l0")
            if self._spec.cell != "gru":
                projection += self._array(k, "bias_hh_l0")
            steps.put_gates(projection, gates, k, self._order)
        state = tuple(part.transpose(1, 0, 2) for part in inputs.sequences.state)
        weights = by_gate(self._stacked("weight_hh_l0").swapaxes(-1, -2), self._order)
        recurrence: Recurrence
        if self._spec.cell == "gru":
            biases = by_gate(self._stacked("bias_hh_l0"), self._order)[:, :, None]
            recurrence = GRU(gates, weights, state, self._workspace, biases)
        else:
            recurrence = PLAIN[self._spec.cell](gates, weights, state, self._workspace)
        features = [steps.get(recurrence.outputs, k) for k in range(len(dense))]
        parameters, actor = self._heads["actor"].forward_with_cache(features[0])
        value, critic = self._heads["critic"].forward_with_cache(features[-1])
        caches = {"actor": actor, "critic": critic}
        self._forward = _Forward(steps, dense, recurrence, caches)
        return NetworkOutput(parameters, value[:, 0])

    def backward(
        self,
        by_parameters: F32 | None = None,
        by_value: F32 | None = None,
        by_penalties: Mapping[str, F32] | None = None,
    ) -> None:
        assert self._gradient is not None
        assert self._forward is not None
        steps, dense, recurrence, caches = self._forward
        for array in self._gradient.values():
            array.fill(0)
        shape = steps.shape(len(dense), size=self._spec.memory)
        by_features = self._workspace.zeros("by_features", shape)
        by_heads = {
            "actor": by_parameters,
            "critic": None if by_value is None else by_value[:, None],
        }
        for part, by_output in by_heads.items():
            if by_output is not None:
                by_input = self._heads[part].backward(
                    caches[part], by_output, self._gradient, to_input=True
                )
                k = len(dense) - 1 if part == "critic" else 0
                steps.add(by_input, by_features, k)
        by_gates = recurrence.backward(by_features)
        for k, (x, cache) in enumerate(dense):
            by_inputs = steps.get_gates(by_gates.by_inputs, k, self._order)
            by_memory = by_inputs
            if by_gates.by_memory is not by_gates.by_inputs:
                by_memory = steps.get_gates(by_gates.by_memory, k, self._order)
            ones = np.ones(len(x), np.float32)
            before = steps.get(recurrence.before, k)
            np.matmul(by_inputs.T, x, out=self._gradient[self._name(k, "weight_ih_l0")])
            np.matmul(by_memory.T, before, out=self._gradient[self._name(k, "weight_hh_l0")])
            np.matmul(ones, by_inputs, out=self._gradient[self._name(k, "bias_ih_l0")])
            np.matmul(ones, by_memory, out=self._gradient[self._name(k, "bias_hh_l0")])
            if len(cache.inputs) > 1:
                by_x = by_inputs @ self._array(k, "weight_ih_l0")
                self._dense[k].backward(cache, by_x, self._gradient)

    def _step(self, x: F32, state: State, trunks: int) -> tuple[F32, State]:
        """One step of the first trunks, from their state: features (trunks, n, memory)."""
        if not self._cells:
            self._cells += [self._make_cells(count + 1) for count in range(len(self._trunks))]
        xs = [self._dense[k](self._seen(k, x)) for k in range(trunks)]
        return self._cells[trunks - 1](xs, state)

    def _make_cells(self, count: int) -> Cells:
        return CELLS[self._spec.cell](
            [self._array(k, "weight_ih_l0") for k in range(count)],
            self._stacked("weight_hh_l0")[:count],
            self._stacked("bias_ih_l0")[:count],
            self._stacked("bias_hh_l0")[:count],
        )

    def _seen(self, k: int, observation: F32) -> F32:
        """What a trunk sees."""
        whole = self._columns is None or k > 0
        return observation if whole else observation[:, self._columns]

    def _name(self, k: int, name: str) -> str:
        return f"{self._trunks[k]}.memory.{name}"

    def _array(self, k: int, name: str) -> F32:
        array: F32 = self._arrays[self._name(k, name)]
        return array

    def _stacked(self, name: str) -> F32:
        return np.stack([self._array(k, name) for k in range(len(self._trunks))])


class _Steps:
    """Rows, one sequence after another, as arrays of shape (longest, layers, sequences, size).

    What comes after the end of the shorter sequences reaches no row.
    """

    def __init__(self, lengths: NDArray[np.intp]) -> None:
        self._count, self._longest = len(lengths), int(lengths.max())
        self._sequence = np.repeat(np.arange(self._count), lengths)
        starts = np.cumsum(lengths) - lengths
        self._time = np.arange(lengths.sum()) - starts[self._sequence]

    def shape(self, *inner: int, size: int) -> tuple[int, ...]:
        return self._longest, *inner, self._count, size

    def put_gates(self, rows: F32, padded: F32, layer: int, order: Sequence[int]) -> None:
        blocks = rows.reshape(len(rows), len(order), -1)
        for gate, block in enumerate(order):
            padded[self._time, gate, layer, self._sequence] = blocks[:, block]

    def get_gates(self, padded: F32, layer: int, order: Sequence[int]) -> F32:
        blocks = np.empty((len(self._time), len(order), padded.shape[-1]), np.float32)
        for gate, block in enumerate(order):
            blocks[:, block] = padded[self._time, gate, layer, self._sequence]
        return blocks.reshape(len(blocks), -1)

    def add(self, rows: F32 | None, padded: F32, layer: int) -> None:
        assert rows is not None
        padded[self._time, layer, self._sequence] += rows

    def get(self, padded: F32, layer: int) -> F32:
        rows: F32 = padded[self._time, layer, self._sequence]
        return rows


class _Forward(NamedTuple):
    """What ``backward`` needs."""

    steps: _Steps
    dense: list[tuple[F32, Cache]]
    recurrence: Recurrence
    heads: dict[str, Cache]
