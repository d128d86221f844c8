"""Rollouts: the steps that an update learns from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from poolrl.errors import Divergence
from poolrl.networks.policy import Policy
from poolrl.rollouts.sampler import Episodes, Player, Transition

F32 = NDArray[np.float32]


class Rollout(NamedTuple):
    """T steps of n simulations.

    Attributes:
        observation: (T, n, observation size), not normalised.
        normalized: (T, n, observation size), as the policy saw it.
        sample: (T, n, …): the distribution's variables behind the actions.
        log_prob, value, reward: (T, n).
        ended: (T, n): the last steps of episodes, and of what there is of those that were cut.
        bootstrap: (T, n): where an episode was cut, by its time limit or by the rollout's end, the
            critic's value of the observation after its last step; 0 elsewhere.
        played: (T, n): False where a simulation had no episode left to play.
        episodes: those that ended in the rollout.
    """

    observation: F32
    normalized: F32
    sample: NDArray[Any]
    log_prob: F32
    value: F32
    reward: F32
    ended: NDArray[np.bool_]
    bootstrap: F32
    played: NDArray[np.bool_]
    episodes: Episodes


def collect(player: Player, policy: Policy, noise: np.random.Generator, limit: int = 0) -> Rollout:
    """Go on playing and keep every step.

    Args:
        player: plays the episodes.
        policy: chooses the actions.
        noise: the source of action noise.
        limit: stop after so many steps of all simulations, in the midst of episodes; 0 for the end.

    Raises:
        Divergence: a reward, an observation or a value is not finite, or a simulation became
            unstable.
    """
    steps = list(player.play(policy, noise, limit))
    observation = np.array([step.observation for step in steps], np.float32)
    played = np.array([step.played for step in steps])
    reward = np.array([step.reward for step in steps], np.float32)
    observation[~played], reward[~played] = 0, 0  # which mean nothing, and may be anything
    terminated = np.array([step.terminated for step in steps])
    ended = np.array([step.truncated for step in steps])
    cut = ended & ~terminated
    ended |= terminated
    cut[-1] |= ~ended[-1]
    ended[-1] = True
    shape = played.shape

    normalized = policy.normalized(observation.reshape(played.size, -1))
    value = policy.critic(normalized).reshape(shape)
    samples = np.array([step.act.sample for step in steps])
    parameters = np.array([step.act.parameters for step in steps])
    log_prob = policy.distribution.log_prob(
        parameters.reshape(played.size, -1), samples.reshape(played.size, *samples.shape[2:])
    )
    rollout = Rollout(
        observation=observation,
        normalized=normalized.reshape(observation.shape),
        sample=samples,
        log_prob=log_prob.reshape(shape),
        value=value,
        reward=reward,
        ended=ended,
        bootstrap=_bootstrap(policy, steps, cut & played),
        played=played,
        episodes=player.episodes(),
    )
    for name in ("observation", "reward", "value", "bootstrap"):
        if not np.isfinite(getattr(rollout, name)[played]).all():
            raise Divergence(f"{name} is not finite in training")
    return rollout


def _bootstrap(policy: Policy, steps: Sequence[Transition], cut: NDArray[np.bool_]) -> F32:
    """(T, n): the critic's value after the steps that ``cut`` marks."""
    bootstrap = np.zeros(cut.shape, np.float32)
    if cut.any():
        places = np.argwhere(cut).tolist()
        final = np.array([steps[t].final_observation[i] for t, i in places])
        bootstrap[cut] = policy.value(final)
    return bootstrap
