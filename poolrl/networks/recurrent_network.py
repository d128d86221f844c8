"""Actor and critic with a memory, in NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from poolrl.config.networks import RecurrentSpec
from poolrl.networks.base import Inputs, Network, NetworkOutput, State
from poolrl.networks.mlp import MLP, Cache
from poolrl.networks.recurrent_layer import RecurrentLayer, Steps

F32 = NDArray[np.float32]


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
        self._gradient = gradient
        self._trunks = ("shared",) if spec.shared else ("actor", "critic")
        hidden = {"shared": spec.actor, "actor": spec.actor, "critic": spec.critic}
        self._dense = [
            MLP(arrays, name, len(hidden[name]), spec.activation, activate_last=True)
            for name in self._trunks
        ]
        names = [f"{trunk}.memory" for trunk in self._trunks]
        self._memory = RecurrentLayer(arrays, names, spec.cell)
        # The free parameters, which do not depend on the observation, belong to the actor's.
        self._heads = {
            part: MLP(arrays, part, 1, spec.activation, layer_names=("head",))
            for part in ("actor", "critic")
        }
        self._forward: _Forward | None = None

    def changed(self) -> None:
        self._memory.changed()

    def initial_state(self, n: int) -> State:
        return self._memory.initial_state(n)

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
        dense = [
            layer.forward_with_cache(self._seen(k, inputs.observation))
            for k, layer in enumerate(self._dense)
        ]
        features = self._memory.forward(
            [x for x, _ in dense], Steps(inputs.sequences.lengths), inputs.sequences.state
        )
        parameters, actor = self._heads["actor"].forward_with_cache(features[0])
        value, critic = self._heads["critic"].forward_with_cache(features[-1])
        self._forward = _Forward([cache for _, cache in dense], {"actor": actor, "critic": critic})
        return NetworkOutput(parameters, value[:, 0])

    def backward(
        self,
        by_parameters: F32 | None = None,
        by_value: F32 | None = None,
        by_penalties: Mapping[str, F32] | None = None,
    ) -> None:
        assert self._gradient is not None
        assert self._forward is not None
        dense, heads = self._forward
        for array in self._gradient.values():
            array.fill(0)
        by_heads = {
            "actor": by_parameters,
            "critic": None if by_value is None else by_value[:, None],
        }
        by_features: list[F32 | None] = [None] * len(dense)
        for part, by_output in by_heads.items():
            if by_output is not None:
                k = len(dense) - 1 if part == "critic" else 0
                by_feature = self._heads[part].backward(
                    heads[part], by_output, self._gradient, to_input=True
                )
                assert by_feature is not None
                other = by_features[k]
                by_features[k] = by_feature if other is None else other + by_feature
        has_layers = [len(cache.inputs) > 1 for cache in dense]
        by_dense = self._memory.backward(by_features, self._gradient, to_inputs=has_layers)
        for layer, cache, by_x in zip(self._dense, dense, by_dense, strict=True):
            if by_x is not None:
                layer.backward(cache, by_x, self._gradient)

    def _step(self, x: F32, state: State, trunks: int) -> tuple[F32, State]:
        """One step of the first trunks, from their state: features (trunks, n, memory)."""
        return self._memory.step([self._dense[k](self._seen(k, x)) for k in range(trunks)], state)

    def _seen(self, k: int, observation: F32) -> F32:
        """What a trunk sees."""
        whole = self._columns is None or k > 0
        return observation if whole else observation[:, self._columns]


class _Forward(NamedTuple):
    """What ``backward`` needs: caches of the hidden layers, by trunk, and of the linear ones."""

    dense: list[Cache]
    heads: dict[str, Cache]
