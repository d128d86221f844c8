"""Metrics that describe rollouts: quantiles of lengths, actions and latent variables, the width of
the policy."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from msgspec.structs import replace

from poolrl import tasks
from poolrl.algorithms.rollout_metrics import (
    MOST_STEPS,
    action_metrics,
    latent_metrics,
    length_metrics,
    width_metrics,
)
from poolrl.algorithms.training import initial_agent, train
from poolrl.algorithms.types import LATER_METRICS
from poolrl.config.loading import load
from poolrl.config.networks import MLPSpec
from poolrl.distributions.factory import make_distribution
from poolrl.networks.encoder_decoder import EncoderDecoderNetwork
from poolrl.rollouts.rollout import collect
from poolrl.rollouts.sampler import Budget, Sampler
from poolrl.seeding import Purpose, Streams
from poolrl.tasks import Task
from tests.helpers.rodents import imitating_agent, needs_h5py, write_worm

BOX = Box(-2.0, 2.0, (3,), np.float32)
ENDS = ("min", "q25", "median", "q75", "max")


def make(episodes: int) -> Task:
    # Episodes of a new agent fall over after five to fifteen steps.
    return tasks.make("InvertedDoublePendulum-v5", min(episodes, 4), max_episode_steps=30)


def setting(**keys: Any) -> Any:
    given = {"network.actor": [8], "network.critic": [8], "learner.minibatch_size": 20}
    given |= {"task.id": "InvertedDoublePendulum-v5", "learner.name": "ppo"} | keys
    spec, _ = load(None, given)
    return spec, initial_agent(spec, make(1), Streams(0))


def test_lengths_are_those_of_all_episodes_of_the_branch() -> None:
    spec, agent = setting(**{"learner.episodes_per_update": 3})
    streams = Streams(0, (1, 0, 0))
    metrics = train(agent, make, Budget(episodes=12), spec.learner, streams).metrics
    quantiles = [metrics[f"rollout/ep_len_{end}"] for end in ENDS]
    assert quantiles == sorted(quantiles)
    assert quantiles[0] < metrics["rollout/ep_len_mean"] < quantiles[-1]
    assert {quantiles[0], quantiles[-1]} <= set(range(1, 31))  # no means of updates
    actions = [metrics[f"rollout/action_{end}"] for end in ENDS]
    assert actions == sorted(actions)
    assert -1 <= actions[0] < actions[-1] <= 1
    assert length_metrics(np.array([4, 2, 8, 6, 10]))["rollout/ep_len_q25"] == 4
    assert length_metrics(np.zeros(0, np.int64)) == {}


@pytest.mark.parametrize("learner", ["ppo", "reinforce"])
@pytest.mark.parametrize(
    ("distribution", "name"), [("beta", "train/concentration"), ("gaussian", "train/std")]
)
def test_learners_say_how_wide_the_policy_is(learner: str, distribution: str, name: str) -> None:
    spec, agent = setting(**{"learner.name": learner, "network.distribution": distribution})
    metrics = train(agent, make, Budget(episodes=4), spec.learner, Streams(0, (1, 0, 0))).metrics
    assert metrics[name] > 0
    assert {"train/concentration", "train/std"} & metrics.keys() == {name}
    assert {key for key in metrics if key.startswith("rollout/")} - LATER_METRICS == {
        *("rollout/ep_rew_mean", "rollout/ep_len_mean"),
    }


def test_actions_are_those_of_valid_steps() -> None:
    _, agent = setting()
    resets = Streams(0).generators_from(Purpose.RESET)
    sampler = Sampler(make(4), resets, Budget(episodes=6))
    rollout = collect(sampler, agent.policy, np.random.default_rng(0))
    assert not rollout.valid.all()
    samples = rollout.sample.copy()
    samples[~rollout.valid] = 99
    found = action_metrics(agent.policy, rollout._replace(sample=samples))
    assert -1 <= found["rollout/action_min"] < found["rollout/action_max"] <= 1
    assert list(found) == [f"rollout/action_{end}" for end in ENDS]
    samples[rollout.valid] = np.inf
    with np.errstate(invalid="ignore"):
        assert action_metrics(agent.policy, rollout._replace(sample=samples)) == {}


def test_choices_have_no_quantiles() -> None:
    spec, _ = load(None, {"task.id": "CartPole-v1", "network.actor": [8], "network.critic": [8]})
    task = tasks.make("CartPole-v1", 2, max_episode_steps=10)
    agent = initial_agent(spec, task, Streams(0))
    sampler = Sampler(task, Streams(0).generators_from(Purpose.RESET), Budget(episodes=2))
    assert (
        action_metrics(agent.policy, collect(sampler, agent.policy, np.random.default_rng(0))) == {}
    )


def test_the_concentration_of_a_beta_distribution() -> None:
    beta = make_distribution(MLPSpec(distribution="beta", beta_link="exponential"), BOX)
    parameters = np.log(np.full((10_000, 6), 3, np.float32))
    assert width_metrics(beta, parameters) == {"train/concentration": pytest.approx(6, rel=1e-5)}
    assert width_metrics(beta, parameters * np.float32(math.nan)) == {}
    gaussian = make_distribution(MLPSpec(distribution="gaussian", std_init=0.5), BOX)
    parameters = np.full((10, 6), math.log(0.5), np.float32)
    assert width_metrics(gaussian, parameters) == {"train/std": pytest.approx(0.5, rel=1e-5)}
    choices = make_distribution(MLPSpec(distribution="categorical"), Discrete(3))
    assert width_metrics(choices, np.zeros((4, 3), np.float32)) == {}


@needs_h5py
@pytest.mark.parametrize("bottleneck", ["variational", "deterministic", "noisy", "none"])
def test_latent_variables_are_those_of_the_rollouts_policy(tmp_path: Path, bottleneck: str) -> None:
    """And of a step without noise, as the network computes it by names."""
    keys: dict[str, Any] = {"network__bottleneck": bottleneck}
    if bottleneck != "variational":
        keys["learner__penalties"] = {}
    if bottleneck == "none":
        keys["network__encoder_senses"] = []
    agent = imitating_agent(write_worm(tmp_path, 16, 12), **keys)
    world = agent.metadata.world
    hp = load(None, {"learner.name": "ppo", "learner.episodes_per_update": 4})[0].learner

    def make_task(episodes: int) -> Task:
        return tasks.make(world, min(episodes, 3))

    resets = Streams(0, (1, 0, 0)).generators_from(Purpose.RESET, 0)
    rollout = collect(
        Sampler(make_task(4), resets, Budget(episodes=4)),
        agent.policy,
        Streams(0, (1, 0, 0)).generator(Purpose.ACTION, 0),
    )
    assert not rollout.valid.all()
    assert rollout.valid.sum() < MOST_STEPS
    network = agent.policy.network
    assert isinstance(network, EncoderDecoderNetwork)
    x = rollout.normalized[rollout.valid]
    found = network.activations(x, network.initial_state(len(x)))
    found = {name.rpartition("/")[2]: each for name, each in found.items() if "neck" in name}
    expected = {
        "variational": lambda: {
            "latent_mu": found["mu"],
            "latent_log_sigma": np.log(found["sigma"]),
        },
        "deterministic": lambda: {"latent": found["latent"]},
        "noisy": lambda: {"latent": found["signal"]},
        "none": dict,
    }[bottleneck]()
    if expected:
        expected["reward"] = rollout.reward[rollout.valid]
    quantiles = {
        f"rollout/{name}_{end}": pytest.approx(value, rel=1e-5, abs=1e-6)
        for name, values in expected.items()
        for end, value in zip(
            ENDS, np.quantile(values, [0, 0.25, 0.5, 0.75, 1]).tolist(), strict=True
        )
    }
    assert latent_metrics(agent.policy, rollout) == quantiles
    rest = {"rollout/ep_rew_mean", "rollout/ep_len_mean"}
    hp = replace(hp, penalties={"kl": 0.1} if bottleneck == "variational" else {})
    metrics = train(agent, make_task, Budget(episodes=4), hp, Streams(0, (1, 0, 0))).metrics
    own = {n: v for n, v in metrics.items() if n.startswith("rollout/")}
    own = {n: v for n, v in own.items() if n not in LATER_METRICS | rest}
    assert own == quantiles
