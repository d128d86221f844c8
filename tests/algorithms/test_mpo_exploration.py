"""MPO with exploration: who acts, what the replay gets, and what the agent keeps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from poolrl import tasks
from poolrl.agent import Agent
from poolrl.algorithms.training import initial_agent, train
from poolrl.algorithms.types import Training
from poolrl.config.loading import load
from poolrl.networks.parameters import EXPLORATION_PREFIX, extrema_of
from poolrl.parallel import use_threads
from poolrl.rollouts.replay_chunk import Chunk
from poolrl.rollouts.sampler import Budget
from poolrl.seeding import Streams
from poolrl.tasks.mujoco.swimmer import Swimmer
from tests.helpers.muscles import own_model

LENGTH, EPISODES = 20, 4

KEYS: dict[str, Any] = {
    "task.id": "Swimmer-v5",
    "task.max_episode_steps": LENGTH,
    "network.actor": [6],
    "network.critic": [6],
    "learner.name": "mpo",
    "learner.batch_size": 8,
    "learner.batches": 2,
    "learner.update_interval": 16,
    "learner.warmup_steps": 0,
    "learner.replay_start": 16,
    "learner.replay_window": 1000,
    "learner.simulations": 2,
    "exploration.tau": 4,
    "exploration.time_dist": 2,
}


class Recorder(Swimmer):
    """Keeps the actions that were played, of all simulations."""

    def __init__(self, num_simulations: int) -> None:
        super().__init__(num_simulations, max_episode_steps=LENGTH)
        self.actions: list[NDArray[np.float32]] = []

    def apply(self, action: NDArray[Any]) -> None:
        self.actions.append(np.array(action))
        super().apply(action)


def keys_of(exploration: str | None, **keys: Any) -> dict[str, Any]:
    """Keys of a configuration; of the exploration alone those that its kind has."""
    given = {k: v for k, v in KEYS.items() if exploration == "dep" or "exploration" not in k}
    if exploration is not None:
        given["exploration.name"] = exploration
    return given | {key.replace("__", "."): value for key, value in keys.items()}


def explored(
    exploration: str | None = "dep",
    start: Agent | None = None,
    training_steps: int = 0,
    **keys: Any,
) -> tuple[Training, NDArray[np.float32], NDArray[np.float32]]:
    """A branch of two simulations of Swimmer, whose actions are in [-1, 1].

    Returns:
        The training; the actions that were played and what the replay has, both
        (EPISODES, LENGTH, 2), by simulation and then in order of time.
    """
    spec = load(None, keys_of(exploration, **keys))[0]
    task = Recorder(2)
    agent = start or initial_agent(spec, task, Streams(0))
    training = train(
        *(agent, lambda _: task, Budget(EPISODES), spec.learner, Streams(0, (1, 0, 0))),
        exploration=spec.exploration,
        training_steps=training_steps,
    )
    assert isinstance(training.transitions, Chunk)
    played = np.array(task.actions).swapaxes(0, 1)
    stored = training.transitions.sample[training.transitions.has_action]
    shape = EPISODES, LENGTH, 2
    return training, played.reshape(shape), stored.reshape(shape)


def turns(played: NDArray[np.float32], stored: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where the replay has what was played without clipping, (episodes, steps)."""
    np.testing.assert_array_equal(np.clip(stored, -1, 1), played)
    matches: NDArray[np.bool_] = (played == stored).all(axis=-1)
    return matches


@pytest.mark.parametrize(
    "keys",
    [
        {"exploration__mode": "pure"},
        {"exploration__mode": "prefill", "exploration__prefill_steps": 10_000},
    ],
)
def test_mpo_learns_from_what_dep_does(keys: dict[str, Any]) -> None:
    training, played, stored = explored(**keys)
    np.testing.assert_array_equal(stored, played)
    assert training.updates == 5  # chunks of 8 steps of both simulations, of 40 steps
    assert training.agent.metadata.learner == "mpo"
    assert not np.array_equal(played, explored(None)[1])
    # The policy has no part in it.
    other = explored(**keys, learner__learning_rate=0.1)[1]
    np.testing.assert_array_equal(other, played)


def test_no_intervention_is_no_exploration_but_for_the_extrema() -> None:
    mixed, _, _ = explored(exploration__intervention_probability=0.0)
    plain, _, _ = explored(None)
    new = mixed.agent.arrays.keys() - plain.agent.arrays.keys()
    assert new == {f"{EXPLORATION_PREFIX}{name}" for name in extrema_of(mixed.agent.arrays)}
    assert len(new) == 4
    for name, array in plain.agent.arrays.items():
        np.testing.assert_array_equal(mixed.agent.arrays[name], array)
    assert mixed.returns == plain.returns


