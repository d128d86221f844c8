"""Values of a rollout are those that the update starts from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from poolrl import tasks
from poolrl.algorithms.training import initial_agent
from poolrl.config.loading import load
from poolrl.rollouts.minibatches import Minibatches
from poolrl.rollouts.rollout import collect
from poolrl.rollouts.sampler import Budget, Sampler
from poolrl.seeding import Purpose, Streams
from tests.helpers.networks import user_network


@pytest.mark.parametrize(
    "network",
    [
        pytest.param("NoisyValue", marks=pytest.mark.torch),
        pytest.param("Bottleneck", marks=pytest.mark.torch),
        {"network.actor": [8], "network.critic": [8]},
        {"network.name": "recurrent"},
    ],
)
def test_recorded_values(network: str | dict[str, Any]) -> None:
    keys = network if isinstance(network, dict) else {}
    if network == "Bottleneck":
        keys = {"learner.penalties": {"kl": 0.1}}
    plain = {"task.id": "Plateau-v0", "learner.normalize_values": False}
    spec, _ = load(None, plain | keys)
    if isinstance(network, str):
        spec = replace(spec, network=user_network(network))
    task, streams = tasks.make(spec.task, 4), Streams(0)
    policy = initial_agent(spec, task, streams).policy
    sampler = Sampler(task, streams.generators_from(Purpose.RESET), Budget(episodes=8))
    rollout = collect(sampler, policy, streams.generator(Purpose.ACTION))
    whole = Minibatches(rollout, 16).whole()
    value = policy.denormalized(policy.network.forward(whole.inputs).value)
    recorded = rollout.value[rollout.valid][whole.rows]
    assert np.ptp(recorded) > 0.01
    assert recorded == pytest.approx(value, rel=1e-4, abs=1e-5)
