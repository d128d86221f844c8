"""What an update learns from: advantages for the actor and targets for the critic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from poolrl.algorithms.advantages import Values, explained_variance, standardized
from poolrl.algorithms.train_state import TrainState
from poolrl.config.learners import PPO, Reinforce

F32 = NDArray[np.float32]


class LearningSignals(NamedTuple):
    """Signals of n samples.

    Attributes:
        advantages: (n,), standardised if the hyper-parameters say so for an update.
        targets: (n,), for the critic's outputs: normalised if its values are.
        values: (n,), what the critic had predicted, in the unit of the targets.
        explained_variance: of the targets by the values that the critic had predicted.
    """

    advantages: F32
    targets: F32
    values: F32
    explained_variance: float


def learning_signals(
    state: TrainState, hp: PPO | Reinforce, advantages: Values, targets: Values, values: Values
) -> LearningSignals:
    """Prepare the signals of an update.

    With normalised values, the statistics are updated from the targets first, once an update, and
    then scale both: nothing after this depends on the unit of the rewards.

    Args:
        state: its statistics of values are updated.
        hp: of the learner.
        advantages, targets: (n,), in the unit of the rewards.
        values: (n,), what the critic had predicted, in that unit.
    """
    if state.normalizes_values:
        normalizer = state.update_value_statistics(targets)
        unit = normalizer.unit
        explained = explained_variance(values / unit, targets / unit)
        advantages = (advantages / unit).astype(np.float32)
        targets, values = normalizer.normalized(targets), normalizer.normalized(values)
    else:
        explained = explained_variance(values, targets)
    per_minibatch = isinstance(hp, PPO) and hp.advantage_batch == "minibatch"
    if hp.normalize_advantage and not per_minibatch:
        advantages = standardized(advantages, single=hp.standardize_single)
    return LearningSignals(advantages, targets, values, explained)


def penalty_gradients(penalties: Mapping[str, F32], weights: Mapping[str, float]) -> dict[str, F32]:
    """Derivatives of Σ weight · mean(penalty) by the penalties.

    Args:
        penalties: name -> (m,), of a network.
        weights: by name.
    """
    return {
        name: np.full(len(each), weights[name] / len(each), np.float32)
        for name, each in penalties.items()
    }
