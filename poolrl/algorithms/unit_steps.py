"""Policy gradient steps of unit length for linear policies, one sample after another."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from poolrl.algorithms.train_state import TrainState

F32 = NDArray[np.float32]


def unit_steps(
    state: TrainState, observations: F32, samples: NDArray[Any], advantages: F32, rate: float
) -> None:
    """Move each output's weights w by rate · δ · ∇p/‖∇p‖, sample by sample, where p is the density
    of the action that was taken (RLAI's REINFORCE).

    Since an output is w · (x, 1), its gradient is (x, 1) times the derivative of p by it, of which
    normalisation leaves the sign.

    Args:
        state: its policy is linear; updated in place.
        observations: (m, observation size), normalised, in the order of time.
        samples: (m, …), of the actions' distribution.
        advantages: (m,), δ.
        rate: step size.
    """
    distribution = state.policy.distribution
    weight, bias = state.arrays["actor.0.weight"], state.arrays["actor.0.bias"]
    lengths = np.sqrt(np.square(observations).sum(axis=1) + 1)
    steps = np.float32(rate) * advantages / lengths
    for x, sample, step in zip(observations, samples, steps, strict=True):
        parameters = (weight @ x + bias)[None]
        _, by_parameters = distribution.log_prob_gradient(parameters, sample[None])
        direction = step * np.sign(by_parameters[0])
        weight += direction[:, None] * x
        bias += direction
