"""A decoder without its encoder plays what its agent plays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from poolrl.agent import Agent
from poolrl.errors import UsageError
from poolrl.frozen_decoder import FrozenDecoder
from poolrl.networks.normalizer import update_normalizer
from tests.helpers.encoders import network_of, random_agent
from tests.helpers.networks import SIZE, agent

DECODERS = ["variational, lstm", "variational, lstm output", "variational, mlp"]
DECODERS += ["deterministic, lstm", "noisy, lstm", "encoder, senses of the critic"]


def trained(name: str, precision: str) -> Agent:
    """An agent with random parameters, and statistics of what it has observed."""
    made = random_agent(name)
    network = replace(made.metadata.network, normalizer_precision=precision)
    arrays = {key: array.copy() for key, array in made.arrays.items()}
    seen = np.random.default_rng(5).normal(3, 2, (100, SIZE))
    update_normalizer(arrays, network, seen)
    return Agent(arrays, replace(made.metadata, network=network))


@pytest.mark.parametrize("precision", ["single", "double"])
@pytest.mark.parametrize("name", DECODERS)
def test_latents_of_the_encoder_give_the_agents_actions(
    tmp_path: Path, name: str, precision: str
) -> None:
    made = trained(name, precision)
    path = tmp_path / "agent.safetensors"
    path.write_bytes(made.to_bytes())
    decoder = FrozenDecoder.load(path)
    assert (decoder.latent_size, decoder.action_size) == (3, 3)
    network, rng = network_of(made), np.random.default_rng(0)
    own = state = decoder.initial_state(4)
    start = np.zeros(4, bool)
    for _ in range(8):
        observation = rng.normal(3, 2, (4, SIZE))
        x = made.policy.normalized(observation)
        found = network.activations(x, network.initial_state(4))
        latent = found.get("encoder/bottleneck/latent", found.get("encoder/bottleneck/signal"))
        assert latent is not None
        expected, own = made.step(observation, own, start)
        before = [part.copy() for part in state]
        action, after = decoder.act(latent, observation[:, decoder.columns], state, start)
        assert action == pytest.approx(expected, abs=1e-6)
        assert np.abs(action).max() > 0.05
        assert action.dtype == np.float32
        assert all(np.array_equal(a, b) for a, b in zip(before, state, strict=True))
        assert all(a == pytest.approx(b, abs=1e-6) for a, b in zip(after, own, strict=True))
        state, start = after, rng.random(4) < 0.4


def test_agents_without_such_a_decoder(tmp_path: Path) -> None:
    for name in ("decoder alone", "mlp tanh", "lstm"):
        path = tmp_path / "agent.safetensors"
        path.write_bytes(agent(name).to_bytes())
        with pytest.raises(UsageError, match="no decoder of latent variables") as error:
            FrozenDecoder.load(path)
        assert str(error.value).startswith(f"{path}: ")
    with pytest.raises(UsageError, match="missing"):
        FrozenDecoder.load(tmp_path / "missing")


def test_other_sizes_are_refused() -> None:
    decoder = FrozenDecoder(agent("variational, lstm"))
    with pytest.raises(ValueError, match=r"latent variables of shape \(n, 3\), got \(4, 2\)"):
        decoder.act(np.zeros((4, 2)), np.zeros((4, 2)), decoder.initial_state(4))
    with pytest.raises(ValueError, match=r"senses of shape \(n, 2\), got \(4, 3\)"):
        decoder.act(np.zeros((4, 3)), np.zeros((4, 3)), decoder.initial_state(4))
