"""Values Q(s, a) of several actions in each observation, for targets, without derivatives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poolrl.networks.activations import ACTIVATIONS

F32 = NDArray[np.float32]


class ActionValues:
    """A perceptron of an observation and an action, over shared arrays, which are not copied.

    The part of the first layer that depends on the observation is computed once for all of its
    actions. The rest is computed for one action of all observations after another, so that the
    outputs of a layer are read while they are in a core's cache.

    Args:
        arrays: as for ``poolrl.networks.mlp.MLP``; the inputs are the observation's values and then
            the action's.
        name: of the network in ``arrays``.
        layers: number of linear layers.
        activation: a key of ``ACTIVATIONS``.
    """

    def __init__(
        self, arrays: Mapping[str, NDArray[Any]], name: str, layers: int, activation: str
    ) -> None:
        names = [f"{name}.{2 * i}" for i in range(layers)]
        self._weights: list[F32] = [arrays[f"{each}.weight"].T for each in names]
        self._biases: list[F32] = [arrays[f"{each}.bias"] for each in names]
        self._apply = ACTIVATIONS[activation].apply

    def __call__(self, observation: F32, actions: F32) -> F32:
        """Values of actions.

        Args:
            observation: (n, observation size), normalised.
            actions: (k, n, action size).

        Returns:
            (k, n).
        """
        size = observation.shape[1]
        first, *others = self._weights
        of_observation = observation @ first[:size]
        of_observation += self._biases[0]
        of_action = first[size:]
        values = np.empty(actions.shape[:2], np.float32)
        outputs = [np.empty((len(observation), len(b)), np.float32) for b in self._biases]
        for row, action in zip(values, actions, strict=True):
            x = np.matmul(action, of_action, out=outputs[0])
            x += of_observation
            for weight, bias, output in zip(others, self._biases[1:], outputs[1:], strict=True):
                self._apply(x)
                x = np.matmul(x, weight, out=output)
                x += bias
            row[...] = x[:, 0]
        return values
