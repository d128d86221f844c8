"""Means of agents: every kind of array, extrapolation, statistics of values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from poolrl.agent import Agent
from poolrl.algorithms.averaging import check_averages, mean_agent
from poolrl.algorithms.training import train
from poolrl.errors import Divergence, UsageError
from poolrl.networks.value_normalizer import ValueNormalizer
from poolrl.rollouts.sampler import Budget
from poolrl.seeding import Streams
from poolrl.worker.unit_computation import UnitComputation
from tests.conftest import tiny_spec

SPEC = tiny_spec(
    learner__name="ppo",
    learner__minibatch_size=4,
    learner__episodes_per_update=2,
    learner__scale_rewards=True,
    learner__adaptive_kl=0.01,
    network__actor=[4],
    network__critic=[4],
)


@pytest.fixture(scope="module")
def line() -> tuple[Agent, Agent, list[Agent]]:
    """Three generations: an agent, the one after it, and three branches of that one."""
    computation = UnitComputation(SPEC)

    def trained(agent: Agent, index: int, episodes: int = 4) -> Agent:
        streams, budget = Streams(3, (1, 0, index)), Budget(episodes=episodes)
        return train(agent, computation.make_task, budget, SPEC.learner, streams).agent

    first = trained(computation.initial_agent(), 9)
    second = trained(first, 8)
    branches = [trained(second, index, 2 + 2 * index) for index in range(3)]
    computation.close()
    return first, second, branches


def arrays(agents: list[Agent], name: str) -> Any:
    return np.array([agent.arrays[name].astype(np.float64) for agent in agents])


def test_a_mean_of_one_agent_is_that_agent(line: tuple[Agent, Agent, list[Agent]]) -> None:
    _, start, branches = line
    one = mean_agent(start, branches[:1], [1.0])
    assert one.to_bytes() == branches[0].to_bytes()
    same = mean_agent(start, [branches[1]] * 3, [1 / 3] * 3)
    for name, array in branches[1].arrays.items():
        np.testing.assert_array_equal(same.arrays[name], array, err_msg=name)


def test_each_array_has_its_mean(line: tuple[Agent, Agent, list[Agent]]) -> None:
    first, start, branches = line
    weights = [0.5, 0.3, 0.2]
    mean = mean_agent(start, branches, weights, step=3.0, before=first, momentum=0.5)
    mean.check()
    assert mean.arrays.keys() == branches[0].arrays.keys()
    assert {a.dtype for a in mean.arrays.values()} == {a.dtype for a in start.arrays.values()}
    origin, before = (a.arrays["actor.0.weight"].astype(np.float64) for a in (start, first))
    moved = np.tensordot(weights, arrays(branches, "actor.0.weight") - origin, 1)
    expected = (origin + 3.0 * moved + 0.5 * (origin - before)).astype(np.float32)
    np.testing.assert_allclose(mean.arrays["actor.0.weight"], expected, rtol=1e-6)
    averaged = [n for n in mean.arrays if n.startswith(("normalizer.", "value_normalizer."))]
    averaged += [n for n in mean.arrays if n.endswith(("/exp_avg", "/exp_avg_sq"))]
    averaged += ["learner/return_mean", "learner/return_var", "learner/return_count"]
    for name in averaged:
        expected = np.tensordot(weights, arrays(branches, name), 1)
        np.testing.assert_allclose(mean.arrays[name], expected, rtol=1e-6, err_msg=name)
    for name in (n for n in mean.arrays if n.endswith("/step")):
        assert mean.arrays[name] == arrays(branches, name).max()
    rates = arrays(branches, "learner/learning_rate")
    expected = np.exp(np.dot(weights, np.log(rates)))
    np.testing.assert_allclose(mean.arrays["learner/learning_rate"], expected)
    for name in ("environment_steps", "episodes", "updates"):
        most = max(getattr(branch.metadata, name) for branch in branches)
        assert getattr(mean.metadata, name) == most


def test_log_sigma_is_not_extrapolated() -> None:
    spec = tiny_spec(network__distribution="gaussian", task__id="InvertedPendulum-v5")
    computation = UnitComputation(spec)
    start = computation.initial_agent()
    computation.close()
    assert "actor.free" in start.arrays
    moved = Agent({n: a + 1 for n, a in start.arrays.items()}, start.metadata)
    mean = mean_agent(start, [moved], [1.0], step=4.0)
    np.testing.assert_allclose(mean.arrays["actor.free"], start.arrays["actor.free"] + 1)
    weight = start.arrays["actor.0.weight"]
    np.testing.assert_allclose(mean.arrays["actor.0.weight"], weight + 4, rtol=1e-6)


def test_critics_are_brought_to_common_statistics(
    line: tuple[Agent, Agent, list[Agent]],
) -> None:
    """Agents with the same values in other units have a mean with these values."""
    _, start, branches = line
    head = start.policy.network.value_head
    assert head is not None

    def in_units(agent: Agent, deviation: float, mean: float) -> Agent:
        own = ValueNormalizer(agent.arrays)
        new = dict(agent.arrays)
        new["value_normalizer.var"] = np.array(deviation**2)
        new["value_normalizer.mean"] = np.array(mean)
        new[head[0]] = (new[head[0]] * (own.deviation / deviation)).astype(np.float32)
        shift = (new[head[1]] * own.deviation + own.mean - mean) / deviation
        new[head[1]] = shift.astype(np.float32)
        return Agent(new, agent.metadata)

    branch = branches[0]
    assert ValueNormalizer(branch.arrays).deviation > 0
    others = [in_units(branch, 3.0, 1.0), in_units(branch, 70.0, -20.0)]
    for step in (1.0, 4.0):
        expected = mean_agent(start, [branch], [1.0], step=step)
        mean = mean_agent(start, others, [0.5, 0.5], step=step)
        values = []
        for agent in (expected, mean):
            network, size = agent.policy.network, start.metadata.observation_space.shape[0]
            x = np.linspace(-2, 2, 5 * size, dtype=np.float32).reshape(5, size)
            raw = network.values(x, network.initial_state(5))
            values.append(ValueNormalizer(agent.arrays).denormalized(raw))
        np.testing.assert_allclose(values[1], values[0], rtol=1e-4, atol=1e-4)


def test_what_is_not_finite_is_a_divergence(line: tuple[Agent, Agent, list[Agent]]) -> None:
    _, start, branches = line
    with pytest.raises(Divergence, match=r"the mean of actor\.0\.\w+ is not finite"):
        mean_agent(start, branches, [0.4, 0.3, 0.3], step=1e300)
    nan = {n: np.full_like(a, np.nan) for n, a in branches[0].arrays.items()}
    with pytest.raises(Divergence):
        mean_agent(start, [branches[1], replace_arrays(branches[0], nan)], [0.5, 0.5])


def replace_arrays(agent: Agent, new: dict[str, Any]) -> Agent:
    return Agent(new, agent.metadata)


def test_what_has_no_mean_is_refused(line: tuple[Agent, Agent, list[Agent]]) -> None:
    _, start, _ = line
    check_averages(start, normalized_values=True)
    counter = replace_arrays(start, {**start.arrays, "constant/calls": np.array(3)})
    with pytest.raises(UsageError, match=r"tensor constant/calls is int64, which has no mean"):
        check_averages(counter, normalized_values=False)


def test_a_mean_does_not_change_its_agents(line: tuple[Agent, Agent, list[Agent]]) -> None:
    first, start, branches = line
    before = [agent.to_bytes() for agent in (first, start, *branches)]
    mean_agent(start, branches, [0.4, 0.3, 0.3], step=2.0, before=first, momentum=0.9)
    assert [agent.to_bytes() for agent in (first, start, *branches)] == before
    assert replace(start.metadata) == start.metadata
