"""Checks of new pools alone: what cannot work, though a pool of an earlier version may have it."""

from __future__ import annotations

from poolrl.agent import Agent
from poolrl.algorithms.schedules import LARGEST_RATE, SMALLEST_RATE
from poolrl.config.exploration import OrnsteinUhlenbeckSpec
from poolrl.config.learners import PPO, Learner
from poolrl.config.schema import Spec
from poolrl.errors import UsageError


def check_new(spec: Spec, learner: Learner) -> None:
    """Check a new pool.

    Args:
        spec: of the pool.
        learner: with the hyper-parameters of a branch.

    Raises:
        UsageError: noise grows without bound, or the learning rate starts where it may not be;
            names the key.
    """
    noise = spec.exploration
    if isinstance(noise, OrnsteinUhlenbeckSpec) and noise.theta * noise.dt >= 2:
        raise UsageError(
            f"exploration.theta: {noise.theta:g} times exploration.dt = {noise.dt:g} must be below "
            "2, or the noise grows without bound"
        )
    if not isinstance(learner, PPO) or not learner.adaptive_kl:
        return
    if not SMALLEST_RATE <= learner.learning_rate <= LARGEST_RATE:
        raise UsageError(
            f"learner.learning_rate: {learner.learning_rate:g}, but learner.adaptive_kl keeps it "
            f"within {SMALLEST_RATE:g} and {LARGEST_RATE:g}"
        )


def check_first_agent(learner: Learner, agent: Agent) -> None:
    """Check that a learning rate that falls to zero has not done so for the agent to start from.

    Args:
        learner: with the hyper-parameters of a branch.
        agent: that a new pool starts from.

    Raises:
        UsageError: it would never learn; names the key.
    """
    if not isinstance(learner, PPO) or learner.learning_rate_schedule != "linear":
        return
    steps = agent.metadata.environment_steps
    if not learner.schedule_end and steps >= learner.schedule_steps:
        raise UsageError(
            f"learner.schedule_steps: {learner.schedule_steps:,}, after which the learning rate is "
            f"0, and the agent to start from has {steps:,} steps behind it"
        )
