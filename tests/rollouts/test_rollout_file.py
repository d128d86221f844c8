"""Files of rollouts: what does not belong is refused, and what a network needs is there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

from poolrl.agent import Agent
from poolrl.config.learners import PPO
from poolrl.errors import Divergence, UsageError
from poolrl.rollouts.rollout import Rollout, collect
from poolrl.rollouts.rollout_file import check_finite, from_bytes, to_bytes
from poolrl.rollouts.sampler import Budget, Sampler
from poolrl.seeding import Purpose, Streams
from poolrl.worker.unit_computation import UnitComputation
from tests.conftest import tiny_spec
from tests.helpers.every_network import DISTRIBUTIONS, NETWORKS, keys_of


def collected(**keys: Any) -> tuple[Agent, Rollout]:
    computation = UnitComputation(tiny_spec(**keys))
    agent = computation.initial_agent()
    streams = Streams(0, (1, 0, 0))
    sampler = Sampler(
        computation.make_task(2), streams.generators_from(Purpose.RESET), Budget(episodes=3)
    )
    rollout = collect(sampler, agent.policy, streams.generator(Purpose.ACTION))
    computation.close()
    return agent, rollout


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("distribution", ["beta", *list(DISTRIBUTIONS)[-3:]])
def test_it_holds_all_that_any_network_needs(distribution: str, network: str) -> None:
    agent, rollout = collected(**keys_of(distribution, network, "ppo"))
    data = to_bytes(rollout)
    read = from_bytes(data, agent)
    assert to_bytes(read) == data
    valid = rollout.valid
    assert not valid.all()  # three episodes on two simulations
    for name in set(Rollout._fields) - {"goes_on", "episodes", "states", "noise"}:
        one, other = (getattr(each, name) for each in (rollout, read))
        assert one.dtype == other.dtype, name
        assert one.shape == other.shape, name
        assert one[valid].tobytes() == other[valid].tobytes(), name
    for one, other in zip(rollout.states, read.states, strict=True):
        assert one[valid].tobytes() == other[valid].tobytes()
    assert (rollout.noise is None) == (read.noise is None)
    if rollout.noise is not None and read.noise is not None:
        assert rollout.noise[valid].tobytes() == read.noise[valid].tobytes()
    assert read.episodes.returns.tolist() == rollout.episodes.returns.tolist()
    assert read.episodes.lengths.tolist() == rollout.episodes.lengths.tolist()


@pytest.mark.parametrize("precision", ["single", "double"])
def test_normalised_observations_follow_from_the_statistics(precision: str) -> None:
    """They are computed value by value, so that shape and order of the others do not matter."""
    agent, rollout = collected(learner__name="ppo", network__normalizer_precision=precision)
    arrays = dict(agent.arrays)
    size = agent.metadata.observation_space.shape[0]
    generator = np.random.default_rng(0)
    arrays["normalizer.mean"] = generator.normal(size=size)
    arrays["normalizer.var"] = generator.uniform(0.1, 3.0, size)
    arrays["normalizer.count"] = np.array(9.0)
    known = Agent(arrays, agent.metadata)
    read = from_bytes(to_bytes(rollout), known)
    for t, row in enumerate(rollout.observation):
        for i, single in enumerate(row):
            if rollout.valid[t, i]:
                alone = known.policy.normalized(single[None])[0]
                assert alone.tobytes() == read.normalized[t, i].tobytes()


def test_what_is_not_valid_leaves_no_trace() -> None:
    agent, rollout = collected(learner__name="ppo")
    assert isinstance(tiny_spec(learner__name="ppo").learner, PPO)
    for name in ("observation", "sample", "log_prob", "value", "reward", "bootstrap"):
        array = getattr(rollout, name).copy()
        array[~rollout.valid] = np.nan
        rollout = rollout._replace(**{name: array})
    check_finite(rollout)
    read = from_bytes(to_bytes(rollout), agent)
    assert np.isfinite(read.value).all()
    assert not read.observation[~read.valid].any()
    rollout.log_prob[0, 0] = np.nan
    with pytest.raises(Divergence, match="log_prob is not finite in training"):
        check_finite(rollout)


def changed(data: bytes, **arrays: Any) -> bytes:
    tensors = load(data) | arrays
    return save({name: array for name, array in tensors.items() if array is not None})


def test_what_is_no_rollout_of_the_agent_is_refused() -> None:
    agent, rollout = collected(learner__name="ppo")
    data = to_bytes(rollout)
    steps = int(rollout.valid.sum())
    damaged: dict[str, bytes] = {
        "not a rollout file": data[: len(data) // 2],
        "it has the arrays": changed(data, reward=None),
        "it has the arrays .*noise": changed(data, noise=np.zeros((steps, 1), np.float32)),
        "has a memory": changed(data, **{"state.0": np.zeros((steps, 2), np.float32)}),
        "valid is float32": changed(data, valid=np.zeros((2, 2), np.float32)),
        r"valid has the shape \(1, 1\)": changed(data, valid=np.zeros((1, 1), np.bool_)),
        "reward has the shape": changed(data, reward=np.zeros(steps + 1, np.float32)),
        "value has the shape": changed(data, value=np.zeros((steps, 1), np.float32)),
        "observations are": changed(data, observation=np.zeros((steps, 9))),
        "ended is int64": changed(data, ended=np.zeros(steps, np.int64)),
    }
    for message, content in damaged.items():
        with pytest.raises(UsageError, match=f"^branch-000: .*{message}"):
            from_bytes(content, agent, "branch-000")
    with pytest.raises(UsageError, match="not a rollout"):
        from_bytes(agent.to_bytes(), agent)
    with pytest.raises(UsageError, match="not a rollout"):
        from_bytes(b"", agent)
