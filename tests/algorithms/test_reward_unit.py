"""Nothing that a learner does depends on the unit of the rewards, with normalised values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from poolrl import tasks
from poolrl.agent import Agent
from poolrl.algorithms.training import initial_agent, train
from poolrl.config.learners import PPO, Learner, Reinforce
from poolrl.config.loading import load
from poolrl.config.schema import Spec
from poolrl.errors import Divergence
from poolrl.networks.value_normalizer import PREFIX
from poolrl.rollouts.evaluation import evaluate
from poolrl.rollouts.sampler import Budget
from poolrl.seeding import Purpose, Streams
from poolrl.tasks import Task
from poolrl.tasks.base import StepResult

KEYS: dict[str, Any] = {
    "task.id": "Plateau-v0",
    "network.actor": [16],
    "network.critic": [16],
    "learner.episodes_per_update": 4,
}
PPO_KEYS = {"learner.name": "ppo", "learner.minibatch_size": 16, "learner.learning_rate": 3e-3}
REINFORCE_KEYS = {"learner.name": "reinforce", "learner.learning_rate": 1e-2}


def tasks_of(unit: float, offset: float = 0.0, length: int = 10) -> Callable[[int], Task]:
    """``Plateau`` with a reward in another unit."""

    def make(episodes: int) -> Task:
        task = tasks.make("Plateau-v0", min(episodes, 8), max_episode_steps=length)
        step = task.step

        def scaled(action: Any, ids: Any = None) -> StepResult:
            result = step(action, ids)
            return result._replace(reward=(result.reward + offset) * unit)

        task.step = scaled  # type: ignore[method-assign]
        return task

    return make


def setting(keys: dict[str, Any], **changes: Any) -> tuple[Spec, Agent]:
    spec, _ = load(None, KEYS | keys | {f"learner.{k}": v for k, v in changes.items()})
    return spec, initial_agent(spec, tasks_of(1.0)(1), Streams(0))


def trained(
    agent: Agent, hp: Learner, unit: float, episodes: int = 24, length: int = 10
) -> dict[str, Any]:
    budget, streams = Budget(episodes=episodes), Streams(0, (1, 0, 0))
    return train(agent, tasks_of(unit, length=length), budget, hp, streams)._asdict()


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from([PPO_KEYS, REINFORCE_KEYS]),
    st.integers(-120, 400),
    st.booleans(),
    st.booleans(),
    st.sampled_from([0.0, 1e-3, 0.5]),
    st.integers(0, 5),
)
def test_a_power_of_two_changes_no_bit(
    keys: dict[str, Any],
    power: int,
    center: bool,
    normalize: bool,
    max_norm: float,
    segment: int,
) -> None:
    hyper = {"center_rewards": center, "normalize_advantage": normalize, "max_grad_norm": max_norm}
    if keys is PPO_KEYS:
        hyper["segment_steps"] = segment
    spec, agent = setting(keys, **hyper)
    one, other = (trained(agent, spec.learner, unit) for unit in (1.0, 2.0**power))
    assert one["metrics"].keys() == other["metrics"].keys()
    for name, value in one["metrics"].items():
        if name != "rollout/ep_rew_mean":
            assert other["metrics"][name] == value, name
    for name, array in one["agent"].arrays.items():
        scale = {f"{PREFIX}mean": 2.0**power, f"{PREFIX}var": 4.0**power}.get(name, 1.0)
        assert np.array_equal(other["agent"].arrays[name], array * scale), name


@pytest.mark.parametrize("keys", [PPO_KEYS, REINFORCE_KEYS], ids=["ppo", "reinforce"])
@pytest.mark.parametrize("unit", [1e-9, 1e-3, 1.0, 1e4, 1e6, 1e25])
def test_it_improves_in_any_unit(keys: dict[str, Any], unit: float) -> None:
    spec, agent = setting(keys)
    after = trained(agent, spec.learner, unit, episodes=400)["agent"]

    def score(one: Agent) -> float:
        resets = Streams(99).generators(Purpose.EVALUATE_RESET, 0, 64)
        return float(evaluate(one.policy, tasks_of(1.0)(64), resets).returns.mean())

    assert score(after) > score(agent) + 3


def test_the_critic_learns_large_values() -> None:
    spec, agent = setting(PPO_KEYS)
    result = trained(agent, spec.learner, 1e6, episodes=400)
    observation = np.zeros((1, 2))
    # At most 1e8: 1e6 a step for ever, as at a time limit the value of the rest is counted.
    assert 3e7 < result["agent"].policy.value(observation)[0] < 1.1e8
    assert result["agent"].policy.value(observation).dtype == np.float64


def test_separate_clipping_leaves_the_actor_to_itself() -> None:
    """A critic that counts a million times as much changes nothing of the actor."""

    def actor(clipping: str, coefficient: float) -> np.ndarray:
        spec, agent = setting(PPO_KEYS, gradient_clipping=clipping, value_coefficient=coefficient)
        # One update: the next one's advantages depend on the critic.
        return trained(agent, spec.learner, 1.0, episodes=4)["agent"].arrays["actor.0.weight"]

    assert np.array_equal(actor("separate", 0.5), actor("separate", 5e5))
    assert not np.allclose(actor("joint", 0.5), actor("joint", 5e5), atol=1e-4)


@pytest.mark.parametrize("keys", [PPO_KEYS, REINFORCE_KEYS], ids=["ppo", "reinforce"])
def test_returns_beyond_float64_are_a_divergence(keys: dict[str, Any]) -> None:
    spec, agent = setting(keys)
    with pytest.raises(Divergence, match="too large for their variance"):
        trained(agent, spec.learner, 1e200)


@pytest.mark.parametrize("keys", [PPO_KEYS, REINFORCE_KEYS], ids=["ppo", "reinforce"])
def test_rewards_beyond_the_squares_of_float32_without_normalised_values(
    keys: dict[str, Any],
) -> None:
    spec, agent = setting(keys, normalize_values=False)
    result = trained(agent, spec.learner, 1e25)  # the worker refuses metrics that are not finite
    assert not np.isfinite(result["metrics"]["train/value_loss"])


@pytest.mark.parametrize("learner", [PPO(), Reinforce()], ids=["ppo", "reinforce"])
def test_a_critic_without_statistics_is_converted_and_back(learner: PPO | Reinforce) -> None:
    """Its values stay as they are, from an update of no size; and so after the way back."""
    still = replace(learner, learning_rate=1e-12, max_grad_norm=0.5)
    if isinstance(still, Reinforce):
        still = replace(still, baseline_learning_rate=1e-12)
    _, agent = setting(PPO_KEYS, normalize_values=False)
    agent = trained(agent, replace(PPO(), learning_rate=3e-3), 30.0, episodes=200)["agent"]
    observation = np.random.default_rng(0).uniform(-1, 1, (50, 2))
    assert not any(name.startswith(PREFIX) for name in agent.arrays)

    def moved(one: Agent, normalize: bool) -> Agent:
        hp = replace(still, normalize_values=normalize)
        episodes = still.episodes_per_update  # one update
        return trained(one, hp, 30.0, episodes=episodes)["agent"]  # type: ignore[no-any-return]

    # The normaliser of observations goes on, which changes values a little.
    plain = moved(agent, False)
    expected = plain.policy.value(observation)
    there = moved(agent, True)
    assert f"{PREFIX}mean" in there.arrays
    assert there.policy.value(observation) == pytest.approx(expected, rel=1e-3)
    again, further = moved(there, False), moved(plain, False)
    assert not any(name.startswith(PREFIX) for name in again.arrays)
    assert again.policy.value(observation) == pytest.approx(
        further.policy.value(observation), rel=1e-3
    )
    Agent.from_bytes(there.to_bytes())
    Agent.from_bytes(again.to_bytes())


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("keys", [PPO_KEYS, REINFORCE_KEYS], ids=["ppo", "reinforce"])
@pytest.mark.parametrize("normalize", [True, False])
def test_an_update_with_a_single_step_teaches(
    keys: dict[str, Any], center: bool, normalize: bool
) -> None:
    def change(single: bool) -> float:
        spec, agent = setting(
            keys,
            episodes_per_update=1,
            standardize_single=single,
            center_rewards=center,
            normalize_values=normalize,
        )
        after = trained(agent, spec.learner, 1.0, episodes=10, length=1)["agent"]
        return float(np.abs(after.arrays["actor.2.weight"] - agent.arrays["actor.2.weight"]).max())

    assert change(False) > 1e-3
    assert change(True) == 0
