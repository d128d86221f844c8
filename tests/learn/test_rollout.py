"""Episodes: exactly those that were asked for, whatever the number of simulations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from gymnasium.spaces import Box
from hypothesis import given
from hypothesis import strategies as st

from poolrl.errors import Divergence
from poolrl.learn.evaluate import evaluate, summarize
from poolrl.learn.rollout import collect
from poolrl.policy.acting import Act
from poolrl.tasks.base import Ids, StepResult, Task


class Counting(Task):
    """Episodes whose length and identity come from their generator; reward 1 a step.

    The observation is (identity, step), so that a rollout shows who played what and when.
    """

    observation_space = Box(-np.inf, np.inf, (2,), np.float64)
    action_space = Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self, num_simulations: int, limit: int = 6) -> None:
        self.num_simulations = num_simulations
        self.max_episode_steps = limit
        self._length = np.zeros(num_simulations, int)
        self._identity = np.zeros(num_simulations)
        self._elapsed = np.zeros(num_simulations, int)
        self.started: list[float] = []

    def reset(self, ids: Ids, generators: Sequence[np.random.Generator]) -> None:
        for i, generator in zip(ids, generators, strict=True):
            self._identity[i] = generator.random()
            self._length[i] = generator.integers(1, 10)
            self.started.append(self._identity[i])
        self._elapsed[ids] = 0

    def observe(self) -> np.ndarray:
        return np.stack([self._identity, self._elapsed.astype(float)], axis=1)

    def step(self, action: np.ndarray, ids: Ids | None = None) -> StepResult:
        advanced = np.arange(self.num_simulations) if ids is None else ids
        self._elapsed[advanced] += 1
        return StepResult(
            self.observe(),
            np.ones(self.num_simulations),
            self._elapsed >= self._length,
            self._elapsed >= self.max_episode_steps,
        )


class Still:
    """Acts without a network."""

    def act(self, observation: np.ndarray, *_: object, generator: object = None) -> Act:
        zeros = np.zeros((len(observation), 1), np.float32)
        return Act(zeros, zeros, zeros[:, 0], zeros[:, 0], ())

    def value(self, observation: np.ndarray, state: object = ()) -> np.ndarray:
        return observation[:, 1].astype(np.float32)


class Actor(Still):
    def act(self, observation, state=(), episode_start=None, generator=None):  # type: ignore[no-untyped-def]
        return super().act(observation)


def resets(episodes: int) -> list[np.random.Generator]:
    return [np.random.default_rng(i) for i in range(episodes)]


def expected(episodes: int, limit: int = 6) -> tuple[list[float], list[int]]:
    identities, lengths = [], []
    for generator in resets(episodes):
        identities.append(generator.random())
        lengths.append(min(int(generator.integers(1, 10)), limit))
    return identities, lengths


@given(st.integers(1, 20), st.integers(1, 8))
def test_every_episode_is_played_once_and_in_order(episodes: int, simulations: int) -> None:
    task = Counting(simulations)
    played = evaluate(Actor(), task, resets(episodes))
    identities, lengths = expected(episodes)
    assert task.started == identities
    assert played.lengths.tolist() == lengths
    assert played.returns.tolist() == lengths


@given(st.integers(1, 20), st.integers(1, 8))
def test_a_rollout_holds_every_step_once(episodes: int, simulations: int) -> None:
    rollout = collect(Actor(), Counting(simulations), resets(episodes), np.random.default_rng(0))
    identities, lengths = expected(episodes)
    assert rollout.episodes.lengths.tolist() == lengths
    steps = rollout.observation[rollout.played]
    assert len(steps) == sum(lengths)
    for identity, length in zip(identities, lengths, strict=True):
        own = steps[steps[:, 0] == np.float32(identity)]
        assert sorted(own[:, 1].tolist()) == list(range(length))
    ends = (rollout.terminated | rollout.truncated) & rollout.played
    assert ends.sum() == episodes


def test_a_time_limit_is_bootstrapped_and_an_end_is_not() -> None:
    rollout = collect(Actor(), Counting(4), resets(20), np.random.default_rng(0))
    cut = rollout.truncated & ~rollout.terminated & rollout.played
    assert cut.any()
    assert (rollout.bootstrap[cut] == 6).all()  # the critic's value of the last observation
    assert (rollout.bootstrap[rollout.played & ~cut] == 0).all()


def test_nan_is_divergence() -> None:
    class Bad(Counting):
        def step(self, action: np.ndarray, ids: Ids | None = None) -> StepResult:
            return super().step(action, ids)._replace(reward=np.full(self.num_simulations, np.nan))

    with pytest.raises(Divergence):
        evaluate(Actor(), Bad(2), resets(3))
    with pytest.raises(Divergence):
        collect(Actor(), Bad(2), resets(3), np.random.default_rng(0))


def test_an_unstable_simulation_is_divergence() -> None:
    class Unstable(Counting):
        def diverged(self) -> np.ndarray:
            return np.ones(self.num_simulations, bool)

    with pytest.raises(Divergence, match="unstable"):
        evaluate(Actor(), Unstable(2), resets(3))


def test_the_interval_is_students() -> None:
    summary = summarize(np.array([1.0, 2.0, 3.0, 4.0]), np.array([5, 5, 5, 9]), deterministic=True)
    assert summary.mean == 2.5
    assert summary.std == pytest.approx(1.2909944)
    half = 3.1824463 * 1.2909944 / 2
    assert (summary.ci95_low, summary.ci95_high) == pytest.approx((2.5 - half, 2.5 + half))
    assert (summary.min, summary.max, summary.episodes, summary.mean_length) == (1, 4, 4, 6)
    single = summarize(np.array([3.0]), np.array([5]), deterministic=False)
    assert (single.std, single.ci95_low, single.ci95_high) == (0, 3, 3)
