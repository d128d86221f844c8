"""Encoder, bottleneck, decoder and critic as a torch module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from poolrl.config.networks import EncoderDecoderSpec
from poolrl.networks.bottleneck import LOG_STD_SCALE
from poolrl.networks.encoder_decoder import decoder_columns
from poolrl.networks.recurrent_module import ACTIVATIONS


class EncoderDecoderModule(nn.Module):
    """What ``poolrl.networks.encoder_decoder.EncoderDecoderNetwork`` computes, in torch.

    Args:
        arrays: named tensors of an agent, whose shapes and names the parameters have.
        spec: architecture.

    Attributes:
        state_shapes: of the memory of one row.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]], spec: EncoderDecoderSpec) -> None:
        super().__init__()
        self._spec = spec
        self._encoded = list(spec.encoder_columns)
        self._seen = decoder_columns(spec, arrays["critic.0.weight"].shape[1]).tolist()
        self.actor = nn.Module()
        if spec.bottleneck != "none":
            self.actor.encoder = _perceptron(arrays, "actor.encoder", spec.activation)
            self.actor.bottleneck = _linear(arrays, "actor.bottleneck")
        self._memories: list[nn.LSTM] = []
        if spec.decoder_kind == "mlp":
            self.actor.decoder = _perceptron(arrays, "actor.decoder", spec.activation)
        else:
            while (name := f"actor.decoder.{len(self._memories)}.weight_ih_l0") in arrays:
                units, inputs = arrays[name].shape
                self._memories.append(nn.LSTM(inputs, units // 4))
            self.actor.decoder = nn.ModuleList(self._memories)
        if spec.decoder_output == "linear":
            self.actor.head = _linear(arrays, "actor.head")
        if "actor.free" in arrays:
            free = nn.Parameter(torch.empty(arrays["actor.free"].shape))
            self.actor.register_parameter("free", free)
        self.critic = _perceptron(arrays, "critic", spec.activation)[:-1]
        self.state_shapes = [(each.hidden_size,) for each in self._memories for _ in "hc"]

    def step(
        self, observation: Tensor, state: tuple[Tensor, ...], noise: Tensor | None = None
    ) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """One step.

        Args:
            observation: (n, observation size), normalised.
            state: the memory before it, tensors of shape (n, width).
            noise: (n, latent variables), normal; ``None`` for zeros.

        Returns:
            The distribution's parameters, the values, and the memory after the step.
        """
        x = observation[:, self._seen]
        if self._spec.bottleneck != "none":
            x = torch.cat((self._latent(observation, noise), x), dim=1)
        after: list[Tensor] = []
        if not self._memories:
            x = self._run("decoder", x)
        for i, memory in enumerate(self._memories):
            h, c = (part.unsqueeze(0).contiguous() for part in state[2 * i : 2 * i + 2])
            y, new = memory(x.unsqueeze(0), (h, c))
            x = y.squeeze(0)
            after += [part.squeeze(0) for part in new]
        if self._spec.decoder_output == "linear":
            x = torch.tanh(self._run("head", x))
        free = dict(self.actor.named_parameters()).get("free")
        if free is not None:
            x = torch.cat((x, free.expand(len(x), -1)), dim=1)
        value = self.critic(observation).squeeze(-1) * self._spec.value_scale
        return x, value, tuple(after)

    def moments(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log σ of the latent variables of a variational bottleneck, both (n, z)."""
        outputs = torch.tanh(self._run("bottleneck", self._features(observation)))
        mean, third = outputs.chunk(2, dim=1)
        return mean, third * float(LOG_STD_SCALE)

    def _latent(self, observation: Tensor, noise: Tensor | None) -> Tensor:
        if self._spec.bottleneck == "variational":
            mean, log_std = self.moments(observation)
            return mean if noise is None else mean + noise * log_std.exp()
        latent = torch.tanh(self._run("bottleneck", self._features(observation)))
        if self._spec.bottleneck == "deterministic" or noise is None:
            return latent
        return latent + self._spec.noise_scale * noise

    def _features(self, observation: Tensor) -> Tensor:
        return self._run("encoder", observation[:, self._encoded])

    def _run(self, name: str, x: Tensor) -> Tensor:
        y: Tensor = self.actor.get_submodule(name)(x)
        return y


def _linear(arrays: Mapping[str, NDArray[Any]], name: str) -> nn.Linear:
    outputs, inputs = arrays[f"{name}.weight"].shape
    return nn.Linear(inputs, outputs)


def _perceptron(arrays: Mapping[str, NDArray[Any]], name: str, activation: str) -> nn.Sequential:
    """Linear layers, each with its activation."""
    layers = nn.Sequential()
    while f"{name}.{len(layers)}.weight" in arrays:
        layers.append(_linear(arrays, f"{name}.{len(layers)}"))
        layers.append(ACTIVATIONS[activation]())
    return layers
