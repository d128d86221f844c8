"""Actor and critic Q(s, a) in training, with target networks and dual variables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poolrl.algorithms.parameter_group import ParameterGroup
from poolrl.config.networks import QMLPSpec
from poolrl.networks.action_values import ActionValues
from poolrl.networks.mlp import MLP
from poolrl.networks.parameters import DUAL_PREFIX, TARGET_PREFIX

F32 = NDArray[np.float32]

ADAM_EPSILON = 1e-8


class ActorCritic:
    """Networks over copies of an agent's arrays, which updates change in place.

    Args:
        arrays: named as in an agent.
        spec: architecture.

    Attributes:
        arrays: of actor, critic, their targets and the dual variables, by name.
        actor, critic, target_actor: perceptrons of normalised observations; the critic's input is
            the observation and then the action, in units of the sample.
        target_critic: of several actions in each observation.
        groups: ``actor``, ``critic`` and ``dual``, each with its optimiser.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]], spec: QMLPSpec) -> None:
        own = {
            name: [each for each in arrays if each.startswith(f"{name}.")]
            for name in ("actor", "critic")
        }
        duals = [name for name in arrays if name.startswith(DUAL_PREFIX)]
        sizes = [sum(arrays[name].size for name in names) for names in own.values()]
        # Online networks and targets are vectors of the same layout, for one step of the targets.
        self._online, self._target = (np.empty(sum(sizes), np.float32) for _ in range(2))
        dual = np.empty(sum(arrays[name].size for name in duals), np.float32)
        vectors = {
            "actor": (own["actor"], self._online[: sizes[0]]),
            "critic": (own["critic"], self._online[sizes[0] :]),
            "dual": (duals, dual),
        }
        self.groups = {
            group: ParameterGroup(arrays, names, vector, ADAM_EPSILON)
            for group, (names, vector) in vectors.items()
        }
        self.arrays = {n: a for group in self.groups.values() for n, a in group.arrays.items()}
        start = 0
        for name in own["actor"] + own["critic"]:
            target, end = f"{TARGET_PREFIX}{name}", start + arrays[name].size
            self.arrays[target] = self._target[start:end].reshape(arrays[name].shape)
            self.arrays[target][...] = arrays[target]
            start = end
        actor, critic = len(spec.actor) + 1, len(spec.critic) + 1
        self.actor = MLP(self.arrays, "actor", actor, spec.activation)
        self.critic = MLP(self.arrays, "critic", critic, spec.activation)
        self.target_actor = MLP(self.arrays, f"{TARGET_PREFIX}actor", actor, spec.activation)
        self.target_critic = ActionValues(
            self.arrays, f"{TARGET_PREFIX}critic", critic, spec.activation
        )

    def step_targets(self, rate: float) -> None:
        """Move the targets by a rate of their distance to the networks."""
        self._target *= np.float32(1 - rate)
        self._target += np.float32(rate) * self._online
