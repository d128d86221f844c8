"""A policy as a torch module, to use or train an agent in torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from poolrl.config.networks import EncoderDecoderSpec, MLPSpec, NetworkSpec, RecurrentSpec
from poolrl.networks.encoder_decoder_module import EncoderDecoderModule
from poolrl.networks.normalizer import (
    ABSOLUTE_FLOOR,
    OBSERVATION_CLIP,
    RELATIVE_FLOOR,
    VARIANCE_FLOOR,
)
from poolrl.networks.recurrent_module import ACTIVATIONS, RecurrentModule
from poolrl.networks.value_normalizer import PREFIX, SMALLEST_DEVIATION


class PolicyModule(nn.Module):
    """Actor and critic with copies of an agent's arrays, under the same names.

    Args:
        arrays: of an agent, those of the policy.
        network: architecture of actor and critic, as perceptrons.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]], network: MLPSpec) -> None:
        super().__init__()
        tensors = _copies(arrays)
        actor, critic, activation = len(network.actor), len(network.critic), network.activation
        self.shared: nn.Sequential | None = None
        if network.shared:
            self.shared = _mlp(tensors, "shared", actor, activation)
            self.shared.append(ACTIVATIONS[activation]())
            actor = critic = 0
        self.actor = _mlp(tensors, "actor", actor + 1, activation)
        self.critic = _mlp(tensors, "critic", critic + 1, activation)
        if "actor.free" in tensors:
            self.actor.register_parameter("free", nn.Parameter(tensors["actor.free"]))
        self.normalizer, self.value_normalizer = _normalizers(tensors, network)
        hidden = set(network.critic_columns)
        size = int(tensors["critic.0.weight"].shape[1]) if hidden else 0
        self._columns = [i for i in range(size) if i not in hidden]

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """Compute distribution parameters and values.

        Args:
            observation: (n, observation size), not normalised; float64 where its values need it.

        Returns:
            (n, number of parameters) of the action distribution, and (n,) values in the unit of the
            rewards, both float32.
        """
        x = self.normalizer(observation).to(torch.float32)
        if self.shared is not None:
            x = self.shared(x)
        parameters = self.actor(x[:, self._columns] if self._columns else x)
        free = dict(self.actor.named_parameters()).get("free")
        if free is not None:
            parameters = torch.cat((parameters, free.expand(len(parameters), -1)), dim=1)
        return parameters, self.value_normalizer(self.critic(x).squeeze(-1))


class RecurrentPolicyModule(nn.Module):
    """As ``PolicyModule``, for networks that may have a memory.

    Args:
        arrays: of an agent, those of the policy.
        network: architecture of actor and critic.
    """

    def __init__(
        self, arrays: Mapping[str, NDArray[Any]], network: RecurrentSpec | EncoderDecoderSpec
    ) -> None:
        super().__init__()
        tensors = _copies(arrays)
        self.network: RecurrentModule | EncoderDecoderModule
        if isinstance(network, RecurrentSpec):
            self.network = RecurrentModule(arrays, network)
        else:
            self.network = EncoderDecoderModule(arrays, network)
        for name, parameter in self.network.named_parameters():
            parameter.data = tensors[name]
        self.normalizer, self.value_normalizer = _normalizers(tensors, network)

    def initial_state(self, n: int) -> tuple[Tensor, ...]:
        """The memory at the start of n episodes, arrays of shape (n, …)."""
        return tuple(torch.zeros(n, *shape) for shape in self.network.state_shapes)

    def forward(
        self,
        observation: Tensor,
        state: tuple[Tensor, ...] = (),
        episode_start: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """One step.

        Args:
            observation: (n, observation size), not normalised; float64 where its values need it.
            state: the memory that the previous call returned; empty at first.
            episode_start: (n,) booleans: where an episode starts and the memory is reset.

        Returns:
            Distribution parameters and values as of ``PolicyModule``, and the new memory.
        """
        state = state or self.initial_state(len(observation))
        if episode_start is not None:
            state = tuple(
                part.masked_fill(episode_start.view(-1, *[1] * (part.ndim - 1)), 0.0)
                for part in state
            )
        x = self.normalizer(observation).to(torch.float32)
        parameters, value, state = self.network.step(x, state)
        return parameters, self.value_normalizer(value), state


def policy_module(
    arrays: Mapping[str, NDArray[Any]], network: MLPSpec | RecurrentSpec | EncoderDecoderSpec
) -> PolicyModule | RecurrentPolicyModule:
    """The module of an agent with these arrays and this network."""
    if isinstance(network, RecurrentSpec | EncoderDecoderSpec):
        return RecurrentPolicyModule(arrays, network)
    return PolicyModule(arrays, network)


def _copies(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}


def _normalizers(
    tensors: Mapping[str, Tensor], network: NetworkSpec
) -> tuple[nn.Module, nn.Module]:
    """Of observations and of values; where there is none, what leaves them as they are."""
    normalizer: nn.Module = nn.Identity()
    value_normalizer: nn.Module = nn.Identity()
    if network.normalize_observations:
        normalizer = _Normalizer(tensors, double=network.normalizer_precision == "double")
    if any(name.startswith(PREFIX) for name in tensors):
        value_normalizer = _ValueNormalizer(tensors)
    return normalizer, value_normalizer


class _Normalizer(nn.Module):
    mean: Tensor
    var: Tensor

    def __init__(self, tensors: Mapping[str, Tensor], *, double: bool) -> None:
        super().__init__()
        self.double_precision = double
        for name in ("mean", "var", "count"):
            self.register_buffer(name, tensors[f"normalizer.{name}"])

    def forward(self, observation: Tensor) -> Tensor:
        if self.double_precision:
            deviation = torch.sqrt(self.var)
            floor = (RELATIVE_FLOOR * self.mean.abs()).clamp(min=ABSOLUTE_FLOOR)
            scale = torch.where(deviation > floor, 1 / deviation, 0.0)
            x = (observation.to(torch.float64) - self.mean) * scale
        else:
            scale = torch.rsqrt(self.var + VARIANCE_FLOOR).to(torch.float32)
            x = (observation.to(torch.float32) - self.mean.to(torch.float32)) * scale
        return x.clamp(-float(OBSERVATION_CLIP), float(OBSERVATION_CLIP))


class _ValueNormalizer(nn.Module):
    mean: Tensor
    var: Tensor
    count: Tensor

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        for name in ("mean", "var", "count"):
            self.register_buffer(name, tensors[f"{PREFIX}{name}"])

    def forward(self, value: Tensor) -> Tensor:
        deviation = torch.sqrt(self.var)
        varies = deviation > SMALLEST_DEVIATION * self.mean.abs()
        scale = torch.where(varies, deviation, 0.0)
        return (value.to(torch.float64) * scale + self.mean).to(torch.float32)


def _mlp(tensors: Mapping[str, Tensor], name: str, count: int, activation: str) -> nn.Sequential:
    layers: list[nn.Module] = []
    for i in range(count):
        weight, bias = tensors[f"{name}.{2 * i}.weight"], tensors[f"{name}.{2 * i}.bias"]
        linear = nn.Linear(weight.shape[1], weight.shape[0])
        linear.weight, linear.bias = nn.Parameter(weight), nn.Parameter(bias)
        layers += [linear, ACTIVATIONS[activation]()]
    return nn.Sequential(*layers[:-1])
