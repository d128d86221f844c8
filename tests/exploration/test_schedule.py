"""Whose turn it is: DEP's or the policy's."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import numpy as np
import pytest

from poolrl.config.exploration import DEPSpec
from poolrl.exploration.schedule import Schedule, Turn
from poolrl.seeding import Purpose, Streams

ALL = np.arange(4)


def started(num_envs: int = 4, first: int = 0, **keys: Any) -> Schedule:
    schedule = Schedule(num_envs, DEPSpec(**keys))
    episodes = np.arange(first, first + num_envs)
    streams = [Streams(1).generator(Purpose.EXPLORE, number) for number in episodes.tolist()]
    schedule.start(np.arange(num_envs), episodes, streams)
    return schedule


def turns(schedule: Schedule, count: int, start: int = 0) -> list[Turn]:
    return [schedule.step(ALL, start + t) for t in range(count)]


def test_pure() -> None:
    for turn in turns(started(mode="pure", greedy_every=1), 20):
        assert turn.acts.all()
        assert turn.senses.all()


@pytest.mark.parametrize("mode", ["prefill", "alternating", "stochastic"])
def test_prefill(mode: str) -> None:
    schedule = started(mode=mode, prefill_steps=100, greedy_every=1, policy_length=7)
    assert all(turn.acts.all() and turn.senses.all() for turn in turns(schedule, 10, 90))
    assert not schedule.step(ALL, 100).acts.any()


def test_after_prefill_dep_goes_on_learning() -> None:
    turn = started(mode="prefill").step(ALL, 0)
    assert turn.senses.all()
    assert not turn.acts.any()


def test_alternating() -> None:
    schedule = started(mode="alternating", policy_length=5, intervention_length=3)
    acts = [turn.acts[0] for turn in turns(schedule, 24)]
    assert acts == ([False] * 5 + [True] * 3) * 3


def test_stochastic() -> None:
    length, probability = 4, 0.2
    schedule = started(
        mode="stochastic", intervention_length=length, intervention_probability=probability
    )
    acts = np.array([turn.acts for turn in turns(schedule, 4000)])
    assert not acts[0].any()  # the policy begins
    assert not np.array_equal(acts[:, 0], acts[:, 1])  # a draw for each simulation
    for column in acts.T:
        runs = [(who, len(list(group))) for who, group in groupby(column.tolist())]
        assert {count for who, count in runs[:-1] if who} == {length}
    # A step of the policy is followed by DEP with the probability.
    share = probability * length / (1 + probability * length)
    assert acts.mean() == pytest.approx(share, abs=0.02)


def test_a_simulation_depends_on_its_episode_alone() -> None:
    keys = {"mode": "stochastic", "intervention_probability": 0.3}
    together = np.array([turn.acts for turn in turns(started(**keys), 50)])
    for i in range(4):
        alone = started(1, first=i, **keys)
        acts = [alone.step(np.array([0]), t).acts[0] for t in range(50)]
        np.testing.assert_array_equal(together[:, i], acts)


def test_episodes_without_dep() -> None:
    schedule = started(mode="stochastic", intervention_probability=1.0, greedy_every=3)
    found = turns(schedule, 40)
    senses = np.array([turn.senses for turn in found])
    assert senses[:, [0, 1, 3]].all()
    assert not senses[:, 2].any()
    acts = np.array([turn.acts for turn in found])
    assert acts[:, [0, 1, 3]].any(axis=0).all()
    assert not acts[:, 2].any()
    # The next episode of that simulation has DEP again.
    schedule.start(np.array([2]), np.array([4]), [np.random.default_rng(0)])
    assert any(turn.acts[2] for turn in turns(schedule, 3))


def test_an_intervention_goes_on_in_the_next_episode() -> None:
    schedule = started(mode="stochastic", intervention_probability=1.0, intervention_length=5)
    assert [turn.acts[0] for turn in turns(schedule, 3)] == [False, True, True]
    schedule.start(ALL, ALL + 4, [np.random.default_rng(0)] * 4)
    assert [turn.acts[0] for turn in turns(schedule, 4)] == [True, True, True, False]


def test_simulations_that_wait() -> None:
    schedule = started(mode="alternating", policy_length=1, intervention_length=1)
    turn = schedule.step(np.array([0, 2]), 0)
    np.testing.assert_array_equal(turn.senses, [True, False, True, False])
    np.testing.assert_array_equal(schedule.step(ALL, 1).acts, [True, False, True, False])
