"""Learners improve, are reproducible to the bit, and do not change the agent they start from."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import replace

from poolrl import tasks
from poolrl.agent import Agent
from poolrl.algorithms.training import initial_agent, train
from poolrl.config.learners import Learner
from poolrl.config.loading import load
from poolrl.config.schema import Spec
from poolrl.errors import Divergence
from poolrl.rollouts.evaluation import evaluate
from poolrl.rollouts.sampler import Budget
from poolrl.seeding import Purpose, Streams
from poolrl.tasks import Task

LEARNERS = {
    "ppo": {"learner.name": "ppo", "learner.minibatch_size": 32, "learner.learning_rate": 3e-3},
    "reinforce": {
        "learner.name": "reinforce",
        "learner.minibatch_size": 20,
        "learner.learning_rate": 1e-2,
    },
    "climb": {"learner.name": "climb"},
}


EIGHT = Budget(episodes=8)


def make(episodes: int) -> Task:
    return tasks.make("Plateau-v0", min(episodes, 8), max_episode_steps=10)


def setting(name: str) -> tuple[Spec, Agent]:
    keys = {"task.id": "Plateau-v0", "network.actor": [16], "network.critic": [16]}
    spec, _ = load(None, keys | LEARNERS[name])
    return spec, initial_agent(spec, make(1), Streams(0))


def score(agent: Agent) -> float:
    resets = Streams(99).generators(Purpose.EVALUATE_RESET, 0, 64)
    return float(evaluate(agent.policy, make(64), resets).returns.mean())


@pytest.mark.parametrize("name", ["ppo", "reinforce"])
def test_it_improves(name: str) -> None:
    spec, agent = setting(name)
    before = score(agent)
    trained = train(agent, make, Budget(episodes=200), spec.learner, Streams(0, (1, 0, 0)))
    assert score(trained.agent) > before + 3  # of at most 10; not moving scores about 3.3
    assert len(trained.returns) == 200
    assert trained.environment_steps == 2000
    assert trained.agent.metadata.environment_steps == 2000
    assert (
        trained.agent.metadata.updates == trained.updates == 200 // spec.learner.episodes_per_update
    )


@pytest.mark.parametrize("name", LEARNERS)
def test_it_is_reproducible_and_does_not_change_its_parent(name: str) -> None:
    spec, agent = setting(name)
    parent = train(agent, make, EIGHT, spec.learner, Streams(0, (1, 0, 0))).agent
    before = parent.to_bytes()
    first = train(parent, make, EIGHT, spec.learner, Streams(0, (2, 0, 0)))
    second = train(parent, make, EIGHT, spec.learner, Streams(0, (2, 0, 0)))
    assert first.agent.to_bytes() == second.agent.to_bytes()
    assert first.returns == second.returns
    assert parent.to_bytes() == before
    other = train(parent, make, EIGHT, spec.learner, Streams(0, (2, 0, 1)))
    assert other.agent.to_bytes() != first.agent.to_bytes()


@pytest.mark.parametrize("name", ["ppo", "reinforce"])
def test_a_file_in_between_changes_nothing(name: str) -> None:
    spec, agent = setting(name)
    parent = train(agent, make, EIGHT, spec.learner, Streams(0, (1, 0, 0))).agent
    reread = Agent.from_bytes(parent.to_bytes())
    direct = train(parent, make, EIGHT, spec.learner, Streams(0, (2, 0, 0))).agent
    assert train(reread, make, EIGHT, spec.learner, Streams(0, (2, 0, 0))).agent.to_bytes() == (
        direct.to_bytes()
    )


def test_the_learning_rate_overrides_the_one_in_the_optimisers_state() -> None:
    spec, agent = setting("ppo")
    parent = train(agent, make, EIGHT, spec.learner, Streams(0, (1, 0, 0))).agent
    assert any(name.startswith("optimizer/") for name in parent.arrays)

    def moved(rate: float) -> float:
        hp: Learner = replace(spec.learner, learning_rate=rate)
        child = train(parent, make, EIGHT, hp, Streams(0, (2, 0, 0))).agent
        return float(np.abs(child.arrays["actor.0.weight"] - parent.arrays["actor.0.weight"]).max())

    assert moved(1e-2) > 3 * moved(1e-4)


def test_the_baseline_has_a_rate_of_its_own() -> None:
    spec, agent = setting("reinforce")
    hp = replace(spec.learner, baseline_learning_rate=1e-9)
    child = train(agent, make, EIGHT, hp, Streams(0, (1, 0, 0))).agent
    for part, moves in (("critic.0.weight", False), ("actor.0.weight", True)):
        change = float(np.abs(child.arrays[part] - agent.arrays[part]).max())
        assert (change > 1e-4) == moves


def test_divergence_is_raised() -> None:
    spec, agent = setting("ppo")
    arrays = dict(agent.arrays)
    arrays["critic.2.bias"] = np.full_like(arrays["critic.2.bias"], np.nan)
    with pytest.raises(Divergence):
        train(
            Agent(arrays, agent.metadata),
            make,
            EIGHT,
            spec.learner,
            Streams(0, (1, 0, 0)),
        )


@pytest.mark.parametrize("name", LEARNERS)
def test_a_budget_of_steps_ends_within_an_update(name: str) -> None:
    """Episodes of 10 steps on 8 simulations: none starts once 25 steps have been taken."""
    spec, agent = setting(name)
    hp = spec.learner
    if name != "climb":
        hp = replace(hp, episodes_per_update=100)
    trained = train(agent, make, Budget(steps=25), hp, Streams(0, (1, 0, 0)))
    assert trained.environment_steps == 80
    assert len(trained.returns) == 8


def test_segments_end_a_branch_where_its_steps_are_used_up() -> None:
    spec, agent = setting("ppo")
    hp = replace(spec.learner, segment_steps=4)
    trained = train(agent, make, Budget(steps=90), hp, Streams(0, (1, 0, 0)))
    assert trained.environment_steps == 96  # three segments of 8 simulations
    assert trained.updates == 3
    assert len(trained.returns) == 8
    whole = train(agent, make, Budget(episodes=12), hp, Streams(0, (1, 0, 0)))
    assert len(whole.returns) == 12
    assert whole.environment_steps == 120


def test_segments_improve() -> None:
    spec, agent = setting("ppo")
    hp = replace(spec.learner, segment_steps=16)
    before = score(agent)
    trained = train(agent, make, Budget(steps=2000), hp, Streams(0, (1, 0, 0)))
    assert score(trained.agent) > before + 3
