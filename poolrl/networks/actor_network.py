"""The actor of an agent whose critic values actions: what acting and evaluating need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from poolrl.config.networks import QMLPSpec
from poolrl.networks.base import Inputs, Network, NetworkOutput, State
from poolrl.networks.mlp import MLP

F32 = NDArray[np.float32]


class ActorNetwork(Network):
    """An actor as a perceptron in NumPy; its learner trains it with a critic that this one lacks.

    Args:
        arrays: named tensors of an agent.
        spec: architecture.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]], spec: QMLPSpec) -> None:
        self._actor = MLP(arrays, "actor", len(spec.actor) + 1, spec.activation)

    def act(self, observation: F32, state: State, noise: F32 | None = None) -> tuple[F32, State]:
        return self._actor(observation), ()

    def step(
        self, observation: F32, state: State, noise: F32 | None = None
    ) -> tuple[NetworkOutput, State]:
        self._refuse()

    def forward(self, inputs: Inputs) -> NetworkOutput:
        self._refuse()

    def backward(
        self,
        by_parameters: F32 | None = None,
        by_value: F32 | None = None,
        by_penalties: Mapping[str, F32] | None = None,
    ) -> None:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise TypeError("a critic of actions has no value of an observation alone")
