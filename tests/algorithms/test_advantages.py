"""Returns and advantages against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolrl.algorithms.advantages import discounted_returns, generalized_advantages


@given(st.integers(1, 12), st.integers(0, 10_000), st.floats(0, 1), st.floats(0, 1))
def test_advantages_follow_the_definition(T: int, seed: int, gamma: float, lam: float) -> None:
    rng = np.random.default_rng(seed)
    reward, value, after = rng.normal(size=(3, T, 2)).astype(np.float32)
    terminated = rng.random((T, 2)) < 0.2
    truncated = (rng.random((T, 2)) < 0.2) & ~terminated
    truncated[-1] |= ~terminated[-1]
    bootstrap = np.where(truncated, after, np.float32(0))
    ended = terminated | truncated
    got = generalized_advantages(reward, value, ended, bootstrap, gamma, lam)
    for n in range(2):
        for t in range(T):
            expected, weight = 0.0, 1.0
            for k in range(t, T):
                following = bootstrap[k, n] if ended[k, n] else value[k + 1, n]
                expected += weight * (reward[k, n] + gamma * following - value[k, n])
                weight *= gamma * lam
                if ended[k, n]:
                    break
            assert got[t, n] == pytest.approx(expected, abs=1e-4)


def test_lambda_one_gives_monte_carlo_returns() -> None:
    rng = np.random.default_rng(0)
    reward, value = rng.normal(size=(2, 20, 3)).astype(np.float32)
    ended = np.zeros((20, 3), bool)
    ended[[7, -1]] = True
    nothing = np.zeros((20, 3), np.float32)
    advantage = generalized_advantages(reward, value, ended, nothing, 0.9, 1.0)
    returns = discounted_returns(reward, ended, 0.9)
    assert advantage + value == pytest.approx(returns, abs=1e-5)


def test_undiscounted_returns_are_sums() -> None:
    reward = np.ones((5, 1), np.float32)
    ended = np.array([[False], [True], [False], [False], [True]])
    returns = discounted_returns(reward, ended, 1.0)
    assert returns[:, 0].tolist() == [2, 1, 3, 2, 1]
