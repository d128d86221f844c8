"""Agent files: canonical, safe to read, and usable in any loop."""

from __future__ import annotations

import hashlib
import json
import pickle
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import msgspec
import numpy as np
import pytest
from msgspec.structs import replace

import poolrl
from poolrl import tasks
from poolrl.agent import Agent
from poolrl.algorithms.training import initial_agent
from poolrl.config.loading import load
from poolrl.config.networks import MLPSpec
from poolrl.errors import UsageError
from poolrl.seeding import Streams
from poolrl.spaces import SpaceSpec

MAKE = """
import sys
from poolrl import tasks
from poolrl.config.loading import load
from poolrl.algorithms.training import initial_agent, train
from poolrl.rollouts.sampler import Budget
from poolrl.seeding import Streams
spec, _ = load(None, {"task.max_episode_steps": 20})
make = lambda n: tasks.make("Swimmer-v5", n, max_episode_steps=20)
agent = initial_agent(spec, make(1), Streams(3))
agent = train(agent, make, Budget(episodes=4), spec.learner, Streams(3, (1, 0, 0))).agent
sys.stdout.buffer.write(agent.to_bytes())
"""


@pytest.fixture(scope="module")
def agent() -> Agent:
    spec, _ = load(None)
    task = tasks.make("Swimmer-v5", 1, max_episode_steps=500)
    return initial_agent(spec, task, Streams(0))


def test_two_processes_write_the_same_bytes() -> None:
    first, second = (
        subprocess.run([sys.executable, "-c", MAKE], capture_output=True, check=True).stdout
        for _ in range(2)
    )
    assert len(first) > 10_000
    assert hashlib.sha256(first).digest() == hashlib.sha256(second).digest()


def test_reading_and_writing_again_gives_the_same_bytes(agent: Agent) -> None:
    data = agent.to_bytes()
    again = Agent.from_bytes(data)
    assert again.to_bytes() == data
    assert again.metadata == agent.metadata
    assert again.metadata.network.actor == (32, 32)


def test_keys_of_the_network_are_written_where_they_are_used(agent: Agent) -> None:
    """So that an agent that does without the later ones has the bytes that it always had."""

    def header(network: MLPSpec) -> dict[str, Any]:
        data = Agent(agent.arrays, replace(agent.metadata, network=network)).to_bytes()
        length = int.from_bytes(data[:8], "little")
        table = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["poolrl"])
        return dict(table["network"])

    plain = MLPSpec(distribution="beta")
    first = {"actor", "critic", "activation", "distribution", "normalize_observations"}
    assert set(header(plain)) == first
    later = {
        "std": "network",
        "std_init": 0.5,
        "std_min": 0.1,
        "std_max": 3.0,
        "bins": 5,
        "beta_link": "exponential",
    }
    for key, value in later.items():
        assert header(replace(plain, **{key: value})).items() >= {key: value}.items()
        assert set(header(replace(plain, **{key: value}))) == first | {key}


def test_it_acts_in_a_gymnasium_loop(agent: Agent, tmp_path: Path) -> None:
    path = tmp_path / "agent.safetensors"
    path.write_bytes(agent.to_bytes())
    loaded = poolrl.load(path)
    env = gymnasium.make("Swimmer-v5")
    observation, _ = env.reset(seed=0)
    for _ in range(5):
        action = loaded.act(observation)
        assert action.dtype == np.float32
        assert env.action_space.contains(action)
        observation, *_ = env.step(action)
    env.close()
    batch = loaded.act(np.tile(observation, (3, 1)))
    assert batch.shape == (3, 2)
    sampled = loaded.act(observation, generator=np.random.default_rng(0))
    assert not np.array_equal(sampled, batch[0])


