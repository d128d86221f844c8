"""Rollouts: the samples of one update."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from poolrl.errors import Divergence
from poolrl.networks.base import State
from poolrl.networks.policy import Policy
from poolrl.rollouts.sampler import Episodes, Sampler, Transition

F32 = NDArray[np.float32]


class Rollout(NamedTuple):
    """T steps of n simulations.

    Attributes:
        observation: (T, n, observation size), not normalised; float64 if the policy's normaliser
            computes in it.
        normalized: (T, n, observation size), the input of the networks.
        sample: (T, n, …): the distribution's variables behind the actions.
        log_prob: (T, n).
        value, reward: (T, n), in the unit of the rewards; float64 if the critic's values are
            normalised, which leaves no reward too large or too small.
        ended: (T, n): the last step of an episode, or of the part of it in this rollout.
        bootstrap: (T, n): where an episode was cut, by its time limit or by the rollout's end, the
            critic's value of the observation after its last step; 0 elsewhere.
        valid: (T, n): False where a simulation had no episode left to run.
        goes_on: (n,): True where the next rollout goes on with the last episode of this one.
        episodes: those that ended in this rollout.
        states: memory before each step, arrays of shape (T, n, …); empty for networks without.
        noise: (T, n, noise size), of the network; ``None`` without.
    """

    observation: NDArray[np.floating]
    normalized: F32
    sample: NDArray[Any]
    log_prob: F32
    value: NDArray[np.floating]
    reward: NDArray[np.floating]
    ended: NDArray[np.bool_]
    bootstrap: NDArray[np.floating]
    valid: NDArray[np.bool_]
    goes_on: NDArray[np.bool_]
    episodes: Episodes
    states: State = ()
    noise: F32 | None = None


STEP_ARRAYS = ("observation", "sample", "log_prob", "value", "reward", "ended", "bootstrap")
"""Names of the arrays, shape (T, n, …), that every rollout has and that no other one follows
from."""


def collect(
    sampler: Sampler, policy: Policy, generator: np.random.Generator, limit: int = 0
) -> Rollout:
    """Continue sampling and store every step.

    Args:
        sampler: runs the episodes.
        policy: chooses the actions.
        generator: source of action noise.
        limit: number of steps of every simulation, possibly ending within episodes; 0 for the whole
            budget of the sampler.

    Raises:
        Divergence: a reward, an observation or a value is not finite, or a simulation became
            unstable.
    """
    steps = list(sampler.steps(policy, generator, limit))
    observation = np.array([step.observation for step in steps], policy.observation_type)
    valid = np.array([step.valid for step in steps])
    reward = np.array([step.reward for step in steps], policy.value_type)
    observation[~valid], reward[~valid] = 0, 0  # a task may leave NaN there
    terminated = np.array([step.terminated for step in steps])
    ended = np.array([step.truncated for step in steps])
    cut = ended & ~terminated
    ended |= terminated
    goes_on = ~ended[-1] & valid[-1]
    cut[-1] |= ~ended[-1]
    ended[-1] = True
    shape = valid.shape

    normalized = policy.normalized(observation.reshape(valid.size, -1))
    outputs = [step.output for step in steps]
    noise = None if outputs[0].noise is None else np.array([each.noise for each in outputs])
    if outputs[0].value is None:
        flat = None if noise is None else noise.reshape(valid.size, -1)
        value = policy.denormalized(policy.network.values(normalized, (), flat)).reshape(shape)
    else:
        value = policy.denormalized(np.array([output.value for output in outputs]))
    samples = np.array([output.sample for output in outputs])
    parameters = np.array([output.parameters for output in outputs])
    log_prob = policy.distribution.log_prob(
        parameters.reshape(valid.size, -1), samples.reshape(valid.size, *samples.shape[2:])
    )
    rollout = Rollout(
        observation=observation,
        normalized=normalized.reshape(observation.shape),
        sample=samples,
        log_prob=log_prob.reshape(shape),
        value=value,
        reward=reward,
        ended=ended,
        bootstrap=_bootstrap(policy, steps, cut & valid),
        valid=valid,
        goes_on=goes_on,
        episodes=sampler.pop_episodes(),
        states=tuple(map(np.array, zip(*(output.before for output in outputs), strict=True))),
        noise=noise,
    )
    for name in ("observation", "reward", "value", "bootstrap"):
        if not np.isfinite(getattr(rollout, name)[valid]).all():
            raise Divergence(f"{name} is not finite in training")
    return rollout


def joined(rollouts: Sequence[Rollout]) -> Rollout:
    """Join rollouts of one policy, as one rollout of all their simulations.

    Shorter ones are padded at their end with steps that are not valid. Episodes that are in
    progress at the end of a rollout were cut there: none goes on in a later one.

    Args:
        rollouts: at least one, with simulations in the order of the result.
    """
    length = max(len(each.valid) for each in rollouts)
    first = rollouts[0]

    def side_by_side(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
        width = sum(array.shape[1] for array in arrays)
        whole = np.zeros((length, width, *arrays[0].shape[2:]), arrays[0].dtype)
        start = 0
        for array in arrays:
            whole[: len(array), start : start + array.shape[1]] = array
            start += array.shape[1]
        return whole

    named = {name: side_by_side([getattr(r, name) for r in rollouts]) for name in STEP_ARRAYS}
    episodes = [each.episodes for each in rollouts]
    return Rollout(
        **named,
        normalized=side_by_side([each.normalized for each in rollouts]),
        valid=side_by_side([each.valid for each in rollouts]),
        goes_on=np.zeros(sum(each.valid.shape[1] for each in rollouts), np.bool_),
        episodes=Episodes(
            np.concatenate([each.returns for each in episodes]),
            np.concatenate([each.lengths for each in episodes]),
        ),
        states=tuple(map(side_by_side, zip(*(each.states for each in rollouts), strict=True))),
        noise=None
        if first.noise is None
        else side_by_side([r.noise for r in rollouts if r.noise is not None]),
    )


def _bootstrap(
    policy: Policy, steps: Sequence[Transition], cut: NDArray[np.bool_]
) -> NDArray[np.floating]:
    """The critic's value, shape (T, n), of the observations after the steps in ``cut``."""
    bootstrap = np.zeros(cut.shape, policy.value_type)
    if cut.any():
        indices = np.argwhere(cut).tolist()
        final = np.array([steps[t].final_observation[i] for t, i in indices])
        # The memory after the last step of an episode; the next step resets it.
        memory = zip(
            *([part[i] for part in steps[t].output.state] for t, i in indices), strict=True
        )
        bootstrap[cut] = policy.value(final, tuple(map(np.array, memory)))
    return bootstrap
