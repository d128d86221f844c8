"""The learner that explores and does not learn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from poolrl import tasks
from poolrl.agent import Agent
from poolrl.algorithms.averaging import mean_agent
from poolrl.algorithms.training import initial_agent, train
from poolrl.algorithms.types import Training
from poolrl.config.loading import load
from poolrl.config.schema import Spec
from poolrl.errors import UsageError
from poolrl.networks.parameters import EXPLORATION_PREFIX, extrema_of
from poolrl.parallel import use_threads
from poolrl.rollouts.sampler import Budget
from poolrl.seeding import Streams


def spec_of(**keys: Any) -> Spec:
    given = {"task.id": "Swimmer-v5", "task.max_episode_steps": 20, "learner.name": "dep"}
    return load(None, given | {key.replace("__", "."): value for key, value in keys.items()})[0]


@contextmanager
def explored(spec: Spec, episodes: int = 3, seed: int = 0) -> Iterator[tuple[Agent, Training]]:
    task = tasks.make(spec.task, episodes)
    agent = initial_agent(spec, task, Streams(0))
    streams = Streams(seed, (1, 0, 0))
    yield (
        agent,
        train(agent, lambda _: task, Budget(episodes), spec.learner, streams, spec.exploration),
    )


def test_the_agent_stays_but_for_what_it_has_seen() -> None:
    with explored(spec_of()) as (before, training):
        after = training.agent
    new = after.arrays.keys() - before.arrays.keys()
    assert new == {
        f"{EXPLORATION_PREFIX}{name}"
        for name in ("length_min", "length_max", "force_min", "force_max")
    }
    for name, array in before.arrays.items():
        np.testing.assert_array_equal(after.arrays[name], array)
    assert training.updates == after.metadata.updates == 0
    assert len(training.returns) == after.metadata.episodes == 3
    assert training.environment_steps == after.metadata.environment_steps == 60
    assert after.metadata.learner == "dep"
    extrema = extrema_of(after.arrays)
    assert (extrema["length_min"] < extrema["length_max"]).all()
    again = Agent.from_bytes(after.to_bytes())
    assert again.to_bytes() == after.to_bytes()


def test_threads_do_not_matter() -> None:
    with explored(spec_of(), 6) as (_, one), use_threads(3), explored(spec_of(), 6) as (_, three):
        assert one.agent.to_bytes() == three.agent.to_bytes()
        assert one.returns == three.returns


def test_noise_leaves_no_trace() -> None:
    with explored(spec_of(exploration__name="ou", exploration__scale=1)) as (before, training):
        assert training.agent.arrays.keys() == before.arrays.keys()
        assert len(set(training.returns)) == 3


def test_means_have_the_extrema_of_all() -> None:
    agents = []
    for seed in range(3):
        with explored(spec_of(), seed=seed) as (_, training):
            agents.append(training.agent)
    with explored(spec_of()) as (start, _):
        mean = mean_agent(start, agents, [1.0, 0.0, 0.0], step=4.0)
    seen = [extrema_of(agent.arrays) for agent in agents]
    for name, array in extrema_of(mean.arrays).items():
        reduce = np.min if name.endswith("min") else np.max
        expected = reduce([each[name] for each in seen], axis=0)
        np.testing.assert_array_equal(array, expected)
    assert len({each["length_min"].tobytes() for each in seen}) > 1


def test_another_learner_does_not_keep_them() -> None:
    with explored(spec_of()) as (_, training):
        agent = training.agent
    spec = spec_of(learner__name="ppo", learner__episodes_per_update=2)
    task = tasks.make(spec.task, 2)
    trained = train(agent, lambda _: task, Budget(2), spec.learner, Streams(1)).agent
    assert extrema_of(trained.arrays) == {}


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("length_min", np.zeros(3), "has shape"),
        ("length_min", np.zeros(2, np.float32), "is float32, not float64"),
        ("length_min", np.full(2, np.nan), "is not finite"),
        ("length_mean", np.zeros(2), "is none of its network's"),
    ],
)
def test_damaged_extrema_are_refused(name: str, array: Any, message: str) -> None:
    with explored(spec_of(exploration__name="white")) as (_, training):
        agent = training.agent
    damaged = Agent({**agent.arrays, f"{EXPLORATION_PREFIX}{name}": array}, agent.metadata)
    with pytest.raises(UsageError, match=f"tensor exploration/{name} {message}"):
        Agent.from_bytes(damaged.to_bytes())


def test_effort_of_muscles() -> None:
    pytest.importorskip("myo_sim", reason="needs poolrl[muscles]")
    muscles = {"task__id": "MuscleElbowReach-v0", "exploration__preset": "myosuite"}
    with explored(spec_of(**muscles, task__max_episode_steps=80)) as (_, training):
        assert 0.01 < training.metrics["rollout/effort"] < 1
        extrema = extrema_of(training.agent.arrays)
    assert (extrema["length_max"] - extrema["length_min"] > 0).all()
    with explored(spec_of()) as (_, training):  # motors, without an activity
        assert "rollout/effort" not in training.metrics


def test_the_quadruped_of_dm_control() -> None:
    pytest.importorskip("dm_control", reason="needs poolrl[dm]")
    spec = spec_of(task__id="dm_control/quadruped-walk-v0", task__max_episode_steps=30)
    with explored(spec, 1) as (_, training):
        extrema = extrema_of(training.agent.arrays)
    assert extrema["length_min"].shape == (12,)
    assert (extrema["length_min"] < extrema["length_max"]).all()
