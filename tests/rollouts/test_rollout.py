"""Episodes: exactly those that were asked for, whatever the number of simulations."""

from __future__ import annotations

from itertools import count

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolrl.algorithms.advantages import generalized_advantages
from poolrl.errors import Divergence
from poolrl.networks.policy import PolicyOutput
from poolrl.rollouts.evaluation import evaluate, summarize
from poolrl.rollouts.rollout import Rollout, collect
from poolrl.rollouts.sampler import Budget, Sampler
from poolrl.tasks.base import Ids, StepResult, Task
from tests.helpers.counting_task import Counting


class NoDensity:
    def log_prob(self, parameters: np.ndarray, sample: np.ndarray) -> np.ndarray:
        return np.zeros(len(sample), np.float32)


class Still:
    """Zero actions without a network; the value of an observation is its step."""

    distribution = NoDensity()
    observation_type = value_type = np.float32

    def act(self, observation, state=(), episode_start=None, generator=None):  # type: ignore[no-untyped-def]
        zeros = np.zeros((len(observation), 1), np.float32)
        return PolicyOutput(zeros, zeros, zeros, ())

    def normalized(self, observation: np.ndarray) -> np.ndarray:
        return observation.astype(np.float32)

    @property
    def network(self) -> Still:
        return self

    def values(self, x: np.ndarray, state: tuple[()], noise: None = None) -> np.ndarray:
        return x[:, 1]

    def denormalized(self, value: np.ndarray) -> np.ndarray:
        return value

    def value(self, observation: np.ndarray, state: tuple[()] = ()) -> np.ndarray:
        return self.values(self.normalized(observation), state)


def rollout_of(task: Task, budget: Budget) -> Rollout:
    sampler = Sampler(task, map(np.random.default_rng, count()), budget)
    return collect(sampler, Still(), np.random.default_rng(0))  # type: ignore[arg-type]


def resets(episodes: int) -> list[np.random.Generator]:
    return [np.random.default_rng(i) for i in range(episodes)]


def expected(episodes: int, limit: int = 6) -> tuple[list[float], list[int]]:
    identities, lengths = [], []
    for generator in resets(episodes):
        identities.append(generator.random())
        lengths.append(min(int(generator.integers(1, 10)), limit))
    return identities, lengths


def drawn_lengths(episodes: int) -> list[int]:
    return expected(episodes, limit=100)[1]


@given(st.integers(1, 20), st.integers(1, 8))
def test_every_episode_is_run_once_and_in_order(episodes: int, simulations: int) -> None:
    task = Counting(simulations)
    results = evaluate(Still(), task, resets(episodes))
    identities, lengths = expected(episodes)
    assert task.started == identities
    assert results.lengths.tolist() == lengths
    assert results.returns.tolist() == lengths


@given(st.integers(1, 20), st.integers(1, 8))
def test_a_rollout_holds_every_step_once(episodes: int, simulations: int) -> None:
    rollout = rollout_of(Counting(simulations), Budget(episodes))
    identities, lengths = expected(episodes)
    assert rollout.episodes.lengths.tolist() == lengths
    steps = rollout.observation[rollout.valid]
    assert len(steps) == sum(lengths)
    for identity, length in zip(identities, lengths, strict=True):
        own = steps[steps[:, 0] == np.float32(identity)]
        assert sorted(own[:, 1].tolist()) == list(range(length))
    assert (rollout.ended & rollout.valid).sum() == episodes


def test_a_time_limit_is_bootstrapped_and_an_end_is_not() -> None:
    rollout = rollout_of(Counting(4), Budget(20))
    # An episode of length 6 is cut by the limit unless it ends there by itself.
    cut = [length for length in drawn_lengths(20) if length > 6]
    assert len(cut) > 3
    assert rollout.bootstrap.sum() == 6 * len(cut)  # the critic's value of the last observation
    assert set(rollout.bootstrap[~rollout.ended].tolist()) == {0.0}


