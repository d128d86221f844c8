"""Actor and critic with a memory, in NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from poolrl.config.networks import RecurrentSpec
from poolrl.networks.base import Inputs, Network, NetworkOutput, State
from poolrl.networks.cells import NUM_STATES, Cell
from poolrl.networks.mlp import MLP, Cache
from poolrl.networks.recurrence import GRU, LSTM, RNN, Recurrence, Workspace

F32 = NDArray[np.float32]


class RecurrentNetwork(Network):
    """Hidden layers, a recurrent layer and a linear one, for each of actor and critic, or with one
    trunk for both.

    The state is that of the actor's recurrent layer, followed by the critic's if it has its own.

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
        self._per_cell = NUM_STATES[spec.cell]
        self._trunks = ("shared",) if spec.shared else ("actor", "critic")
        hidden = {"shared": spec.actor, "actor": spec.actor, "critic": spec.critic}
        self._dense = [
            MLP(arrays, name, len(hidden[name]), spec.activation, activate_last=True)
            for name in self._trunks
        ]
        self._cells = [Cell(arrays, f"{name}.memory", spec.cell) for name in self._trunks]
        # The free parameters, which do not depend on the observation, belong to the actor's.
        self._heads = {
            part: MLP(arrays, part, 1, spec.activation, layer_names=("head",))
            for part in ("actor", "critic")
        }
        self._forward: _Forward | None = None
        self._workspace = Workspace()

    def initial_state(self, n: int) -> State:
        count = self._per_cell * len(self._trunks)
        return tuple(np.zeros((n, self._spec.memory), np.float32) for _ in range(count))

    def act(self, observation: F32, state: State, noise: F32 | None = None) -> tuple[F32, State]:
        x, own = self._step(0, observation, state)
        return self._heads["actor"](x), (*own, *state[self._per_cell :])

    def step(
        self, observation: F32, state: State, noise: F32 | None = None
    ) -> tuple[NetworkOutput, State]:
        x, new = self._step(0, observation, state)
        y = x
        if len(self._trunks) == 2:
            y, own = self._step(1, observation, state)
            new = (*new, *own)
        return NetworkOutput(self._heads["actor"](x), self._heads["critic"](y)[:, 0]), new

    def values(self, observation: F32, state: State) -> F32:
        y, _ = self._step(len(self._trunks) - 1, observation, state)
        value: F32 = self._heads["critic"](y)[:, 0]
        return value

    def forward(self, inputs: Inputs) -> NetworkOutput:
        assert inputs.sequences is not None
        lengths = inputs.sequences.lengths
        steps = _Steps(lengths)
        dense = [
            layer.forward_with_cache(self._seen(k, inputs.observation))
            for k, layer in enumerate(self._dense)
        ]
        units = len(self._array(0, "bias_ih_l0"))
        gates = self._workspace.zeros("gates", steps.shape(len(dense), units))
        for k, (x, _) in enumerate(dense):
            projection = x @ self._array(k, "weight_ih_l0").T
            projection += self._array(k, "bias_ih_l0")
            if self._spec.cell != "gru":
                projection += self._array(k, "bias_hh_l0")
            steps.put(projection, gates, k)
        state = tuple(
            np.stack(inputs.sequences.state[i :: self._per_cell]) for i in range(self._per_cell)
        )
        weights = self._stacked("weight_hh_l0").transpose(0, 2, 1)
        recurrence: Recurrence
        if self._spec.cell == "gru":
            biases = self._stacked("bias_hh_l0")[:, None]
            recurrence = GRU(gates, weights, state, self._workspace, biases)
        else:
            kind = RNN if self._spec.cell == "rnn" else LSTM
            recurrence = kind(gates, weights, state, self._workspace)
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
        shape = steps.shape(len(dense), self._spec.memory)
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
            by_inputs = steps.get(by_gates.by_inputs, k)
            by_memory = steps.get(by_gates.by_memory, k)
            ones = np.ones(len(x), np.float32)
            before = steps.get(recurrence.before, k)
            np.matmul(by_inputs.T, x, out=self._gradient[self._name(k, "weight_ih_l0")])
            np.matmul(by_memory.T, before, out=self._gradient[self._name(k, "weight_hh_l0")])
            np.matmul(ones, by_inputs, out=self._gradient[self._name(k, "bias_ih_l0")])
            np.matmul(ones, by_memory, out=self._gradient[self._name(k, "bias_hh_l0")])
            if len(cache.inputs) > 1:
                by_x = by_inputs @ self._array(k, "weight_ih_l0")
                self._dense[k].backward(cache, by_x, self._gradient)

    def _step(self, k: int, x: F32, state: State) -> tuple[F32, State]:
        own = state[k * self._per_cell : (k + 1) * self._per_cell]
        return self._cells[k](self._dense[k](self._seen(k, x)), own)

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

    def shape(self, layers: int, size: int) -> tuple[int, ...]:
        return self._longest, layers, self._count, size

    def put(self, rows: F32, padded: F32, layer: int) -> None:
        padded[self._time, layer, self._sequence] = rows

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
