"""The encoder-decoder network: its formulas, written out again in torch or by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box
from scipy.special import expit
from torch import Tensor

from poolrl.algorithms.training import initial_agent
from poolrl.config.learners import PPO
from poolrl.config.loading import load
from poolrl.config.networks import EncoderDecoderSpec
from poolrl.config.schema import Spec, TaskSpec
from poolrl.errors import UsageError
from poolrl.networks.encoder_decoder_module import EncoderDecoderModule
from poolrl.networks.parameters import expected_shapes
from poolrl.networks.policy import Policy
from poolrl.seeding import Streams
from tests.helpers import networks
from tests.helpers.encoders import network_of, random_agent

SIZE = networks.SIZE
JOINTS, OTHERS = [0, 2, 3], [1, 4]  # of networks.Spaces


def kl(module: EncoderDecoderModule, x: Tensor) -> Tensor:
    mean, log_std = module.moments(x)
    normal = torch.distributions.Normal
    divergence = torch.distributions.kl_divergence(normal(mean, log_std.exp()), normal(0.0, 1.0))
    return divergence.mean(dim=1)


@pytest.mark.parametrize("name", networks.ENCODED)
def test_derivatives_are_torchs(name: str) -> None:
    """Over sequences of several lengths, each with the memory that acting had there."""
    network, arrays, gradient, inputs = networks.case(name)
    output = network.forward(inputs)
    by_parameters, by_value, *by_penalties = networks.random_like(
        output.parameters, output.value, *output.penalties.values()
    )
    network.backward(
        by_parameters, by_value, dict(zip(output.penalties, by_penalties, strict=True))
    )

    spec = networks.agent(name).metadata.network
    assert isinstance(spec, EncoderDecoderSpec)
    module = EncoderDecoderModule(arrays, spec).double()
    module.load_state_dict({key: torch.from_numpy(array) for key, array in arrays.items()})
    lengths, start = [len(inputs.observation)], 0
    memory: tuple[np.ndarray, ...] = ()
    if inputs.sequences is not None:
        lengths, memory = inputs.sequences.lengths.tolist(), inputs.sequences.state
    assert inputs.noise is not None
    loss = torch.zeros((), dtype=torch.float64)
    observation, noise = (torch.from_numpy(a).double() for a in (inputs.observation, inputs.noise))
    for number, length in enumerate(lengths):
        state = tuple(torch.from_numpy(part[number : number + 1]).double() for part in memory)
        if inputs.sequences is None:  # rows of a network without memory are one batch
            steps = [slice(start, start + length)]
        else:
            steps = [slice(row, row + 1) for row in range(start, start + length)]
        for rows in steps:
            parameters, value, state = module.step(observation[rows], state, noise[rows])
            for got, expected, by in (
                (output.parameters, parameters, by_parameters),
                (output.value, value, by_value),
                *(
                    (output.penalties["kl"], kl(module, observation[rows]), each)
                    for each in by_penalties
                ),
            ):
                assert got[rows] == pytest.approx(expected.detach().numpy(), abs=1e-5, rel=1e-5)
                loss = loss + (expected * torch.from_numpy(by[rows])).sum()
        start += length
    loss.backward()
    parameters_by_name = dict(module.named_parameters())
    assert parameters_by_name.keys() == gradient.keys()
    for key, array in gradient.items():
        expected = parameters_by_name[key].grad
        assert expected is not None
        largest = max(1.0, float(expected.abs().max()))
        assert array == pytest.approx(expected.numpy(), abs=1e-5 * largest), key
        assert np.abs(array).max() > 1e-3, key


@pytest.mark.parametrize("name", networks.ENCODED)
def test_deterministic_actions_are_those_of_the_module(name: str) -> None:
    """Over ends of episodes, with observations that are normalised."""
    made = random_agent(name)
    module = made.module()
    rng = np.random.default_rng(0)
    memory: Any = ()
    state: Any = ()
    start = np.zeros(4, bool)
    for _ in range(8):
        observation = rng.normal(size=(4, SIZE)) * 2
        action, memory = made.step(observation, memory, start)
        with torch.no_grad():
            parameters, value, state = module(
                torch.from_numpy(observation), state, torch.from_numpy(start)
            )
        assert action == pytest.approx(made.policy.distribution.mode(parameters.numpy()), abs=1e-5)
        assert made.policy.value(observation) == pytest.approx(value.numpy(), abs=1e-5)
        for ours, theirs in zip(memory, state, strict=True):
            assert ours == pytest.approx(theirs.numpy(), abs=1e-5)
        start = rng.random(4) < 0.3


def test_a_new_agent_has_no_values_and_standard_normal_latents() -> None:
    made = networks.agent("variational, lstm")
    observation = np.random.default_rng(0).normal(size=(6, SIZE)).astype(np.float32)
    noise = np.random.default_rng(1).normal(size=(6, 3)).astype(np.float32)
    network = network_of(made)
    found = network.activations(observation, network.initial_state(6), noise)
    assert np.array_equal(found["encoder/bottleneck/latent"], noise)
    assert not found["critic/value"].any()
    assert not made.policy.value(observation).any()


def test_the_size_of_the_virtual_rodents_network() -> None:
    spec = EncoderDecoderSpec(
        encoder_senses=("target",),
        encoder_columns=tuple(range(200, 915)),
        encoder=(1024, 1024),
        decoder=(1024, 1024),
        decoder_output="lstm",
        critic=(1024, 1024),
        normalize_observations=False,
    )
    shapes = expected_shapes(spec, 915, Box(-1, 1, (38,), np.float32))
    assert shapes["actor.decoder.0.weight_ih_l0"] == (4096, 260)
    assert shapes["actor.decoder.2.weight_hh_l0"] == (4 * 76, 76)
    assert round(sum(map(np.prod, shapes.values())) / 1e6, 1) == 17.9


def lstm(arrays: Any, name: str, x: np.ndarray, h: np.ndarray, c: np.ndarray) -> Any:
    gates = x @ arrays[f"{name}.weight_ih_l0"].T + arrays[f"{name}.bias_ih_l0"]
    gates = gates + h @ arrays[f"{name}.weight_hh_l0"].T + arrays[f"{name}.bias_hh_l0"]
    i, f, g, o = np.split(gates, 4, axis=1)
    c = expit(f) * c + expit(i) * np.tanh(g)
    return expit(o) * np.tanh(c), c


def test_activations_by_hand() -> None:
    """Of every layer, in the order of the computation, after two steps."""
    made = random_agent("variational, lstm output")
    network, rng = network_of(made), np.random.default_rng(0)
    arrays = {key: array.astype(np.float64) for key, array in made.arrays.items()}

    def linear(name: str, x: np.ndarray) -> np.ndarray:
        result: np.ndarray = x @ arrays[f"{name}.weight"].T + arrays[f"{name}.bias"]
        return result

    state = network.initial_state(4)
    hand = [np.zeros((4, width)) for width in (6, 6, 7, 7, 6, 6)]
    for _ in range(2):
        observation = rng.normal(size=(4, SIZE)).astype(np.float32)
        noise = rng.normal(size=(4, 3)).astype(np.float32)
        before = tuple(part.copy() for part in state)
        found = network.activations(observation, state, noise)
        parameters, after = network.act(observation, state, noise)
        assert all(np.array_equal(a, b) for a, b in zip(before, state, strict=True))
        expected = {"encoder/0": np.tanh(linear("actor.encoder.0", observation[:, JOINTS]))}
        mean, third = np.split(np.tanh(linear("actor.bottleneck", expected["encoder/0"])), 2, 1)
        expected["encoder/bottleneck/mu"] = mean
        expected["encoder/bottleneck/sigma"] = np.exp(3 * third)
        expected["encoder/bottleneck/latent"] = mean + np.exp(3 * third) * noise
        x = np.hstack((expected["encoder/bottleneck/latent"], observation[:, OTHERS]))
        for layer in range(3):
            h, c = lstm(arrays, f"actor.decoder.{layer}", x, *hand[2 * layer : 2 * layer + 2])
            hand[2 * layer : 2 * layer + 2] = h, c
            expected |= {f"decoder/{layer}/h": h, f"decoder/{layer}/c": c}
            x = h
        expected["critic/0"] = np.tanh(linear("critic.0", observation))
        expected["critic/value"] = 4 * linear("critic.2", expected["critic/0"])
        assert list(found) == list(expected)
        for key, value in expected.items():
            assert found[key] == pytest.approx(value, abs=1e-5), key
        assert parameters == pytest.approx(x, abs=1e-5)
        assert network.step(observation, state, noise)[0].value == pytest.approx(
            expected["critic/value"][:, 0], abs=1e-5
        )
        state = after


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("variational, mlp", ["decoder/0", "decoder/1", "decoder/output"]),
        ("deterministic, lstm", ["encoder/bottleneck/latent", "decoder/1/c", "decoder/output"]),
        ("noisy, lstm", ["encoder/bottleneck/signal", "encoder/bottleneck/corrupted_signal"]),
    ],
)
def test_names_of_activations(name: str, keys: list[str]) -> None:
    made = random_agent(name)
    network = network_of(made)
    observation = np.random.default_rng(0).normal(size=(4, SIZE)).astype(np.float32)
    noise = np.random.default_rng(1).normal(size=(4, network.noise_size)).astype(np.float32)
    found = network.activations(observation, network.initial_state(4), noise)
    assert set(keys) <= set(found)
    if "decoder/output" in found:
        parameters, _ = network.act(observation, network.initial_state(4), noise)
        outputs = found["decoder/output"]
        assert np.array_equal(outputs, parameters[:, : outputs.shape[1]])
    if "noisy" in name:
        difference = found[keys[1]] - found[keys[0]]
        assert difference == pytest.approx(0.3 * noise, abs=1e-6)
    assert all(array.shape[0] == 4 for array in found.values())


def test_outputs_are_means_and_standard_deviations_within_bounds() -> None:
    """σ = 0.255 + 0.245 s for the published bounds of 0.01 and 0.5."""
    made = random_agent("variational, lstm output")
    policy: Policy = made.policy
    observation = np.random.default_rng(0).normal(size=(50, SIZE)) * 5
    output = policy.act(observation, generator=np.random.default_rng(1))
    assert output.parameters is not None
    assert output.sample is not None
    mean, s = (output.parameters[:, part].astype(np.float64) for part in (slice(3), slice(3, 6)))
    assert np.abs(output.parameters).max() < 1
    law = torch.distributions.Normal(
        *(torch.tensor(each, requires_grad=True) for each in (mean, 0.255 + 0.245 * s))
    )
    log_prob = law.log_prob(torch.from_numpy(output.sample).double()).sum(dim=1)
    entropy = law.entropy().sum(dim=1)
    distribution = policy.distribution
    for ours, theirs in (
        (distribution.log_prob_gradient(output.parameters, output.sample), log_prob),
        (distribution.entropy_gradient(output.parameters), entropy),
    ):
        assert ours.value == pytest.approx(theirs.detach().numpy(), abs=1e-4)
        by_mean, by_std = torch.autograd.grad(theirs.sum(), (law.loc, law.scale), allow_unused=True)
        assert ours.by_parameters[:, 3:] == pytest.approx(0.245 * by_std.numpy(), rel=1e-4)
        if by_mean is not None:
            assert ours.by_parameters[:, :3] == pytest.approx(by_mean.numpy(), rel=1e-4)


KEYS = {"network.name": "encoder_decoder", "network.encoder_senses": ["joints"]}


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"network.encoder_senses": []}, ["encoder_senses: name what the encoder sees"]),
        ({"network.bottleneck": "none"}, ["encoder_senses: without a bottleneck"]),
        ({"network.critic_senses": ["joints"]}, ["critic_senses: the encoder sees joints too"]),
        ({"network.noise_scale": 0.5}, ["noise_scale: needs bottleneck = noisy"]),
        (
            {"network.decoder_kind": "mlp", "network.decoder_output": "lstm"},
            ["decoder_output: lstm needs decoder_kind = lstm"],
        ),
        ({"network.decoder": []}, ["decoder: an lstm needs a layer"]),
        ({"network.value_scale": 20.0}, ["network.value_scale", "normalize_values = false"]),
        ({"network.distribution": "beta"}, ["network.distribution", "beta", "gaussian"]),
        (
            {"learner.sequence_steps": 100, "learner.minibatch_size": 64},
            ["learner.sequence_steps: 100 do not fit"],
        ),
        ({"learner.name": "mpo"}, ["q_mlp is the network of learner.name = mpo"]),
        ({"network.bottleneck": "narrow"}, ["network.bottleneck", "narrow", "variational"]),
    ],
)
def test_what_does_not_go_together(keys: dict[str, object], words: list[str]) -> None:
    with pytest.raises(UsageError) as error:
        load(None, {**KEYS, **keys})
    for word in words:
        assert word in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "weights", "words"),
    [
        ({"encoder_senses": ("vision",)}, {"kl": 1.0}, ["network.encoder_senses", "no vision"]),
        (
            {"encoder_senses": ("contact", "force", "joints")},
            {"kl": 1.0},
            ["network.encoder_senses", "the decoder"],
        ),
        ({}, {}, ["learner.penalties: weights for kl are needed"]),
        ({"bottleneck": "deterministic"}, {"kl": 1.0}, ["weights for nothing are needed"]),
        ({"std_init": 0.3}, {"kl": 1.0}, ["network.std_init"]),
        ({"std_min": 0.6}, {"kl": 1.0}, ["network.std_max", "std_min"]),
    ],
)
def test_what_does_not_suit_a_task(
    options: dict[str, Any], weights: dict[str, float], words: list[str]
) -> None:
    network = EncoderDecoderSpec(**{"encoder_senses": ("joints",)} | options)
    spec = Spec(task=TaskSpec(id="Plateau-v0"), network=network, learner=PPO(penalties=weights))
    with pytest.raises(UsageError) as error:
        initial_agent(spec, networks.Spaces(), Streams(0))
    for word in words:
        assert word in str(error.value)


def test_actions_without_bounds_are_refused() -> None:
    class Unbounded(networks.Spaces):
        action_space = Box(-np.inf, np.inf, (3,), np.float32)

    network = EncoderDecoderSpec(encoder_senses=("joints",))
    spec = Spec(network=network, learner=PPO(penalties={"kl": 0.1}))
    with pytest.raises(UsageError, match=r"network\.name: encoder_decoder is for continuous"):
        initial_agent(spec, Unbounded(), Streams(0))
