"""Agents with an encoder and a decoder."""

from __future__ import annotations

import numpy as np

from poolrl.agent import Agent
from poolrl.networks.encoder_decoder import EncoderDecoderNetwork
from tests.helpers import networks


def random_agent(name: str) -> Agent:
    """An agent of an entry of ``networks.SPECS``, with random parameters."""
    made, rng = networks.agent(name), np.random.default_rng(3)
    arrays = {
        key: (array + rng.normal(0, 0.3, array.shape)).astype(array.dtype)
        if array.dtype == np.float32
        else array
        for key, array in made.arrays.items()
    }
    return Agent(arrays, made.metadata)


def network_of(agent: Agent) -> EncoderDecoderNetwork:
    network = agent.policy.network
    assert isinstance(network, EncoderDecoderNetwork)
    return network