def test_acting_needs_no_torch(agent: Agent, tmp_path: Path) -> None:
    path = tmp_path / "agent.safetensors"
    path.write_bytes(agent.to_bytes())
    code = (
        "import sys, numpy, poolrl; "
        f"poolrl.load({str(path)!r}).act(numpy.zeros(8)); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_observations_of_another_size_are_refused(agent: Agent) -> None:
    with pytest.raises(ValueError, match=r"expected observations of shape \(\.\.\., 8\)"):
        agent.act(np.zeros(5))


def _with_header(data: bytes, change: object) -> bytes:
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    table = json.loads(header["__metadata__"]["poolrl"])
    change(table)  # type: ignore[operator]
    header["__metadata__"]["poolrl"] = json.dumps(table)
    new = json.dumps(header).encode()
    return struct.pack("<Q", len(new)) + new + data[8 + size :]


def test_damaged_files_are_refused_in_one_line(agent: Agent) -> None:
    data = agent.to_bytes()
    for damaged in (
        b"",
        data[:5],
        data[:100],
        data[:-1],
        data + b"x",
        b"\xff" * 64,
        pickle.dumps(agent.metadata.task),
        _with_header(data, lambda t: t.update(schema=99)),
        _with_header(data, lambda t: t.pop("task")),
        _with_header(data, lambda t: t.update(extra=1)),
        _with_header(data, lambda t: t.update(network=3)),
        _with_header(data, lambda t: t.update(task="\ud800")),
        _with_header(data, lambda t: t.update({"\ud800": 1})),
        _with_header(data, lambda t: t.update(max_episode_steps=-5)),
        _with_header(data, lambda t: t["action_space"].update(dtype="foo")),
        _with_header(data, lambda t: t["action_space"].update(shape=[])),
        _with_header(data, lambda t: t["action_space"].update(shape=[10**12])),
        _with_header(data, lambda t: t["action_space"].update(low=[0.0])),
    ):
        with pytest.raises(UsageError, match=r"^mine: ") as error:
            Agent.from_bytes(damaged, "mine")
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("own", "fits"),
    [
        ({"shape": [2, 1], "dtype": "float64"}, True),
        ({"shape": [3], "dtype": "float64"}, False),
        ({"shape": [2, 1], "dtype": "int64"}, False),
        ({"shape": [2, 1], "dtype": "float64", "low": [0.0]}, False),
        ("x", False),
    ],
)
def test_own_actions_must_be_those_of_the_action_space(
    agent: Agent, own: object, fits: bool
) -> None:
    data = _with_header(agent.to_bytes(), lambda t: t.update(own_actions=own))
    if fits:
        action = Agent.from_bytes(data).act(np.zeros(8))
        assert (action.shape, action.dtype) == ((2, 1), np.float64)
        return
    with pytest.raises(UsageError, match=r"^mine: damaged metadata: "):
        Agent.from_bytes(data, "mine")


def test_a_newer_schema_is_named(agent: Agent) -> None:
    newer = _with_header(agent.to_bytes(), lambda t: t.update(schema=99))
    with pytest.raises(UsageError, match="schema 99 is newer"):
        Agent.from_bytes(newer)


def test_agents_that_cannot_train_are_refused(agent: Agent) -> None:
    name = "optimizer/actor.0.bias"
    bias = agent.arrays["actor.0.bias"]
    step = np.zeros((), np.float32)
    whole = {f"{name}/step": step, f"{name}/exp_avg": bias, f"{name}/exp_avg_sq": bias}
    Agent({**agent.arrays, **whole}, agent.metadata).check()
    for added in (
        {"extra": bias},
        {f"{name}/exp_avg": bias},
        {**whole, f"{name}/exp_avg": bias[:3]},
        {"optimizer/nothing/step": step},
        {"actor.0.bias": np.full_like(bias, np.nan)},
    ):
        with pytest.raises(UsageError, match="agent: tensor"):
            Agent({**agent.arrays, **added}, agent.metadata).check()


def test_arrays_that_do_not_fit_are_named(agent: Agent) -> None:
    arrays = dict(agent.arrays)
    arrays["actor.0.weight"] = np.zeros((3, 3), np.float32)
    with pytest.raises(UsageError, match=r"actor\.0\.weight has shape"):
        Agent(arrays, agent.metadata).act(np.zeros(8))
    del arrays["actor.0.weight"]
    with pytest.raises(UsageError, match=r"actor\.0\.weight is missing"):
        Agent(arrays, agent.metadata).act(np.zeros(8))
    arrays["actor.0.weight"] = np.zeros((32, 8), np.float64)
    with pytest.raises(UsageError, match=r"actor\.0\.weight is float64"):
        Agent(arrays, agent.metadata).act(np.zeros(8))


def test_half_bounded_actions_keep_their_bounds() -> None:
    low, high = np.array([0, -1, -np.inf], np.float32), np.array([np.inf, 1, np.inf], np.float32)
    space = gymnasium.spaces.Box(low, high)
    spec = SpaceSpec.of(space)
    assert spec.space() == space
    table = json.loads(json.dumps(msgspec.to_builtins(spec)))
    assert msgspec.convert(table, SpaceSpec) == spec
    unbounded = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float64)
    assert SpaceSpec.of(unbounded).low is None


@pytest.mark.torch
def test_the_torch_module_is_the_agent(agent: Agent) -> None:
    import torch

    observation = np.random.default_rng(0).normal(size=(6, 8))
    with torch.no_grad():
        parameters, value = agent.module()(torch.from_numpy(observation))
    assert agent.policy.value(observation) == pytest.approx(value.numpy(), abs=1e-5)
    expected = agent.policy.distribution.mode(parameters.numpy())
    assert agent.act(observation) == pytest.approx(expected, abs=1e-5)
