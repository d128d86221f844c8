"""Division of a rollout into minibatches of steps and of sequences."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from poolrl.rollouts.minibatches import Minibatches
from poolrl.rollouts.rollout import Rollout
from poolrl.rollouts.sampler import Episodes


def rollout(steps: int, simulations: int, seed: int, *, memory: bool) -> Rollout:
    """Episodes at random; each observation is (simulation, episode, step), as is the memory."""
    rng = np.random.default_rng(seed)
    shape = steps, simulations
    ended = rng.random(shape) < 0.2
    ended[-1] = True
    valid = np.ones(shape, bool)
    for i in range(simulations):  # no episode left after one of them has ended
        valid[rng.integers(1, steps + 1) :, i] = False
    label = np.zeros((*shape, 3), np.float32)
    for i in range(simulations):
        episode = step = 0
        for t in range(steps):
            label[t, i] = i, episode, step
            episode, step = (episode + 1, 0) if ended[t, i] else (episode, step + 1)
    zeros = np.zeros(shape, np.float32)
    return Rollout(
        observation=label,
        normalized=label,
        sample=zeros,
        log_prob=zeros,
        value=zeros,
        reward=zeros,
        ended=ended,
        bootstrap=zeros,
        valid=valid,
        goes_on=np.zeros(simulations, bool),
        episodes=Episodes(np.zeros(0), np.zeros(0, np.int64)),
        states=(label,) if memory else (),
        noise=label[..., :1],
    )


SIZES = st.integers(1, 30), st.integers(1, 5), st.integers(1, 12), st.integers(0, 99)


@given(*SIZES)
def test_steps_come_once_in_the_permutations_order(
    steps: int, simulations: int, size: int, seed: int
) -> None:
    data = rollout(steps, simulations, seed, memory=False)
    parts = list(Minibatches(data, 7).epoch(size, np.random.default_rng(seed)))
    samples = data.normalized[data.valid]
    order = np.random.default_rng(seed).permutation(len(samples))
    assert [len(part.rows) for part in parts[:-1]] == [size] * (len(parts) - 1)
    assert np.array_equal(np.concatenate([part.rows for part in parts]), order)
    for rows, inputs in parts:
        assert np.array_equal(inputs.observation, samples[rows])
        assert inputs.noise is not None
        assert np.array_equal(inputs.noise, samples[rows, :1])
        assert inputs.sequences is None


@given(*SIZES, st.integers(1, 8))
def test_sequences_come_once_and_within_episodes(
    steps: int, simulations: int, size: int, seed: int, longest: int
) -> None:
    data = rollout(steps, simulations, seed, memory=True)
    minibatches = Minibatches(data, longest)
    samples = data.normalized[data.valid]
    parts = list(minibatches.epoch(size, np.random.default_rng(seed)))
    for each in (parts, [minibatches.whole()]):
        rows = np.concatenate([part.rows for part in each])
        assert sorted(rows.tolist()) == list(range(len(samples)))
    for number, (rows, inputs) in enumerate(parts):
        assert inputs.sequences is not None
        lengths = inputs.sequences.lengths
        assert len(rows) == lengths.sum()
        if number < len(parts) - 1:  # it ends with the sequence that reaches the size
            assert len(rows) >= size > len(rows) - lengths[-1]
        assert lengths.max() <= longest
        starts = np.cumsum(lengths) - lengths
        for start, length, state in zip(starts, lengths, inputs.sequences.state[0], strict=True):
            own = samples[rows[start : start + length]]
            assert np.array_equal(state, own[0])  # the memory before its first step
            assert own[0, 2] % longest == 0  # an episode is cut from its start
            assert np.array_equal(own - own[0], np.outer(np.arange(length), [0, 0, 1]))