def test_interventions_are_of_the_schedule() -> None:
    """DEP's last three of every five steps of a simulation, in the policy's place."""
    keys: dict[str, Any] = {
        "exploration__mode": "alternating",
        "exploration__policy_length": 2,
        "exploration__intervention_length": 3,
    }
    training, played, stored = explored(**keys)
    within = turns(played, stored)
    ours = np.arange(LENGTH) % 5 >= 2
    assert within[:, ours].all()
    assert 0 < within[:, ~ours].mean() < 1  # of the policy's samples, which may be beyond
    assert training.updates == 5


def test_prefill_is_the_pools_and_warmup_the_lines() -> None:
    """DEP's prefill comes before uniform actions; what is left of the warm-up is uniform."""
    keys: dict[str, Any] = {"exploration__mode": "prefill", "exploration__prefill_steps": 1000}
    warmup, played, stored = explored(**keys, training_steps=980, learner__warmup_steps=40)
    assert warmup.updates == 3  # not after the first two chunks of 16 steps
    pure = explored(exploration__mode="pure")[1]
    policy = explored(**keys, training_steps=980)[1]
    first, filled, rest = (0, 2), slice(10), slice(10, 20)  # episodes of both simulations
    np.testing.assert_array_equal(played[first, filled], pure[first, filled])
    np.testing.assert_array_equal(stored[first, filled], played[first, filled])
    for other in (pure, policy):
        assert (played[first, rest] != other[first, rest]).all()


@pytest.mark.parametrize("name", ["white", "pink", "ou", "uniform"])
def test_noise_is_in_the_replay_as_it_was_played(name: str) -> None:
    training, played, stored = explored(name, exploration__scale=0.7)
    np.testing.assert_array_equal(stored, played)
    assert (np.abs(played) == 1).any()  # some are clipped
    assert (np.abs(played) < 1).any()
    assert training.updates == 5
    assert extrema_of(training.agent.arrays) == {}


def test_extrema_go_on_from_branch_to_branch() -> None:
    first, _, _ = explored(exploration__mode="pure")
    known = {
        f"{EXPLORATION_PREFIX}length_min": np.full(2, -999.0),
        f"{EXPLORATION_PREFIX}length_max": np.full(2, 999.0),
    }
    start = Agent({**first.agent.arrays, **known}, first.agent.metadata)
    second = explored(exploration__mode="pure", start=start)[0].agent
    assert Agent.from_bytes(second.to_bytes()).to_bytes() == second.to_bytes()
    for name, array in known.items():
        np.testing.assert_array_equal(second.arrays[name], array)
    # Another exploration has no use for them.
    assert extrema_of(explored("white", start=start)[0].agent.arrays) == {}


def test_a_range_of_one_action() -> None:
    """Its units are those of the middle."""
    spec = load(None, keys_of("white"))[0]
    task = Recorder(2)
    task.action_space.low[0] = task.action_space.high[0] = 0.5
    agent = initial_agent(spec, task, Streams(0))
    training = train(
        *(agent, lambda _: task, Budget(2), spec.learner, Streams(0)),
        exploration=spec.exploration,
    )
    assert training.transitions is not None
    assert (training.transitions.sample[:, 0] == 0).all()
    assert (np.array(task.actions)[:, :, 0] == 0.5).all()


MODES = [
    {"exploration__mode": "prefill", "exploration__prefill_steps": 30},
    {
        "exploration__mode": "alternating",
        "exploration__policy_length": 4,
        "exploration__greedy_every": 3,
    },
    {
        "exploration__mode": "stochastic",
        "exploration__intervention_probability": 0.2,
        "exploration__force_scale": 0.1,
    },
    {"exploration__mode": "pure"},
]


@pytest.mark.parametrize("keys", MODES, ids=lambda keys: keys["exploration__mode"])
def test_modes_on_muscles(tmp_path: Any, keys: dict[str, Any]) -> None:
    """Threads do not matter."""
    kwargs = own_model(tmp_path) | {"excitation": "clip"}
    given = {"task__id": "MuscleReach-v0", "task__kwargs": kwargs}
    spec = load(None, keys_of("dep", **given, **keys))[0]

    @contextmanager
    def branch(threads: int) -> Iterator[Training]:
        with use_threads(threads):
            task = tasks.make(spec.task, 2)
            agent = initial_agent(spec, task, Streams(0))
            yield train(
                *(agent, lambda _: task, Budget(4), spec.learner, Streams(0)),
                exploration=spec.exploration,
            )

    with branch(1) as one, branch(3) as three:
        assert one.agent.to_bytes() == three.agent.to_bytes()
        assert one.updates > 0
        extrema = extrema_of(one.agent.arrays)
        assert (extrema["length_min"] < extrema["length_max"]).all()