@given(st.integers(1, 60), st.integers(1, 5), st.integers(0, 3))
def test_a_budget_of_steps_starts_no_episode_too_many(
    steps: int, simulations: int, limit: int
) -> None:
    """Episodes start in order until the steps are taken; those in progress run to their end."""
    task = Counting(simulations)
    taken_at_start = []

    def reset(episode: int) -> np.random.Generator:
        taken_at_start.append(sampler.steps_taken if episode >= simulations else 0)
        return np.random.default_rng(episode)

    sampler = Sampler(task, map(reset, count()), Budget(steps=steps))
    rows = 0
    while not sampler.done:
        rows += sum(int(step.valid.sum()) for step in sampler.steps(Still(), limit=limit))
    identities, lengths = expected(len(task.started))
    assert task.started == identities
    assert sampler.pop_episodes().lengths.tolist() == lengths
    assert sampler.steps_taken == rows == sum(lengths) >= steps
    assert max(taken_at_start) < steps


def test_segments_cut_episodes_and_continue() -> None:
    task = Counting(3)
    sampler = Sampler(task, map(np.random.default_rng, count()), Budget(episodes=10))
    parts = []
    while not sampler.done:
        parts.append(collect(sampler, Still(), np.random.default_rng(0), 4))  # type: ignore[arg-type]
    whole = rollout_of(Counting(3), Budget(10))
    assert all(len(part.reward) == 4 for part in parts[:-1])
    together = [
        np.concatenate([getattr(p, name) for p in parts]) for name in ("observation", "valid")
    ]
    assert np.array_equal(together[0], whole.observation)
    assert np.array_equal(together[1], whole.valid)
    lengths = np.concatenate([part.episodes.lengths for part in parts])
    assert sorted(lengths.tolist()) == sorted(whole.episodes.lengths.tolist())
    # An episode cut within the segment is bootstrapped with the critic's value of the next
    # observation.
    first = parts[0]
    in_progress = parts[1].observation[0, :, 1] > 0
    assert first.ended[-1].all()
    assert in_progress.any()
    assert (first.bootstrap[-1, in_progress] == parts[1].observation[0, in_progress, 1]).all()


def test_invalid_rows_may_be_anything() -> None:
    class Idle(Counting):
        def step(self, action: np.ndarray, ids: Ids | None = None) -> StepResult:
            result = super().step(action, ids)
            for row in set(range(self.num_simulations)) - set(range(99) if ids is None else ids):
                result.observation[row], result.reward[row] = np.nan, np.nan
            return result

    rollout, clean = rollout_of(Idle(4), Budget(6)), rollout_of(Counting(4), Budget(6))
    assert not rollout.valid.all()
    advantage = generalized_advantages(
        rollout.reward, rollout.value, rollout.ended, rollout.bootstrap, 0.9, 0.9
    )
    assert np.isfinite(advantage[rollout.valid]).all()
    assert np.array_equal(rollout.reward[rollout.valid], clean.reward[clean.valid])


def test_nan_is_divergence() -> None:
    class Bad(Counting):
        def step(self, action: np.ndarray, ids: Ids | None = None) -> StepResult:
            return super().step(action, ids)._replace(reward=np.full(self.num_simulations, np.nan))

    with pytest.raises(Divergence):
        evaluate(Still(), Bad(2), resets(3))
    with pytest.raises(Divergence):
        rollout_of(Bad(2), Budget(3))


def test_an_unstable_simulation_is_divergence() -> None:
    class Unstable(Counting):
        def diverged(self) -> np.ndarray:
            return np.ones(self.num_simulations, bool)

    with pytest.raises(Divergence, match="unstable"):
        evaluate(Still(), Unstable(2), resets(3))


def test_the_interval_is_students() -> None:
    summary = summarize(np.array([1.0, 2.0, 3.0, 4.0]), np.array([5, 5, 5, 9]), deterministic=True)
    assert summary.mean == 2.5
    assert summary.std == pytest.approx(1.2909944)
    half = 3.1824463 * 1.2909944 / 2
    assert (summary.ci95_low, summary.ci95_high) == pytest.approx((2.5 - half, 2.5 + half))
    assert (summary.min, summary.max, summary.episodes, summary.mean_length) == (1, 4, 4, 6)
    single = summarize(np.array([3.0]), np.array([5]), deterministic=False)
    assert (single.std, single.ci95_low, single.ci95_high) == (0, 3, 3)
