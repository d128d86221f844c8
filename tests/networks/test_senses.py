"""Senses of the critic alone."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from poolrl.algorithms.training import initial_agent
from poolrl.config.learners import PPO
from poolrl.config.networks import MLPSpec, NetworkSpec, RecurrentSpec
from poolrl.config.schema import Spec, TaskSpec, World
from poolrl.errors import UsageError
from poolrl.seeding import Streams
from poolrl.tasks.factory import make
from tests.helpers import networks


class Arm(gym.Env[Any, Any]):
    """A dictionary of observations."""

    observation_space = spaces.Dict(
        {
            "touch": spaces.Box(-1, 1, (2,), np.float64),
            "joints": spaces.Box(-1, 1, (3,), np.float64),
            "block": spaces.Dict({"pose": spaces.Box(-1, 1, (4,), np.float64)}),
        }
    )
    action_space = spaces.Box(-1, 1, (1,), np.float32)


gym.register("Arm-v0", Arm, max_episode_steps=5)  # type: ignore[arg-type]


def test_entries_of_a_dictionary_are_senses() -> None:
    task = make(World(id="Arm-v0"), 1)
    found = {name: np.flatnonzero(mask).tolist() for name, mask in task.senses().items()}
    flat = spaces.flatten(
        Arm.observation_space,
        {
            "touch": np.full(2, 0.1),
            "joints": np.full(3, 0.2),
            "block": {"pose": np.full(4, 0.3)},
        },
    )
    expected = {
        name: np.flatnonzero(flat == value).tolist()
        for name, value in (("touch", 0.1), ("joints", 0.2), ("block", 0.3))
    }
    assert found == expected
    assert make(World(id="Swimmer-v5"), 1).senses() == {}


@pytest.mark.parametrize("name", ["mlp, senses of the critic", "gru, senses of the critic"])
def test_the_actor_does_not_see_them(name: str) -> None:
    made = networks.agent(name)
    hidden = list(made.metadata.network.critic_columns)
    rng = np.random.default_rng(0)
    observation = rng.normal(size=(6, networks.SIZE))
    other = observation.copy()
    other[:, hidden] = rng.normal(size=(6, len(hidden)))
    action, _ = made.step(observation)
    assert np.array_equal(action, made.step(other)[0])
    assert np.array_equal(action, made.step(np.delete(observation, hidden, axis=1))[0])
    assert not np.allclose(made.policy.value(observation), made.policy.value(other))
    with pytest.raises(ValueError, match="or 5"):
        made.step(observation[:, :1])


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (MLPSpec(critic_senses=("torch",)), ["no torch", "known: contact, force, joints"]),
        (MLPSpec(critic_senses=("contact", "force", "joints")), ["nothing is left"]),
        (RecurrentSpec(critic_senses=("vision",)), ["no vision"]),
        (networks.user_network("Plain", critic_senses=("force",)), ["user's network decides"]),
    ],
)
def test_senses_that_there_are_not(network: NetworkSpec, words: list[str]) -> None:
    spec = Spec(task=TaskSpec(id="Plateau-v0"), network=network, learner=PPO())
    with pytest.raises(UsageError) as error:
        initial_agent(spec, networks.Spaces(), Streams(0))
    for word in ("network.critic_senses", *words):
        assert word in str(error.value)


def test_a_shared_trunk_has_no_senses_of_its_own() -> None:
    with pytest.raises(ValueError, match="shared trunk sees them too"):
        MLPSpec(shared=True, critic_senses=("force",))
