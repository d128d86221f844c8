"""Hyper-parameters that change in the course of training."""

from __future__ import annotations

from poolrl.config.learners import Schedule

SMALLEST_RATE, LARGEST_RATE = 1e-6, 1e-2
RATE_FACTOR = 1.5


def scheduled(start: float, kind: Schedule, steps: int, end_steps: int, end: float) -> float:
    """The value of a hyper-parameter after a number of steps.

    Args:
        start: its value at first.
        kind: of the schedule.
        steps: control steps of training so far.
        end_steps: steps at which the schedule ends.
        end: fraction of ``start`` that it ends with.
    """
    if kind == "constant":
        return start
    share = min(1.0, steps / end_steps)
    if kind == "linear":
        return start * (1 + share * (end - 1))
    return float(start * end**share)


def adapted(rate: float, kl: float, target: float) -> float:
    """The learning rate after an epoch, by the KL divergence of its policy from the rollout's.

    Args:
        rate: before.
        kl: estimate of the divergence.
        target: that it should have been.
    """
    if kl > 2 * target:
        return max(rate / RATE_FACTOR, SMALLEST_RATE)
    if kl < target / 2:
        return min(rate * RATE_FACTOR, LARGEST_RATE)
    return rate
