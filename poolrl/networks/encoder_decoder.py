"""Encoder, bottleneck and decoder as an actor, with a perceptron as critic, in NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from poolrl.config.networks import EncoderDecoderSpec
from poolrl.networks.base import Inputs, Network, NetworkOutput, State
from poolrl.networks.bottleneck import Bottleneck, BottleneckOutput
from poolrl.networks.decoder import Decoder
from poolrl.networks.mlp import MLP, Cache

F32 = NDArray[np.float32]


class EncoderDecoderNetwork(Network):
    """The encoder's senses pass a bottleneck; the decoder sees them and all other senses of the
    actor; the critic sees all senses, and has no memory.

    Args:
        arrays: named tensors of an agent.
        spec: architecture, with the columns of the encoder.
        observation_size: number of observed values.
        gradient: arrays that receive the derivatives; ``None`` for a network that is not trained.
    """

    runs_again = False

    def __init__(
        self,
        arrays: Mapping[str, NDArray[Any]],
        spec: EncoderDecoderSpec,
        observation_size: int,
        gradient: Mapping[str, F32] | None = None,
    ) -> None:
        self._gradient = gradient
        self.noise_size, self.penalty_names = spec.noise_size, spec.penalties
        self._encoded = np.array(spec.encoder_columns, np.intp)
        self._seen = decoder_columns(spec, observation_size)
        self._encoder: MLP | None = None
        if spec.bottleneck != "none":
            self._encoder = MLP(
                *(arrays, "actor.encoder", len(spec.encoder), spec.activation), activate_last=True
            )
            self._bottleneck = Bottleneck(arrays, spec)
        self.decoder = Decoder(arrays, spec)
        self._free: F32 | None = arrays.get("actor.free")
        self._critic = MLP(arrays, "critic", len(spec.critic) + 1, spec.activation)
        self._value_scale = np.float32(spec.value_scale)
        if spec.value_scale == 1:  # what rescales a head knows of no factor behind it
            head = f"critic.{2 * len(spec.critic)}"
            self.value_head = f"{head}.weight", f"{head}.bias"
        self._forward: _Forward | None = None

    def changed(self) -> None:
        self.decoder.changed()

    def initial_state(self, n: int) -> State:
        return self.decoder.initial_state(n)

    def act(self, observation: F32, state: State, noise: F32 | None = None) -> tuple[F32, State]:
        x = observation[:, self._seen]
        if self._encoder is not None:
            features = self._encoder(observation[:, self._encoded])
            x = np.concatenate((self._bottleneck(features, noise), x), axis=1)
        outputs, after = self.decoder.step(x, state)
        return self._with_free(outputs), after

    def values(self, observation: F32, state: State = (), noise: F32 | None = None) -> F32:
        value: F32 = self._critic(observation)[:, 0]
        value *= self._value_scale
        return value

    def step(
        self, observation: F32, state: State, noise: F32 | None = None
    ) -> tuple[NetworkOutput, State]:
        parameters, after = self.act(observation, state, noise)
        return NetworkOutput(parameters, self.values(observation)), after

    def forward(self, inputs: Inputs) -> NetworkOutput:
        observation = inputs.observation
        x = observation[:, self._seen]
        encoder: Cache | None = None
        latent: BottleneckOutput | None = None
        penalties: dict[str, F32] = {}
        if self._encoder is not None:
            features, encoder = self._encoder.forward_with_cache(observation[:, self._encoded])
            latent = self._bottleneck.forward(features, inputs.noise)
            x = np.concatenate((latent.latent, x), axis=1)
            penalties = latent.penalties
        outputs = self.decoder.forward(x, inputs.sequences)
        value, critic = self._critic.forward_with_cache(observation)
        self._forward = _Forward(encoder, latent, outputs, critic)
        return NetworkOutput(self._with_free(outputs), value[:, 0] * self._value_scale, penalties)

    def backward(
        self,
        by_parameters: F32 | None = None,
        by_value: F32 | None = None,
        by_penalties: Mapping[str, F32] | None = None,
    ) -> None:
        assert self._gradient is not None
        assert self._forward is not None
        encoder, latent, outputs, critic = self._forward
        if by_value is None:
            self._clear("critic.")
        else:
            by_head = (by_value * self._value_scale)[:, None]
            self._critic.backward(critic, by_head, self._gradient)
        if by_parameters is None and not by_penalties:
            self._clear("actor.")
            return
        size = outputs.shape[1]
        if by_parameters is None:
            by_outputs = np.zeros_like(outputs)
        else:
            by_outputs = by_parameters[:, :size].copy()
        if self._free is not None:
            by_free = 0 if by_parameters is None else by_parameters[:, size:].sum(axis=0)
            self._gradient["actor.free"][...] = by_free
        by_x = self.decoder.backward(by_outputs, self._gradient, to_input=latent is not None)
        if self._encoder is None or latent is None or encoder is None or by_x is None:
            return
        by_latent = by_x[:, : latent.latent.shape[1]]
        by_features = self._bottleneck.backward(
            latent, by_latent, by_penalties or {}, self._gradient
        )
        self._encoder.backward(encoder, by_features, self._gradient)

    def activations(
        self, observation: F32, state: State, noise: F32 | None = None
    ) -> dict[str, F32]:
        """What one step computes in every layer, (n, width) by name.

        Names are ``encoder/0``, …; ``encoder/bottleneck/mu``, ``/sigma`` and ``/latent``, or
        ``/signal`` and ``/corrupted_signal``, or ``/latent`` alone; ``decoder/0/h`` and
        ``decoder/0/c``, …, after the step, or ``decoder/0``, … of a perceptron, and
        ``decoder/output`` of a linear one; ``critic/0``, … and ``critic/value``, in the unit of the
        network's values.

        Args:
            observation, state, noise: as for ``act``; nothing is written into them.
        """
        found: dict[str, F32] = {}
        x = observation[:, self._seen]
        if self._encoder is not None:
            seen = observation[:, self._encoded]
            layers = self._encoder.layer_outputs(seen)
            found = {f"encoder/{i}": y for i, y in enumerate(layers)}
            features = layers[-1] if layers else seen
            own = self._bottleneck.activations(features, noise)
            found |= {f"encoder/bottleneck/{name}": y for name, y in own.items()}
            x = np.concatenate((self._bottleneck(features, noise), x), axis=1)
        found |= {f"decoder/{n}": y for n, y in self.decoder.activations(x, state).items()}
        *hidden, value = self._critic.layer_outputs(observation)
        found |= {f"critic/{i}": y for i, y in enumerate(hidden)}
        return found | {"critic/value": value * self._value_scale}

    def latents(self, observation: F32) -> dict[str, F32]:
        """As for ``Network``: ``latent_mu`` and ``latent_log_sigma``, or ``latent``."""
        if self._encoder is None:
            return {}
        features = self._encoder(observation[:, self._encoded])
        found = self._bottleneck.activations(features, None)
        if "sigma" in found:
            return {"latent_mu": found["mu"], "latent_log_sigma": np.log(found["sigma"])}
        return {"latent": found["signal" if "signal" in found else "latent"]}

    def _with_free(self, outputs: F32) -> F32:
        """The outputs, and the parameters that do not depend on the observation."""
        if self._free is None:
            return outputs
        free = np.broadcast_to(self._free, (len(outputs), len(self._free)))
        return np.concatenate((outputs, free), axis=1)

    def _clear(self, prefix: str) -> None:
        assert self._gradient is not None
        for name, array in self._gradient.items():
            if name.startswith(prefix):
                array.fill(0)


class _Forward(NamedTuple):
    """What ``backward`` needs."""

    encoder: Cache | None
    latent: BottleneckOutput | None
    outputs: F32
    critic: Cache


def decoder_columns(spec: EncoderDecoderSpec, observation_size: int) -> NDArray[np.intp]:
    """The numbers of the observed values that the decoder sees beside the latent variables."""
    hidden = (*spec.encoder_columns, *spec.critic_columns)
    return np.setdiff1d(np.arange(observation_size), np.array(hidden, np.intp))
