"""Loss of the critic, and its derivative."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from poolrl.config.learners import PPO

F32 = NDArray[np.float32]


class ValueLoss(NamedTuple):
    """Loss of m samples.

    Attributes:
        loss: (m,).
        derivative: (m,), of each by its value.
    """

    loss: F32
    derivative: F32


def value_loss(values: F32, targets: F32, old_values: F32 | None, hp: PPO) -> ValueLoss:
    """The loss l(V − R), or max(l(V − R), l(V_old + clip(V − V_old, ±ε) − R)) with clipping.

    Args:
        values: (m,).
        targets: (m,).
        old_values: (m,), of the rollout; ``None`` without clipping.
        hp: ``value_loss`` is l, and ``value_clip_range`` ε.
    """
    own = _loss(values - targets, hp.value_loss)
    if old_values is None:
        return own
    change = values - old_values
    limit = np.float32(hp.value_clip_range)
    within = np.abs(change) < limit
    change = np.minimum(np.maximum(change, -limit), limit)
    clipped = _loss(old_values + change - targets, hp.value_loss)
    larger = own.loss >= clipped.loss
    return ValueLoss(
        np.where(larger, own.loss, clipped.loss),
        np.where(larger, own.derivative, clipped.derivative * within),
    )


def _loss(error: F32, kind: str) -> ValueLoss:
    square = error**2
    if kind == "squared":
        return ValueLoss(square, 2 * error)
    size = np.abs(error)
    near = size < 1
    half = np.float32(0.5)
    return ValueLoss(
        np.where(near, half * square, size - half), np.where(near, error, np.sign(error))
    )
